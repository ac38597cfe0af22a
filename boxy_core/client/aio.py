"""The asyncio client of the daemon's socket: what the console stands on.

Constraint: the same face as the blocking client (`request`, `stream`, `upgrade`), on nothing but
the event loop and raw sockets, because an upgraded connection is handed on as a socket.  Every
call is a connection of its own, so that cancelling is closing and back-pressure is the socket's.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from boxy_core.errors import DaemonUnreachable, Denied, ProtocolError, from_wire
from boxy_core.errors import Timeout as TimedOut
from boxy_core.protocol import API, UPGRADE, FrameReader

PIECE = 65_536
MAX_HEAD = 65_536
MAX_BODY = 64 << 20
MAX_LINE = 8 << 20
ANSWER_WITHIN = 60.0
"""Seconds that a plain request may take; a stop waits for the box's grace period."""

Query = Mapping[str, object]


class Upgraded(NamedTuple):
    """A connection that speaks frames now: non-blocking socket, bytes that came early, headers."""

    sock: socket.socket
    early: bytes
    headers: dict[str, str]


def target(path: str, query: Query | None = None) -> str:
    """The request target below the API's prefix; None values are left out, booleans are 1 or 0."""
    url = API + quote(path, safe="/:@")
    pairs = [(k, int(v) if isinstance(v, bool) else v) for k, v in (query or {}).items()]
    encoded = urlencode([(k, str(v)) for k, v in pairs if v is not None])
    return f"{url}?{encoded}" if encoded else url


def request_head(method: str, path: str, query: Query | None, body: bytes, upgrade: bool) -> bytes:
    """The request line and headers (RFC 9112), with the body behind them."""
    lines = [f"{method} {target(path, query)} HTTP/1.1", "Host: boxy"]
    if upgrade:
        lines += ["Connection: Upgrade", f"Upgrade: {UPGRADE}"]
    else:
        lines.append("Connection: close")
    if body or method in ("POST", "PUT"):
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


class Answer:
    """An answer under way: status and headers are here, the body comes as it is read."""

    def __init__(self, sock: socket.socket, status: int, headers: dict[str, str], early: bytes):
        self.status = status
        self.headers = headers
        self.early = early
        self._sock = sock

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, in whatever pieces it comes.  Raises ProtocolError if it is cut off."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            async for piece in self._chunks():
                yield piece
            return
        length = self.headers.get("content-length")
        left = int(length) if length and length.isdigit() else None
        if self.early:
            yield self.early
            left = None if left is None else left - len(self.early)
        while left is None or left > 0:
            data = await _receive(self._sock)
            if not data:
                if left:
                    raise ProtocolError("the daemon's answer was cut off")
                return
            left = None if left is None else left - len(data)
            yield data

    async def _chunks(self) -> AsyncIterator[bytes]:
        buffer = bytearray(self.early)
        while True:
            end = buffer.find(b"\r\n")
            if end < 0:
                await self._more(buffer)
                continue
            try:
                size = int(bytes(buffer[:end]).split(b";")[0], 16)
            except ValueError:
                raise ProtocolError("the daemon's answer has a chunk without a size") from None
            while len(buffer) < end + 2 + size + 2:
                await self._more(buffer)
            if size == 0:
                return
            yield bytes(buffer[end + 2 : end + 2 + size])
            del buffer[: end + 4 + size]

    async def _more(self, buffer: bytearray) -> None:
        data = await _receive(self._sock)
        if not data or len(buffer) > MAX_BODY:
            raise ProtocolError("the daemon's answer was cut off")
        buffer += data

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
        buffer = bytearray()
        async for piece in self.pieces():
            buffer += piece
            *whole, rest = buffer.split(b"\n")
            if len(rest) > MAX_LINE:
                raise ProtocolError("the daemon sent a line of more than 8 MiB")
            buffer = bytearray(rest)
            for line in whole:
                if line.strip():
                    yield _checked(_decode(bytes(line)))

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
        timeout: float = ANSWER_WITHIN,  # noqa: ASYNC109 - the deadline is the wire's, and named in the error
    ) -> Any:
        """One request; the decoded JSON of its answer (None when it has no body)."""
        try:
            async with asyncio.timeout(timeout):
                async with self.stream(method, path, query=query, body=body) as answer:
                    data = await answer.body()
        except TimeoutError:
            raise TimedOut(
                f"the daemon did not answer {method} {path} within {timeout:.0f} s",
                hint="look into its log",
            ) from None
        return _decode(data) if data.strip() else None

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> AsyncIterator[Answer]:
        """An answer that is read piece by piece; leaving the block closes the connection."""
        sock, answer = await self._ask(method, path, query, body, upgrade=False)
        try:
            yield answer
        finally:
            sock.close()

    async def upgrade(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Upgraded:
        """A connection turned into a stream of frames (`101 Switching Protocols`)."""
        sock, answer = await self._ask(method, path, query, body, upgrade=True)
        if answer.status != 101:
            sock.close()
            raise ProtocolError(f"the daemon answered {answer.status} instead of a stream")
        return Upgraded(sock, answer.early, answer.headers)

    async def _ask(
        self, method: str, path: str, query: Query | None, body: object, *, upgrade: bool
    ) -> tuple[socket.socket, Answer]:
        payload = b"" if body is None else json.dumps(body).encode()
        head = request_head(method, path, query, payload, upgrade)
        sock = await self._connect()
        try:
            await asyncio.get_running_loop().sock_sendall(sock, head)
            answer = await _read_head(sock)
            if answer.status >= 300:
                raise _error_of(answer.status, await answer.body())
        except OSError as error:
            sock.close()
            raise _unreachable(self.socket_path, error) from None
        except BaseException:
            sock.close()
            raise
        return sock, answer

    async def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, self.socket_path)
        except PermissionError:
            sock.close()
            raise Denied(
                f"you may not open the daemon's socket {self.socket_path}",
                hint="become root or join the group `boxy`",
            ) from None
        except OSError as error:
            sock.close()
            raise _unreachable(self.socket_path, error) from None
        except BaseException:
            sock.close()
            raise
        return sock


def _unreachable(path: str, error: OSError) -> DaemonUnreachable:
    reason = (error.strerror or str(error)).lower()
    return DaemonUnreachable(
        f"no daemon answers on {path} ({reason})",
        hint="start it with: sudo boxyd & (or make run)",
    )


async def _receive(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, PIECE)


async def _read_head(sock: socket.socket) -> Answer:
    buffer = bytearray()
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = await _receive(sock)
        if not data:
            raise DaemonUnreachable(
                "the daemon closed the connection without an answer", hint="look into its log"
            )
        buffer += data
        if len(buffer) > MAX_HEAD and b"\r\n\r\n" not in buffer:
            raise ProtocolError("the daemon's answer has a head of more than 64 KiB")
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ProtocolError(f"what answers on the socket does not speak HTTP: {first[:60]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(sock, int(parts[1]), headers, bytes(buffer[end + 4 :]))


def _decode(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise ProtocolError(f"the daemon's answer is not JSON: {data[:60]!r}") from None


def _checked(line: Any) -> Any:
    if isinstance(line, dict) and isinstance(line.get("error"), dict) and "code" in line["error"]:
        raise from_wire(line["error"])
    return line


def _error_of(status: int, body: bytes) -> Exception:
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if isinstance(data, dict) and isinstance(data.get("error"), dict):
        return from_wire(data["error"])
    text = body[:200].decode(errors="replace").strip() or "no reason given"
    return ProtocolError(f"the daemon answered with status {status}: {text}")
