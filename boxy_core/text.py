"""Text that came from a box, an image or another user, made safe for an operator's terminal.

Constraint: a name, a label, a command line or a log line may hold escape sequences that move
the cursor, retitle the window or answer for the operator.  Whatever is printed outside of an
attached session goes through here.  On the start-up path of `boxy ps`: imports nothing.
"""

from __future__ import annotations

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}
_JOINERS = "\u200c\u200d"
"""Invisible, harmless, and part of how emoji and several scripts are written."""
_ESC = 0x1B


def escape(text: str) -> str:
    r"""One line without control characters: those are shown as `\n`, `\e`, `\x07`, `\u202e`.

    Also escaped is what reorders or hides text (bidirectional controls and other format
    characters), and bytes that were not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _shown(char) for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if char in _JOINERS:
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_lines(text: str) -> str:
    """Like `escape`, but line ends and tabs stay."""
    return "\n".join(
        "\t".join(escape(cell) for cell in line.split("\t")) for line in text.split("\n")
    )


class LineFilter:
    """Makes a stream of a box's bytes safe to print: lines, tabs and colours stay.

    Of the escape sequences only SGR (`ESC [ ... m`: colours and styles) passes; a carriage
    return before a line end is dropped.  `feed` keeps what may be cut in the middle of a
    character or sequence; `end` gives it up and undoes a colour that was left on.
    """

    _LONGEST = 64

    def __init__(self) -> None:
        self._pending = b""
        self._styled = False

    def feed(self, data: bytes) -> bytes:
        """The safe form of the bytes that are complete."""
        data = self._pending + data
        cut = _cut(data, self._LONGEST)
        data, self._pending = data[:cut], data[cut:]
        return self._clean(data)

    def end(self) -> bytes:
        """What was held back, and a reset if a style was on."""
        data, self._pending = self._pending, b""
        return self._clean(data) + (b"\x1b[0m" if self._styled else b"")

    def _clean(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        first, *others = text.split("\x1b")
        parts = [escape_lines(first)]
        for other in others:
            end = _sgr_end(other)
            if end:
                self._styled = other[:end] not in ("[m", "[0m")
                parts.append("\x1b" + other[:end] + escape_lines(other[end:]))
            else:
                parts.append(_NAMED["\x1b"] + escape_lines(other))
        return "".join(parts).encode("utf-8", "surrogateescape")


def _sgr_end(text: str) -> int:
    """The length of the SGR sequence that `text` (after ESC) begins with; 0: none."""
    if not text.startswith("["):
        return 0
    end = 1
    while end < len(text) and text[end] in "0123456789;:":
        end += 1
    return end + 1 if text[end : end + 1] == "m" else 0


def _cut(data: bytes, longest: int) -> int:
    """Where to cut so that no character, CR LF or escape sequence is split."""
    size = len(data)
    escape_at = data.rfind(b"\x1b", max(0, size - longest))
    if escape_at >= 0 and not data[escape_at + 1 :].strip(b"[0123456789;:"):
        return escape_at
    if data.endswith(b"\r"):
        return size - 1
    for back in range(1, min(4, size + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return size - back if wanted > back else size
    return size
