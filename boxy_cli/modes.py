"""What a box's program did to the operator's terminal, and how to undo it.  Pure.

A full-screen program that is left by the detach keys, or that dies, leaves the terminal on the
alternate screen, with the mouse reporting and the cursor hidden.  `ModeTracker` notes the modes
as the bytes pass (one search per chunk, since this is the hot path) and knows what puts them back.
`strip_queries` takes from replayed history what would make the terminal answer once more.
"""

from __future__ import annotations

RESET = {
    1049: b"\x1b[?1049l", 1047: b"\x1b[?1047l", 47: b"\x1b[?47l",
    25: b"\x1b[?25h", 1: b"\x1b[?1l", 5: b"\x1b[?5l", 6: b"\x1b[?6l", 7: b"\x1b[?7h",
    9: b"\x1b[?9l", 1000: b"\x1b[?1000l", 1001: b"\x1b[?1001l", 1002: b"\x1b[?1002l",
    1003: b"\x1b[?1003l", 1004: b"\x1b[?1004l", 1005: b"\x1b[?1005l", 1006: b"\x1b[?1006l",
    1015: b"\x1b[?1015l", 1016: b"\x1b[?1016l", 2004: b"\x1b[?2004l", 2026: b"\x1b[?2026l",
}  # fmt: skip
"""What puts each private mode (DECSET) back to what a shell expects."""
_USUALLY_ON = frozenset({25, 7})
_LONGEST = 48
ALWAYS = b"\x1b[0m\x1b(B\x0f"
"""Colours off, the ASCII character set: harmless wherever the cursor is."""


class ModeTracker:
    """Notes the private modes that are away from their usual state."""

    def __init__(self) -> None:
        self._changed: dict[int, None] = {}
        self._keypad = False
        self._tail = b""

    def feed(self, data: bytes | memoryview) -> None:
        """Look through output on its way to the terminal."""
        chunk = self._tail + bytes(data)
        at = chunk.find(b"\x1b")
        while at >= 0:
            kind = chunk[at + 1 : at + 3]
            if kind == b"[?":
                self._private(chunk[at + 3 : at + _LONGEST])
            elif kind[:1] in (b"=", b">"):
                self._keypad = kind[:1] == b"="
            elif kind[:1] == b"c":  # RIS
                self._changed.clear()
                self._keypad = False
            at = chunk.find(b"\x1b", at + 1)
        last = chunk.rfind(b"\x1b", max(0, len(chunk) - _LONGEST))
        unfinished = last >= 0 and not chunk[last + 1 :].strip(b"[?0123456789;")
        self._tail = chunk[last:] if unfinished else b""

    def _private(self, body: bytes) -> None:
        digits = body[: len(body) - len(body.lstrip(b"0123456789;"))]
        final = body[len(digits) : len(digits) + 1]
        if final not in (b"h", b"l"):
            return
        for number in digits.split(b";"):
            mode = int(number or b"0")
            if mode not in RESET:
                continue
            if (final == b"h") == (mode in _USUALLY_ON):
                self._changed.pop(mode, None)
            else:
                self._changed[mode] = None

    def undo(self, *, always: bool) -> bytes:
        """What puts the terminal back; with `always` colours and character set in any case.

        Empty for a program that left everything as it was.
        """
        if not always and not self._changed and not self._keypad:
            return b""
        keypad = b"\x1b>" if self._keypad else b""
        # The alternate screen is left last: modes of the cursor belong to it.
        order = sorted(self._changed, key=lambda mode: mode in (47, 1047, 1049))
        return ALWAYS + keypad + b"".join(RESET[mode] for mode in order)


def strip_queries(history: bytes) -> bytes:
    """Replayed output without the requests that a terminal answers: the answers would be typed.

    Device attributes, status and position reports, mode and size requests, colour queries.
    """
    import re  # once per attach, and only with history

    queries = (
        rb"\x1b\[[0-9;]*[>=]?[0-9;]*c"  # DA1, DA2, DA3
        rb"|\x1b\[\??(?:5|6|15|25|26|53|75|996)n"  # DSR
        rb"|\x1b\[>[0-9;]*q"  # XTVERSION
        rb"|\x1b\[\?u"  # kitty keyboard
        rb"|\x1b\[\??[0-9;]*\$p"  # DECRQM
        rb"|\x1b\[(?:1[1345689]|2[01])(?:;[0-9]+)*t"  # window reports
        rb"|\x1bP(?:\$|\+)q[^\x1b]*\x1b\\"  # DECRQSS, XTGETTCAP
        rb"|\x1b\](?:4;[0-9]+|1[0-9]|5[0-9]?(?:;[a-z0-9]*)?);\?(?:\x07|\x1b\\)"  # OSC
        rb"|\x1bZ|\x05"  # DECID, ENQ
    )
    return re.sub(queries, b"", history)
