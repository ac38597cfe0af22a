"""Keys, paste, focus and mouse to the bytes that xterm sends. Pure tables.

A key comes as Textual names it ("ctrl+shift+left", "full_stop", "f5") with the character it typed,
if any.  What it sends depends on `Modes`, which the emulator reads off the program's wishes: the
cursor and keypad modes of the VT100, xterm's modifyOtherKeys, or the kitty keyboard protocol
(https://sw.kovidgoyal.net/kitty/keyboard-protocol/) with the flags 1, 8 and 16.  tmux is the
reference where xterm leaves a choice.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

ESC = "\x1b"
DISAMBIGUATE, ALL_KEYS, WITH_TEXT = 1, 8, 16


@dataclass(frozen=True, slots=True)
class Modes:
    """What a program asked for. `mouse` is 0, 9 (X10), 1000, 1002 (drag) or 1003 (all motion)."""

    application_cursor: bool = False
    application_keypad: bool = False
    bracketed_paste: bool = False
    focus: bool = False
    mouse: int = 0
    mouse_sgr: bool = False
    mouse_urxvt: bool = False
    mouse_utf8: bool = False
    alternate_scroll: bool = False
    newline: bool = False
    kitty: int = 0
    modify_other_keys: int = 0


PLAIN_MODES = Modes()

SHIFT, ALT, CTRL = 1, 2, 4
_MODIFIERS = {"shift": SHIFT, "alt": ALT, "ctrl": CTRL, "super": 8, "hyper": 16, "meta": 32}

_CURSOR = {"up": "A", "down": "B", "right": "C", "left": "D", "begin": "E", "end": "F", "home": "H"}
_SS3 = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_TILDE = {
    "insert": 2, "delete": 3, "pageup": 5, "pagedown": 6, "f5": 15, "f6": 17, "f7": 18, "f8": 19,
    "f9": 20, "f10": 21, "f11": 23, "f12": 24, "menu": 29,
}  # fmt: skip
_EDIT = {"enter": "\r", "tab": "\t", "backspace": "\x7f", "escape": ESC, "space": " "}
_KITTY_CODE = {"enter": 13, "tab": 9, "backspace": 127, "escape": 27, "space": 32}

# The application keypad (VT100 user guide, table 3-7); without it the keys type what they show.
_KEYPAD_TEXT = {f"kp_{n}": str(n) for n in range(10)} | {
    "kp_multiply": "*", "kp_add": "+", "kp_plus": "+", "kp_separator": ",", "kp_subtract": "-",
    "kp_minus": "-", "kp_decimal": ".", "kp_divide": "/", "kp_equal": "=", "kp_enter": "\r",
}  # fmt: skip
_KEYPAD_APPLICATION = dict(zip("0123456789*+,-./=\r", "pqrstuvwxyjklmnoXM", strict=True))

# What ctrl makes of keys that are not letters: xterm's table, with the digits of a US keyboard.
_CONTROL = {
    " ": "\0", "@": "\0", "2": "\0", "[": ESC, "3": ESC, "\\": "\x1c", "4": "\x1c",
    "]": "\x1d", "5": "\x1d", "^": "\x1e", "~": "\x1e", "6": "\x1e", "`": "\0",
    "_": "\x1f", "/": "\x1f", "7": "\x1f", "-": "\x1f", "?": "\x7f", "8": "\x7f",
}  # fmt: skip

_SHORT_NAMES = {
    "solidus": "slash", "reverse_solidus": "backslash", "commercial_at": "at",
    "hyphen_minus": "minus", "plus_sign": "plus", "low_line": "underscore",
}  # fmt: skip


def _textual_names() -> dict[str, str]:
    """Textual's names of the ASCII characters that have one."""
    names = {}
    for char in map(chr, range(0x21, 0x7F)):
        if not char.isalnum():
            name = unicodedata.name(char).lower().replace("-", "_").replace(" ", "_")
            names[name] = names[_SHORT_NAMES.get(name, name)] = char
    return names


_NAMED = _textual_names()


def encode_key(key: str, character: str | None = None, modes: Modes = PLAIN_MODES) -> bytes:
    """The bytes for a key; none for one that a terminal does not know."""
    base, modifiers = _split(key)
    return _encode(base, modifiers, character, modes).encode("utf-8", "replace")


def _split(key: str) -> tuple[str, int]:
    """A key's own name and its modifiers; f13 to f24 are shifted f1 to f12, as terminfo has it."""
    if key == "+":
        return key, 0
    *names, base = key.split("+")
    modifiers = 0
    for name in names:
        modifiers |= _MODIFIERS.get(name, 0)
    if base[:1] == "f" and base[1:].isdecimal() and 13 <= int(base[1:]) <= 24:
        return f"f{int(base[1:]) - 12}", modifiers | SHIFT
    if len(base) == 1 and base.isupper() and modifiers & ~SHIFT:
        return base.lower(), modifiers | SHIFT
    return base, modifiers


def _encode(base: str, modifiers: int, character: str | None, modes: Modes) -> str:
    if base in _CURSOR or base in _SS3 or base in _TILDE:
        return _function_key(base, modifiers, modes)
    if base in _KEYPAD_TEXT:
        return _keypad(base, modifiers, modes)
    if modes.kitty:
        special = _kitty(base, modifiers, character, modes.kitty)
        if special is not None:
            return special
    elif modes.modify_other_keys:
        special = _other_key(base, modifiers, character, modes.modify_other_keys)
        if special is not None:
            return special
    if base in _EDIT:
        return _edit_key(base, modifiers, modes)
    return _text_key(base, modifiers, character)


def _function_key(base: str, modifiers: int, modes: Modes) -> str:
    if base in _TILDE or (base == "f3" and modes.kitty):
        number = _TILDE.get(base, 13)  # CSI R is also the cursor report, so kitty has 13 for F3
        return f"{ESC}[{number};{modifiers + 1}~" if modifiers else f"{ESC}[{number}~"
    final = _CURSOR.get(base) or _SS3[base]
    if modifiers:
        return f"{ESC}[1;{modifiers + 1}{final}"
    application = base in _SS3 or modes.application_cursor
    return f"{ESC}O{final}" if application and not modes.kitty else f"{ESC}[{final}"


def _keypad(base: str, modifiers: int, modes: Modes) -> str:
    text = _KEYPAD_TEXT[base]
    if modes.application_keypad and not modes.kitty:
        final = _KEYPAD_APPLICATION[text]
        return f"{ESC}O{modifiers + 1}{final}" if modifiers else f"{ESC}O{final}"
    if text == "\r" and modes.newline:
        text = "\r\n"
    return (ESC if modifiers & ALT else "") + text


def _edit_key(base: str, modifiers: int, modes: Modes) -> str:
    text = _EDIT[base]
    if base == "tab" and modifiers & SHIFT:
        text = f"{ESC}[Z"
    elif base == "backspace" and modifiers & CTRL:
        text = "\b"
    elif base == "space" and modifiers & CTRL:
        text = "\0"
    elif base == "enter" and modes.newline:
        text = "\r\n"
    return (ESC if modifiers & ALT else "") + text


def _text_key(base: str, modifiers: int, character: str | None) -> str:
    prefix = ESC if modifiers & ALT else ""
    char = _base_character(base)
    if modifiers & CTRL:
        if char and char.isascii() and char.isalpha():
            return prefix + chr(ord(char.upper()) & 0x1F)
        if char in _CONTROL:
            return prefix + _CONTROL[char]
        return prefix + (character or char)
    if character and (character.isprintable() or len(character) > 1):
        return prefix + character
    if char and modifiers & SHIFT:
        char = char.upper()
    return prefix + (character or char)


def _base_character(base: str) -> str:
    """The character of a key's name; empty if it has none."""
    if len(base) == 1:
        return base
    if base in _EDIT:
        return _EDIT[base]
    if base in _NAMED:
        return _NAMED[base]
    try:
        return unicodedata.lookup(base.replace("_", " "))
    except KeyError:
        return ""


def _kitty(base: str, modifiers: int, character: str | None, flags: int) -> str | None:
    """The kitty form of a key that types text or edits; None where the old form stands."""
    code = _KITTY_CODE.get(base)
    char = _base_character(base)
    if code is None:
        if not char:
            return None
        if char.isupper() and len(char.lower()) == 1:
            char, modifiers = char.lower(), modifiers | SHIFT
        code = ord(char)
    if not flags & ALL_KEYS:
        plain = not modifiers & ~SHIFT
        if base in ("enter", "tab", "backspace"):
            plain = not modifiers
        if flags & DISAMBIGUATE and (base == "escape" or not plain):
            return _csi_u(code, modifiers, "")
        return None
    text = ""
    if flags & WITH_TEXT and character and character.isprintable() and not modifiers & ~SHIFT:
        text = character
    return _csi_u(code, modifiers, text)


def _csi_u(code: int, modifiers: int, text: str) -> str:
    if text:
        points = ":".join(str(ord(char)) for char in text)
        return f"{ESC}[{code};{modifiers + 1 if modifiers else ''};{points}u"
    return f"{ESC}[{code};{modifiers + 1}u" if modifiers else f"{ESC}[{code}u"


def _other_key(base: str, modifiers: int, character: str | None, level: int) -> str | None:
    """modifyOtherKeys: 1 for what has no form of its own, 2 for every key with a modifier.

    Alt alone keeps its old form, ESC and the key: the outer terminal says alt also for ESC with a
    key close behind, which a program has to be able to take apart again.
    """
    char = _base_character(base)
    if not char or not modifiers or modifiers == ALT or (base == "tab" and modifiers == SHIFT):
        return None
    types = base not in _EDIT
    if types and not modifiers & CTRL:
        return None
    if level == 1 and _has_old_form(char, types or base == "space", modifiers):
        return None
    if types and character and character.isprintable():
        char = character
    return f"{ESC}[27;{modifiers + 1};{_KITTY_CODE.get(base, ord(char))}~"


def _has_old_form(char: str, types: bool, modifiers: int) -> bool:
    """Whether modifyOtherKeys 1 leaves the key as it always was; the choice is tmux's."""
    if not modifiers & CTRL:
        return types or bool(modifiers & ALT)
    return types and (char in " /2345678" or "@" <= char <= "~")


# -- paste and focus -----------------------------------------------------------------------------

_DROP = {n: None for n in (*range(0x20), *range(0x7F, 0xA0)) if n not in (9, 10, 13)}


def encode_paste(text: str, modes: Modes = PLAIN_MODES) -> bytes:
    """Pasted text: line ends as Enter sends them, and no control character, so that it can neither
    end the bracket nor act as a key."""
    text = text.translate(_DROP).replace("\r\n", "\r").replace("\n", "\r")
    if modes.bracketed_paste:
        text = f"{ESC}[200~{text}{ESC}[201~"
    return text.encode("utf-8", "replace")


def encode_focus(focused: bool, modes: Modes) -> bytes:
    """The pane got or lost the focus."""
    return (b"\x1b[I" if focused else b"\x1b[O") if modes.focus else b""


# -- mouse ---------------------------------------------------------------------------------------

LEFT, MIDDLE, RIGHT, NO_BUTTON = 0, 1, 2, 3
WHEEL_UP, WHEEL_DOWN, WHEEL_LEFT, WHEEL_RIGHT = 64, 65, 66, 67
_WHEEL_KEYS = {WHEEL_UP: "up", WHEEL_DOWN: "down"}
WHEEL_LINES = 3


def encode_mouse(
    kind: str, button: int, x: int, y: int, modes: Modes, *, modifiers: int = 0
) -> bytes:
    """A mouse event: `kind` is "press", "release" or "move", x and y count cells from 0.

    The wheel is a press of `WHEEL_…`. With no mouse mode on, in the alternate screen, it becomes
    arrow keys. Empty when the program did not ask for such an event.
    """
    if not modes.mouse:
        arrow = _WHEEL_KEYS.get(button) if modes.alternate_scroll and kind == "press" else None
        return encode_key(arrow, None, modes) * WHEEL_LINES if arrow else b""
    if not _wanted(kind, button, modes.mouse):
        return b""
    code = button
    if modes.mouse != 9:
        code |= (modifiers & SHIFT) << 2 | (modifiers & ALT) << 2 | (modifiers & CTRL) << 2
    if kind == "move":
        code += 32
    if modes.mouse_sgr:
        final = "m" if kind == "release" else "M"
        return f"{ESC}[<{code};{x + 1};{y + 1}{final}".encode()
    if kind == "release":
        code = code & ~3 | NO_BUTTON
    if modes.mouse_urxvt:
        return f"{ESC}[{code + 32};{x + 1};{y + 1}M".encode()
    return _mouse_bytes(code, x, y, modes.mouse_utf8)


def _wanted(kind: str, button: int, mode: int) -> bool:
    if kind == "press":
        return mode != 9 or button <= RIGHT
    if kind == "release":
        return mode != 9 and button <= RIGHT
    return mode == 1003 or (mode == 1002 and button != NO_BUTTON)


def _mouse_bytes(code: int, x: int, y: int, utf8: bool) -> bytes:
    """X10's three bytes; a place that does not fit in them is not told."""
    limit = 2047 if utf8 else 255
    values = (code + 32, x + 33, y + 33)
    if max(values) > limit:
        return b""
    body = "".join(map(chr, values)).encode("utf-8" if utf8 else "latin-1")
    return b"\x1b[M" + body
