"""What both sides of the socket share: stream frames and their types.  Sans-I/O.

Constraint: on the start-up path of `boxy run` and in the shim's peers; imports only the C half
of `struct`.
A frame is Docker's: one byte of type, three zeros, the payload's length as u32 big-endian.
Types below 16 are Docker's own; the others exist when the stream was asked for with
`Upgrade: boxy-stream`.  docs/reference/wire-protocol.md describes each with an example.
"""

from __future__ import annotations

from _struct import Struct

from boxy_core.errors import ProtocolError

API = "/boxy/v1"
UPGRADE = "boxy-stream"

STDIN, STDOUT, STDERR = 0, 1, 2
RESIZE = 16
"""client -> shim: rows, cols as two u16 big-endian"""
EXIT = 17
"""shim -> client, the last frame: JSON {"status", "signal", "oom"}"""
REPLAY_END = 18
"""shim -> client: what came before was history; u64 big-endian, bytes of output until here"""
VIEWERS = 19
"""shim -> client: JSON {"count", "rows", "cols"} when that changes"""
LAGGED = 20
"""shim -> client: u64 big-endian, bytes this client missed; a fresh replay follows"""
STDIN_EOF = 21
"""client -> shim: close the standard input; empty"""
SIGNAL = 22
"""client -> shim: one byte, the signal's number"""
STATE_WANTED = 23
"""shim -> client that parses: tell the screen as it is here; u64 big-endian, the position"""
STATE = 24
"""client -> shim: u64 position, then what draws the screen as it was there; empty: I can tell"""

NAMES = {
    STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", RESIZE: "resize", EXIT: "exit",
    REPLAY_END: "replay-end", VIEWERS: "viewers", LAGGED: "lagged", STDIN_EOF: "stdin-eof",
    SIGNAL: "signal", STATE_WANTED: "state-wanted", STATE: "state",
}  # fmt: skip

HEADER = Struct(">BxxxI")
SIZE = Struct(">HH")
MAX_FRAME = 1 << 20
"""A longer payload is a protocol error, in both directions."""


def frame(kind: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame, ready to send."""
    return HEADER.pack(kind, len(payload)) + payload


def resize(rows: int, cols: int) -> bytes:
    """A resize frame; sizes are clamped to 1..65535."""
    clamped = (min(max(1, n), 65535) for n in (rows, cols))
    return frame(RESIZE, SIZE.pack(*clamped))


class FrameReader:
    """Cuts a byte stream into frames: `feed` bytes as they come, iterate what is complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[tuple[int, bytes]]:
        """Add bytes; return the complete (type, payload) pairs.

        Raises ProtocolError for an unknown type, non-zero padding or an oversized payload.
        """
        buffer = self._buffer
        buffer += data
        frames: list[tuple[int, bytes]] = []
        at, end = 0, len(buffer)
        while end - at >= HEADER.size:
            kind, length = HEADER.unpack_from(buffer, at)
            if kind not in NAMES or length > MAX_FRAME or buffer[at + 1 : at + 4] != b"\0\0\0":
                raise ProtocolError(f"a stream frame of type {kind} and {length} bytes came")
            if end - at - HEADER.size < length:
                break
            start = at + HEADER.size
            frames.append((kind, bytes(buffer[start : start + length])))
            at = start + length
        if at:
            del buffer[:at]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame; not 0 at the end of the stream: it was cut off."""
        return len(self._buffer)
