"""The asyncio client of the daemon's socket: what the console stands on.

Constraint: the same face as the blocking client (`request`, `stream`, `upgrade`) over the same
`http.py`, on nothing but the event loop and raw sockets, because an upgraded connection is handed
on as a socket.  Every call is a connection of its own, so that cancelling is closing and
back-pressure is the socket's.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from boxy_core.client.http import Head, ResponseReader, quote, request_head, target
from boxy_core.errors import BoxyError, DaemonUnreachable, Denied, ProtocolError, from_wire
from boxy_core.errors import Timeout as TimedOut
from boxy_core.paths import start_hint
from boxy_core.protocol import API, UPGRADE, FrameReader

PIECE = 65_536
MAX_BODY = 64 << 20
MAX_LINE = 8 << 20
ANSWER_WITHIN = 60.0
"""Seconds that a plain request may take."""

Query = Mapping[str, object]


class Upgraded(NamedTuple):
    """A connection that speaks frames now: non-blocking socket, bytes that came early, headers."""

    sock: socket.socket
    early: bytes
    headers: dict[str, str]


class Answer:
    """An answer under way: its head is here, the body comes as it is read."""

    def __init__(self, sock: socket.socket, reader: ResponseReader, head: Head, early: bytes):
        self.head = head
        self.reader = reader
        self._sock = sock
        self._early = early

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, in whatever pieces it comes.  Raises ProtocolError if it is cut off."""
        if self._early:
            yield self._early
        while not self.reader.done:
            data = await _receive(self._sock)
            if not data:
                self.reader.eof()
                return
            if part := self.reader.feed(data):
                yield part

    async def body(self) -> bytes:
        """The whole body, at most 64 MiB."""
        parts = bytearray()
        async for piece in self.pieces():
            parts += piece
            if len(parts) > MAX_BODY:
                raise ProtocolError("the daemon's answer is longer than 64 MiB")
        return bytes(parts)

    async def lines(self) -> AsyncIterator[Any]:
        """The body as NDJSON.  A line `{"error": ...}` is raised as the error that it describes."""
        buffer = b""
        async for piece in self.pieces():
            *whole, buffer = (buffer + piece).split(b"\n")
            if len(buffer) > MAX_LINE:
                raise ProtocolError("the daemon sent a line of more than 8 MiB")
            for line in whole:
                if line.strip():
                    yield _checked(_decode(line))

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """The body as stream frames: (type, payload)."""
        reader = FrameReader()
        async for piece in self.pieces():
            for frame in reader.feed(piece):
                yield frame


class Client:
    """Talks to the daemon behind one Unix socket.

    Every method raises the BoxyError that the daemon answered, DaemonUnreachable when nobody
    listens, Denied when the socket is not ours to open.
    """

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        within: float = ANSWER_WITHIN,
    ) -> Any:
        """One request; the decoded JSON of its answer (None when it has no body).

        Raises Timeout when the answer is not complete `within` so many seconds.
        """
        try:
            async with (
                asyncio.timeout(within),
                self.stream(method, path, query=query, body=body) as answer,
            ):
                data = await answer.body()
        except TimeoutError:
            raise TimedOut(
                f"the daemon did not answer {method} {path} within {within:.0f} s",
                hint="look into its log",
            ) from None
        return _decode(data) if data.strip() else None

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> AsyncIterator[Answer]:
        """An answer that is read piece by piece; leaving the block closes the connection."""
        sock, answer = await self._ask(method, path, query, body, upgrade="")
        with sock:
            try:
                yield answer
            except OSError as error:
                raise self._unreachable(error) from None

    async def upgrade(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Upgraded:
        """A connection turned into a stream of frames (`101 Switching Protocols`)."""
        sock, answer = await self._ask(method, path, query, body, upgrade=UPGRADE)
        if answer.head.status != 101:
            sock.close()
            raise ProtocolError(f"the daemon answered {answer.head.status} instead of a stream")
        return Upgraded(sock, answer.reader.rest, answer.head.headers)

    async def _ask(
        self, method: str, path: str, query: Query | None, body: object, *, upgrade: str
    ) -> tuple[socket.socket, Answer]:
        payload = b"" if body is None else json.dumps(body).encode()
        length = len(payload) if body is not None or method == "POST" else None
        where = target(API + quote(path), query)
        head = request_head(method, where, length=length, upgrade=upgrade)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, self.socket_path)
            await loop.sock_sendall(sock, head + payload)
            answer = await _read_head(sock)
            if answer.head.status >= 300:
                raise _error_of(answer.head.status, await answer.body())
        except PermissionError:
            sock.close()
            raise Denied(
                f"you may not open the daemon's socket {self.socket_path}",
                hint="become root or join the group `boxy`",
            ) from None
        except OSError as error:
            sock.close()
            raise self._unreachable(error) from None
        except BaseException:
            sock.close()
            raise
        return sock, answer

    def _unreachable(self, error: OSError) -> DaemonUnreachable:
        reason = (error.strerror or str(error)).lower()
        return DaemonUnreachable(
            f"no daemon answers on {self.socket_path} ({reason})",
            hint=start_hint(),
        )


async def _receive(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, PIECE)


async def _read_head(sock: socket.socket) -> Answer:
    reader = ResponseReader()
    while True:
        data = await _receive(sock)
        if not data:
            raise DaemonUnreachable(
                "the daemon closed the connection without an answer", hint="look into its log"
            )
        early = reader.feed(data)
        if reader.head is not None:
            return Answer(sock, reader, reader.head, early)


def _decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError(f"the daemon's answer is not JSON: {data[:60]!r}") from None


def _checked(line: Any) -> Any:
    if isinstance(line, dict) and isinstance(line.get("error"), dict) and "code" in line["error"]:
        raise from_wire(line["error"])
    return line


def _error_of(status: int, body: bytes) -> BoxyError:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if isinstance(data, dict) and isinstance(data.get("error"), dict):
        return from_wire(data["error"])
    text = body[:200].decode(errors="replace").strip() or "no reason given"
    return ProtocolError(f"the daemon answered with status {status}: {text}")
