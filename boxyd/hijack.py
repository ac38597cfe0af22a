"""Taking a client's connection out of the HTTP server, to hand it to a shim.

Constraint: what a client sends right behind its `Upgrade` request (typed keys, a pipe's bytes)
belongs to the shim.  aiohttp reads as much as there is and would take it for a next request,
so the door looks before it reads: recv(2) with MSG_PEEK tells where the request ends, and no
byte beyond it is ever taken out of the kernel.  The shim finds the connection exactly as the
client left it.

`Framer` finds the ends of requests (RFC 9112) and touches no socket; `Door` stands between
the socket and aiohttp's own protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import re
import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from aiohttp import web

from boxy_core.errors import InvalidRequest
from boxy_core.protocol import UPGRADE

PEEK = 1 << 16
_BUFFER = bytearray(PEEK)
# One for all connections: the loop fills it and it is emptied before the loop goes on.
MAX_HEAD = 1 << 16
MAX_DISCARDED = 1 << 22
"""bytes that a refused client may have sent and still leave without a reset"""
_UPGRADE = re.compile(
    rb"\r\nupgrade[ \t]*:[ \t]*" + UPGRADE.encode() + rb"[ \t]*\r\n", re.IGNORECASE
)
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.IGNORECASE)
_END = b"\r\n\r\n"


class Framer:
    """Follows a connection's requests far enough to know where an upgrade request ends.

    A connection that it cannot follow (a chunked body, an endless head) is `opaque`: its bytes
    all pass, aiohttp judges them, and no upgrade is possible on it.
    """

    __slots__ = ("_body", "_head", "_upgrade", "opaque", "upgraded")

    def __init__(self) -> None:
        self._head = b""
        self._body = 0
        self._upgrade = False
        self.opaque = False
        self.upgraded = False

    def take(self, data: bytes) -> int:
        """Go on over `data`; how many of its bytes belong to HTTP.

        Less than all of them only at the end of an upgrade request.
        """
        at = 0
        while at < len(data) and not (self.opaque or self.upgraded):
            if self._body:
                step = min(self._body, len(data) - at)
                self._body -= step
                at += step
            else:
                at = self._take_head(data, at)
            self.upgraded = self._upgrade and not self._body and not self.opaque
        return len(data) if self.opaque else at

    def look(self, data: bytes) -> int:
        """What `take` would say, without going on."""
        return copy.copy(self).take(data)

    def _take_head(self, data: bytes, at: int) -> int:
        seen = len(self._head)
        head = self._head + data[at:]
        if not seen:
            # RFC 9112 2.2: empty lines before a request line are to be ignored
            blank = len(head) - len(head.lstrip(b"\r\n"))
            if blank:
                return at + blank
        end = head.find(_END)
        if end < 0:
            self._head = head
            self.opaque = len(head) > MAX_HEAD
            return len(data)
        head = head[: end + len(_END)]
        self._head = b""
        self._judge(head)
        return at + len(head) - seen

    def _judge(self, head: bytes) -> None:
        length = _LENGTH.search(head)
        self._body = int(length[1]) if length else 0
        self._upgrade = bool(_UPGRADE.search(head))
        self.opaque = bool(_CHUNKED.search(head))


class Peer(NamedTuple):
    """Who is at the other end, by the kernel's word: SO_PEERCRED, unix(7)."""

    pid: int
    uid: int
    gid: int


def peer_of(transport: asyncio.BaseTransport | None) -> Peer:
    """The credentials of a connection's other end when it connected; -1 if it is gone."""
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None:
        return Peer(-1, -1, -1)
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


class _Gated:
    """The transport as aiohttp sees it: once an upgrade was asked for, reading stays paused.

    Its protocol resumes reading on its own at the end of every body.
    """

    def __init__(self, transport: asyncio.Transport, framer: Framer) -> None:
        self._transport = transport
        self._framer = framer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def resume_reading(self) -> None:
        """Read on, unless what comes is not for us."""
        if not self._framer.upgraded:
            self._transport.resume_reading()


class Door(asyncio.BufferedProtocol):
    """One connection: bytes up to an upgrade go to aiohttp's protocol, what follows stays."""

    def __init__(self, inner: web.RequestHandler) -> None:
        self._inner = inner
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._on_lost: list[Callable[[], object]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop has a new connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._socket = transport.get_extra_info("socket").dup()
        self._inner.connection_made(cast(asyncio.Transport, _Gated(self._transport, self._framer)))

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._inner.connection_lost(exc)
        for callback in self._on_lost:
            callback()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._inner.resume_writing()

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        self._inner.eof_received()
        return None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: exactly as long as HTTP reaches."""
        view = memoryview(_BUFFER)
        if self._framer.opaque or self._socket is None:
            return view
        try:
            waiting = self._socket.recv(PEEK, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return view[:1]  # the read that follows meets the same error and reports it
        return view[: max(1, self._framer.look(waiting))]

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` came into the buffer."""
        data = bytes(memoryview(_BUFFER)[:nbytes])
        self._advance(data)
        self._inner.data_received(data)

    def _advance(self, data: bytes) -> None:
        self._framer.take(data)
        if self._framer.upgraded and self._transport is not None:
            self._transport.pause_reading()

    def on_lost(self, callback: Callable[[], object]) -> None:
        """Have `callback` called when the client is gone."""
        self._on_lost.append(callback)

    def take(self) -> int:
        """A descriptor of the connection, for the caller to close, with nothing read from it
        past the upgrade request.  The server's own stays until `leave`.

        Raises InvalidRequest if the connection cannot be taken over.
        """
        if self._socket is None or not self._framer.upgraded:
            raise InvalidRequest(
                "this connection cannot be upgraded",
                hint="send the upgrade alone on a fresh connection, its body with Content-Length",
            )
        return os.dup(self._socket.fileno())

    def discard(self) -> None:
        """Drop what the client sent for a stream that it does not get.

        Closing a socket with unread bytes resets it (unix(7)), and the client might take the
        reset for the answer.
        """
        with contextlib.suppress(OSError):
            for _ in range(MAX_DISCARDED // PEEK):
                if self._socket is None or not self._framer.upgraded:
                    break
                if not self._socket.recv(PEEK, socket.MSG_DONTWAIT):
                    break

    def leave(self) -> None:
        """The server lets go of the connection: its descriptors are closed, nothing is sent."""
        if self._transport is not None:
            self._transport.abort()


class TakenOver(web.Response):
    """The answer to a request whose connection another process answers."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""
        self.force_close()

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


def door_of(request: web.Request) -> Door:
    """The door that a request came through; raises InvalidRequest if the client is gone."""
    protocol = request.transport.get_protocol() if request.transport else None
    if not isinstance(protocol, Door):
        raise InvalidRequest("the client is gone", hint="connect again")
    return protocol


def doors(inner: Callable[[], web.RequestHandler]) -> Callable[[], Door]:
    """A factory of doors, for `loop.create_unix_server`."""

    def make() -> Door:
        return Door(inner())

    return make
