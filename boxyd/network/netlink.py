"""The kernel's netlink: messages of attributes, and a socket that asks and is answered.

Constraint: messages are built by pure functions; a `Socket` belongs to the network namespace that
it was made in, and blocks: use it from the network's thread.  Source: netlink(7).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Self

_SOL_NETLINK, _EXT_ACK, _GET_STRICT = 270, 11, 12
_REQUEST, _ACK = 0x1, 0x4
EXCL, CREATE, DUMP = 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
NESTED = 0x8000


def attribute(kind: int, value: bytes | str | int | list[bytes]) -> bytes:
    """One attribute: length, type, value, padded to four bytes (netlink(7))."""
    if isinstance(value, str):
        data = value.encode() + b"\0"
    elif isinstance(value, int):
        data = struct.pack("=I", value)
    else:
        data = value if isinstance(value, bytes) else b"".join(value)
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The attributes behind a message's fixed part; what is cut short ends it."""
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4 or start + length > len(data):
            return
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += (length + 3) & ~3


class Socket:
    """One socket of a netlink family.  Methods raise OSError with the kernel's own words."""

    FAMILY = 0

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._sock = socket.socket(socket.AF_NETLINK, kind, self.FAMILY)
        self._sock.bind((0, 0))
        for option in (_EXT_ACK, _GET_STRICT):
            try:
                self._sock.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # Linux before 4.20
                continue
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """Send a message; the messages that answer it, (type, what is behind the header)."""
        self._sequence += 1
        flags |= _REQUEST | (0 if flags & DUMP == DUMP else _ACK)
        head = struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0)
        self._sock.send(head + body)
        found: list[tuple[int, bytes]] = []
        while True:
            data, at = self._sock.recv(1 << 17), 0
            while at + 16 <= len(data):
                length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                body = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    _check(body)
                    return found
                found.append((kind, body))


def _check(body: bytes) -> None:
    """Raises OSError for the error that an acknowledgement tells, in the kernel's own words."""
    number = -struct.unpack_from("=i", body)[0]
    if not number:
        return
    words = os.strerror(number)
    original = struct.unpack_from("=I", body, 4)[0]
    for start in (20, 4 + original):  # NLM_F_CAPPED leaves out what was asked
        said = dict(attributes(body, start)).get(1) if start < len(body) else None
        if said:
            words += ": " + said.rstrip(b"\0").decode(errors="replace")
            break
    raise OSError(number, words)
