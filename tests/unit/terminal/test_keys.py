"""Keys, paste, focus, mouse: the bytes that xterm sends, and tmux where xterm leaves a choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.keys import (
    ALT,
    CTRL,
    LEFT,
    NO_BUTTON,
    RIGHT,
    SHIFT,
    WHEEL_DOWN,
    WHEEL_UP,
    Modes,
    encode_focus,
    encode_key,
    encode_mouse,
    encode_paste,
)

APPLICATION = Modes(application_cursor=True)

PLAIN: list[tuple[str, str | None, bytes]] = [
    ("a", "a", b"a"),
    ("A", "A", b"A"),
    ("é", "é", "é".encode()),
    ("full_stop", ".", b"."),
    ("plus", "+", b"+"),
    ("space", " ", b" "),
    ("enter", "\r", b"\r"),
    ("tab", "\t", b"\t"),
    ("shift+tab", None, b"\x1b[Z"),
    ("backspace", "\x7f", b"\x7f"),
    ("ctrl+backspace", None, b"\x08"),
    ("alt+backspace", None, b"\x1b\x7f"),
    ("escape", "\x1b", b"\x1b"),
    ("alt+enter", None, b"\x1b\r"),
    ("shift+enter", None, b"\r"),
    ("ctrl+a", "\x01", b"\x01"),
    ("ctrl+z", None, b"\x1a"),
    ("ctrl+shift+c", None, b"\x03"),
    ("ctrl+at", "\x00", b"\x00"),
    ("ctrl+space", None, b"\x00"),
    ("ctrl+left_square_bracket", None, b"\x1b"),
    ("ctrl+backslash", "\x1c", b"\x1c"),
    ("ctrl+right_square_bracket", "\x1d", b"\x1d"),
    ("ctrl+circumflex_accent", "\x1e", b"\x1e"),
    ("ctrl+underscore", "\x1f", b"\x1f"),
    ("ctrl+slash", None, b"\x1f"),
    ("ctrl+2", None, b"\x00"),
    ("ctrl+8", None, b"\x7f"),
    ("alt+a", "a", b"\x1ba"),
    ("alt+a", None, b"\x1ba"),
    ("alt+shift+a", "A", b"\x1bA"),
    ("alt+shift+a", None, b"\x1bA"),
    ("alt+full_stop", None, b"\x1b."),
    ("ctrl+alt+a", None, b"\x1b\x01"),
    ("up", None, b"\x1b[A"),
    ("down", None, b"\x1b[B"),
    ("right", None, b"\x1b[C"),
    ("left", None, b"\x1b[D"),
    ("home", None, b"\x1b[H"),
    ("end", None, b"\x1b[F"),
    ("shift+up", None, b"\x1b[1;2A"),
    ("alt+left", None, b"\x1b[1;3D"),
    ("ctrl+right", None, b"\x1b[1;5C"),
    ("ctrl+shift+end", None, b"\x1b[1;6F"),
    ("alt+ctrl+shift+home", None, b"\x1b[1;8H"),
    ("insert", None, b"\x1b[2~"),
    ("delete", None, b"\x1b[3~"),
    ("pageup", None, b"\x1b[5~"),
    ("pagedown", None, b"\x1b[6~"),
    ("ctrl+delete", None, b"\x1b[3;5~"),
    ("shift+pageup", None, b"\x1b[5;2~"),
    ("f1", None, b"\x1bOP"),
    ("f2", None, b"\x1bOQ"),
    ("f3", None, b"\x1bOR"),
    ("f4", None, b"\x1bOS"),
    ("f5", None, b"\x1b[15~"),
    ("f6", None, b"\x1b[17~"),
    ("f10", None, b"\x1b[21~"),
    ("f11", None, b"\x1b[23~"),
    ("f12", None, b"\x1b[24~"),
    ("ctrl+f1", None, b"\x1b[1;5P"),
    ("shift+f5", None, b"\x1b[15;2~"),
    ("f13", None, b"\x1b[1;2P"),
    ("f24", None, b"\x1b[24;2~"),
    ("kp_5", None, b"5"),
    ("kp_enter", None, b"\r"),
    ("日本", "日本", "日本".encode()),
    ("no_such_key", None, b""),
    ("caps_lock", None, b""),
]


@pytest.mark.parametrize(("key", "character", "sent"), PLAIN)
def test_a_key_sends_what_xterm_sends(key: str, character: str | None, sent: bytes) -> None:
    assert encode_key(key, character) == sent


@pytest.mark.parametrize(
    ("key", "sent"),
    [("up", b"\x1bOA"), ("end", b"\x1bOF"), ("shift+up", b"\x1b[1;2A"), ("pageup", b"\x1b[5~")],
)  # fmt: skip
def test_application_cursor_mode_changes_only_bare_cursor_keys(key: str, sent: bytes) -> None:
    assert encode_key(key, None, APPLICATION) == sent


@pytest.mark.parametrize(
    ("key", "sent"),
    [("kp_0", b"\x1bOp"), ("kp_9", b"\x1bOy"), ("kp_enter", b"\x1bOM"), ("kp_minus", b"\x1bOm")],
)
def test_application_keypad_sends_escapes(key: str, sent: bytes) -> None:
    assert encode_key(key, None, Modes(application_keypad=True)) == sent


def test_newline_mode_sends_both_for_enter() -> None:
    assert encode_key("enter", "\r", Modes(newline=True)) == b"\r\n"


@pytest.mark.parametrize(
    ("key", "character", "sent"),
    [
        ("a", "a", b"a"),
        ("A", "A", b"A"),
        ("escape", None, b"\x1b[27u"),
        ("ctrl+a", "\x01", b"\x1b[97;5u"),
        ("alt+a", "a", b"\x1b[97;3u"),
        ("alt+shift+a", None, b"\x1b[97;4u"),
        ("enter", "\r", b"\r"),
        ("ctrl+enter", None, b"\x1b[13;5u"),
        ("shift+enter", None, b"\x1b[13;2u"),
        ("shift+tab", None, b"\x1b[9;2u"),
        ("space", " ", b" "),
        ("ctrl+space", None, b"\x1b[32;5u"),
        ("ctrl+slash", None, b"\x1b[47;5u"),
        ("up", None, b"\x1b[A"),
        ("ctrl+up", None, b"\x1b[1;5A"),
        ("f1", None, b"\x1b[P"),
        ("f3", None, b"\x1b[13~"),
    ],
)
def test_kitty_disambiguates(key: str, character: str | None, sent: bytes) -> None:
    assert encode_key(key, character, Modes(kitty=1, application_cursor=True)) == sent


@pytest.mark.parametrize(
    ("key", "character", "sent"),
    [
        ("a", "a", b"\x1b[97;;97u"),
        ("A", "A", b"\x1b[97;2;65u"),
        ("enter", "\r", b"\x1b[13u"),
        ("ctrl+a", "\x01", b"\x1b[97;5u"),
        ("full_stop", ".", b"\x1b[46;;46u"),
    ],
)
def test_kitty_reports_all_keys_with_their_text(key: str, character: str, sent: bytes) -> None:
    assert encode_key(key, character, Modes(kitty=25)) == sent


@pytest.mark.parametrize(
    ("level", "key", "sent"),
    [
        (2, "ctrl+a", b"\x1b[27;5;97~"),
        (2, "alt+x", b"\x1bx"),
        (2, "alt+colon", b"\x1b:"),
        (2, "ctrl+alt+x", b"\x1b[27;7;120~"),
        (2, "ctrl+enter", b"\x1b[27;5;13~"),
        (2, "shift+enter", b"\x1b[27;2;13~"),
        (2, "shift+tab", b"\x1b[Z"),
        (2, "a", b"a"),
        (1, "ctrl+a", b"\x01"),
        (1, "ctrl+enter", b"\x1b[27;5;13~"),
        (1, "alt+x", b"\x1bx"),
        (1, "ctrl+comma", b"\x1b[27;5;44~"),
    ],
)
def test_modify_other_keys_is_honoured(level: int, key: str, sent: bytes) -> None:
    assert encode_key(key, None, Modes(modify_other_keys=level)) == sent


def test_programs_switch_the_keyboard_and_get_it_back() -> None:
    replies: list[bytes] = []
    term = Emulator(80, 24, reply=replies.append)
    term.feed(b"\x1b[?1h\x1b=\x1b[>1u\x1b[?u")
    assert term.modes == Modes(application_cursor=True, application_keypad=True, kitty=1)
    assert replies == [b"\x1b[?1u"]
    term.feed(b"\x1b[?1049h")
    assert term.modes.kitty == 0
    assert term.modes.alternate_scroll
    term.feed(b"\x1b[?1049l\x1b[<u\x1b[?1l\x1b>\x1b[>4;2m")
    assert term.modes == Modes(modify_other_keys=2)


@given(
    st.one_of(st.text(max_size=12), st.sampled_from([key for key, _, _ in PLAIN])),
    st.none() | st.text(max_size=3),
    st.builds(Modes, kitty=st.integers(0, 31), modify_other_keys=st.integers(0, 2),
              application_cursor=st.booleans(), application_keypad=st.booleans()),
)  # fmt: skip
def test_no_key_breaks_it(key: str, character: str | None, modes: Modes) -> None:
    assert isinstance(encode_key(key, character, modes), bytes)


# -- paste and focus ------------------------------------------------------------------------------


def test_a_paste_is_bracketed_when_asked_for() -> None:
    assert encode_paste("a\nb\r\nc") == b"a\rb\rc"
    assert encode_paste("é", Modes(bracketed_paste=True)) == b"\x1b[200~\xc3\xa9\x1b[201~"


@given(st.text())
def test_a_paste_cannot_leave_its_bracket(text: str) -> None:
    sent = encode_paste(text, Modes(bracketed_paste=True))
    assert sent.count(b"\x1b") == 2
    assert sent.startswith(b"\x1b[200~")
    assert sent.endswith(b"\x1b[201~")


def test_focus_is_told_only_when_asked_for() -> None:
    assert encode_focus(True, Modes()) == b""
    assert encode_focus(True, Modes(focus=True)) == b"\x1b[I"
    assert encode_focus(False, Modes(focus=True)) == b"\x1b[O"


# -- mouse ----------------------------------------------------------------------------------------

SGR = Modes(mouse=1003, mouse_sgr=True)


@pytest.mark.parametrize(
    ("kind", "button", "modes", "modifiers", "sent"),
    [
        ("press", LEFT, SGR, 0, b"\x1b[<0;3;4M"),
        ("release", LEFT, SGR, 0, b"\x1b[<0;3;4m"),
        ("press", RIGHT, SGR, CTRL, b"\x1b[<18;3;4M"),
        ("press", LEFT, SGR, SHIFT | ALT, b"\x1b[<12;3;4M"),
        ("move", NO_BUTTON, SGR, 0, b"\x1b[<35;3;4M"),
        ("move", LEFT, SGR, 0, b"\x1b[<32;3;4M"),
        ("press", WHEEL_UP, SGR, 0, b"\x1b[<64;3;4M"),
        ("release", WHEEL_UP, SGR, 0, b""),
        ("press", LEFT, Modes(mouse=1000), 0, b"\x1b[M #$"),
        ("release", LEFT, Modes(mouse=1000), 0, b"\x1b[M##$"),
        ("move", LEFT, Modes(mouse=1000), 0, b""),
        ("move", LEFT, Modes(mouse=1002), 0, b"\x1b[M@#$"),
        ("move", NO_BUTTON, Modes(mouse=1002), 0, b""),
        ("press", LEFT, Modes(mouse=9), CTRL, b"\x1b[M #$"),
        ("release", LEFT, Modes(mouse=9), 0, b""),
        ("press", WHEEL_UP, Modes(mouse=9), 0, b""),
        ("press", LEFT, Modes(mouse=1000, mouse_urxvt=True), 0, b"\x1b[32;3;4M"),
        ("press", LEFT, Modes(), 0, b""),
        ("press", WHEEL_UP, Modes(alternate_scroll=True), 0, b"\x1b[A" * 3),
        ("press", WHEEL_DOWN, Modes(alternate_scroll=True, application_cursor=True), 0,
         b"\x1bOB" * 3),
    ],
)  # fmt: skip
def test_the_mouse_is_told_as_asked(
    kind: str, button: int, modes: Modes, modifiers: int, sent: bytes
) -> None:
    assert encode_mouse(kind, button, 2, 3, modes, modifiers=modifiers) == sent


def test_a_place_beyond_the_old_mouse_reports_is_not_told() -> None:
    assert encode_mouse("press", LEFT, 222, 0, Modes(mouse=1000)) == b"\x1b[M \xff!"
    assert encode_mouse("press", LEFT, 223, 0, Modes(mouse=1000)) == b""
    assert encode_mouse("press", LEFT, 223, 0, Modes(mouse=1000, mouse_utf8=True)) != b""


@pytest.mark.parametrize("mode", [9, 1000, 1002, 1003])
def test_programs_switch_the_mouse(mode: int) -> None:
    term = Emulator(80, 24)
    term.feed(b"\x1b[?1003h\x1b[?1006h\x1b[?%dh" % mode)
    assert (term.modes.mouse, term.modes.mouse_sgr) == (mode, True)
    term.feed(b"\x1b[?%dl" % mode)
    assert term.modes.mouse == 0
