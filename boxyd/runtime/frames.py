"""Stream frames as the shim sees them: one byte of type, three zeros, u32 big-endian length.

Constraint: a twin of `boxy_core.protocol`, because the runtime imports nothing of ours but the
errors; a unit test holds the two equal.  Sans-I/O.
"""

from __future__ import annotations

import struct

STDIN, STDOUT, STDERR = 0, 1, 2
RESIZE, EXIT, REPLAY_END, VIEWERS, LAGGED, STDIN_EOF, SIGNAL = 16, 17, 18, 19, 20, 21, 22
STATE_WANTED, STATE = 23, 24

HEADER = struct.Struct(">BxxxI")
SIZE = struct.Struct(">HH")
COUNT = struct.Struct(">Q")
MAX_FRAME = 1 << 20

_FROM_CLIENT = frozenset({STDIN, RESIZE, STDIN_EOF, SIGNAL, STATE})


def frame(kind: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame, ready to send."""
    return b"".join((HEADER.pack(kind, len(payload)), payload))


class FrameReader:
    """Cuts what a client sends into frames.  Raises ValueError for what no client may send."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[int, bytes]]:
        """Add bytes; the complete (type, payload) pairs."""
        buffer = self._buffer
        buffer += data
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(buffer)
        while end - at >= HEADER.size:
            kind, length = HEADER.unpack_from(buffer, at)
            padding = buffer[at + 1 : at + 4]
            if kind not in _FROM_CLIENT or length > MAX_FRAME or padding != b"\0\0\0":
                raise ValueError(f"a stream frame of type {kind} and {length} bytes came")
            start = at + HEADER.size
            if end - start < length:
                break
            found.append((kind, bytes(buffer[start : start + length])))
            at = start + length
        if at:
            del buffer[:at]
        return found
