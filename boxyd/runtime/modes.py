"""Which terminal modes the output that is no longer kept has switched.  Pure.

Constraint: looked at when output falls out of the history, so it is a few searches in C for each
frame; nothing is parsed.  What is noted: DEC private modes (DECSET), the keypad, the kitty
keyboard protocol and xterm's modifyOtherKeys, and the reset that ends them all (RIS).
"""

from __future__ import annotations

NOTED = frozenset(
    {1, 6, 7, 9, 25, 47, 66, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1047, 1049, 2004}
)
_ALTERNATE = (47, 1047, 1049)
_LONGEST = 24


class Modes:
    """The modes that are set or reset, as far as the output told."""

    __slots__ = ("_keyboard", "_modes", "_tail")

    def __init__(self) -> None:
        self._modes: dict[int, bool] = {}
        self._keyboard: dict[bytes, bytes] = {}
        self._tail = b""

    def copy(self) -> Modes:
        """Another that goes its own way."""
        other = Modes()
        other._modes, other._tail = dict(self._modes), self._tail
        other._keyboard = dict(self._keyboard)
        return other

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Look through output."""
        chunk = self._tail + bytes(data)
        if b"\x1b" not in chunk:
            self._tail = b""
            return
        reset = chunk.rfind(b"\x1bc")
        if reset >= 0:
            self._modes.clear()
            self._keyboard.clear()
        at = chunk.find(b"\x1b[?", max(0, reset))
        while at >= 0:
            self._private(chunk[at + 3 : at + 3 + _LONGEST])
            at = chunk.find(b"\x1b[?", at + 3)
        for prefix in (b"\x1b[>", b"\x1b[<"):
            at = chunk.find(prefix, max(0, reset))
            while at >= 0:
                self._keys(prefix, chunk[at + 3 : at + 3 + _LONGEST])
                at = chunk.find(prefix, at + 3)
        application = chunk.rfind(b"\x1b=", max(0, reset))
        numeric = chunk.rfind(b"\x1b>", max(0, reset))
        if application != numeric:
            self._modes[66] = application > numeric
        last = chunk.rfind(b"\x1b", max(0, len(chunk) - _LONGEST))
        unfinished = last >= 0 and not chunk[last + 1 :].strip(b"[?<>0123456789;")
        self._tail = chunk[last:] if unfinished else b""

    def _keys(self, prefix: bytes, body: bytes) -> None:
        digits, final = _parameters(body)
        if final == b"u" and prefix == b"\x1b[<":
            self._keyboard.pop(final, None)
        elif final == b"u" or (final == b"m" and digits[:1] == b"4"):
            self._keyboard[final] = prefix + digits + final

    def _private(self, body: bytes) -> None:
        digits, final = _parameters(body)
        if final not in (b"h", b"l"):
            return
        for number in digits.split(b";"):
            mode = int(number or b"0")
            if mode in NOTED:
                self._modes.pop(mode, None)  # the order of the last switches is kept
                self._modes[mode] = final == b"h"

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has the alternate screen."""
        return any(self._modes.get(mode) for mode in _ALTERNATE)

    def sequences(self) -> bytes:
        """What brings a fresh terminal to these modes."""
        modes = sorted(self._modes.items(), key=lambda item: item[0] not in _ALTERNATE)
        switches = [b"\x1b[?%d%c" % (mode, b"lh"[on]) for mode, on in modes]
        return b"".join([*switches, *self._keyboard.values()])


def _parameters(body: bytes) -> tuple[bytes, bytes]:
    """The parameters at the beginning of what follows a prefix, and the final byte."""
    digits = body[: len(body) - len(body.lstrip(b"0123456789;"))]
    return digits, body[len(digits) : len(digits) + 1]
