"""The command line's client: blocking, hand-written over one Unix socket.

Constraint: on the start-up path of every `boxy` command.  It imports the C module `_socket`
(the package `socket` loads selectors and enum, 3 ms) and our own light modules, nothing else.
Not thread-safe: a thread makes its own `Client`.
"""

from __future__ import annotations

import errno
from _socket import AF_UNIX, SO_SNDTIMEO, SOCK_STREAM, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812 - it is the class
from _struct import pack
from posix import stat

from boxy_core import wirejson
from boxy_core.client.http import Head, ResponseReader, quote, request_head, target
from boxy_core.errors import DaemonUnreachable, ProtocolError, Timeout, from_wire
from boxy_core.paths import start_hint
from boxy_core.protocol import API, UPGRADE, FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Self

    from boxy_core.paths import Paths

TIMEOUT = 60.0
"""seconds without a byte before an ordinary request is given up"""
CONNECT_TIMEOUT = 5
"""seconds; a Unix socket connects at once unless the daemon's backlog is full"""
RECEIVE = 64 * 1024
UPLOAD_PIECE = 1 << 20


class Upgraded:
    """A connection that left HTTP: frames from now on, in both directions.

    `socket` is the caller's to close, `rest` the stream bytes that came with the head,
    `headers` the head's (of an exec: `boxy-session`).
    """

    __slots__ = ("headers", "rest", "socket")

    def __init__(self, socket: Socket, rest: bytes, headers: dict[str, str]) -> None:
        self.socket = socket
        self.rest = rest
        self.headers = headers

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The frames as they come, until the other side closes.

        Raises ProtocolError for a broken frame.  For tests and simple readers; the terminal's
        loop reads the socket itself.
        """
        reader = FrameReader()
        data = self.rest
        while True:
            yield from reader.feed(data)
            data = self.socket.recv(RECEIVE)
            if not data:
                break
        if reader.pending:
            raise ProtocolError("the stream ended in the middle of a frame")


class Client:
    """Speaks to the daemon behind `paths.socket`.

    A connection is kept and used again for the next request.  Every method raises the error
    that the daemon sent, DaemonUnreachable when nobody (or somebody else) answers, and Timeout
    after `timeout` seconds of silence (None: never).
    """

    def __init__(self, paths: Paths, *, timeout: float | None = TIMEOUT) -> None:
        self.path = paths.socket
        self.timeout = timeout
        self._idle: Socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connection; the client can still be used."""
        idle, self._idle = getattr(self, "_idle", None), None
        if idle is not None:
            idle.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        timeout: float | None = -1,
        meanwhile: Callable[[], object] | None = None,
    ) -> Any:
        """One request; the decoded answer (None if it has no body).  `path` is below the API.

        `timeout` replaces the client's for this request; None waits for ever.  `meanwhile` is
        called between asking and listening: work to do while the daemon does its own.
        """
        exchange = self._send(method, path, query, body, timeout)
        try:
            if meanwhile is not None:
                meanwhile()
            content = exchange.read_all()
            answer = exchange.decode(content)
        except BaseException:
            exchange.close()
            raise
        self._keep(exchange)
        return answer

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """The lines of an NDJSON answer, decoded, as they come; leaving the loop ends it.

        The request is sent at once, so that an error is raised here and not at the first line.
        """
        exchange = self._send(method, path, query, body, timeout)
        exchange.read_head_or_error()
        return _lines(exchange)

    def frames(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """The (type, payload) frames of an answer that is a stream of them: logs."""
        exchange = self._send(method, path, query, None, None)
        exchange.read_head_or_error()
        return _frames(exchange)

    def download(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None
    ) -> Iterator[bytes]:
        """The bytes of an answer that is a file; ProtocolError if it breaks off."""
        exchange = self._send(method, path, query, None, None)
        exchange.read_head_or_error()
        return exchange.body()

    def upload(
        self, path: str, read: Callable[[int], bytes], *, query: Mapping[str, object] | None = None
    ) -> Any:
        """POST what `read(n)` gives until it gives b""; the decoded answer."""
        head = request_head(
            "POST", target(API + path, query), length=-1, kind="application/octet-stream"
        )
        exchange = _Exchange(self._connection(), self.path, None)
        try:
            exchange.socket.settimeout(None)
            try:
                exchange.socket.sendall(head)
                while piece := read(UPLOAD_PIECE):
                    exchange.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                exchange.socket.sendall(b"0\r\n\r\n")
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have said why before it closed
            return exchange.decode(exchange.read_all())
        finally:
            exchange.close()

    def upgrade(
        self,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        timeout: float | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> Upgraded:
        """POST and leave HTTP: the connection becomes a stream of frames.

        `meanwhile` as in `request`.  Raises ProtocolError when the daemon answers without
        switching.
        """
        exchange = self._send("POST", path, query, body, timeout, upgrade=UPGRADE)
        if meanwhile is not None:
            meanwhile()
        head = exchange.read_head_or_error()
        if head.status != 101:
            exchange.close()
            raise ProtocolError(f"the daemon did not open a stream for {path}")
        exchange.socket.settimeout(None)
        return Upgraded(exchange.socket, exchange.reader.rest, head.headers)

    # ------------------------------------------------------------------ connections

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: object,
        timeout: float | None,
        *,
        upgrade: str = "",
    ) -> _Exchange:
        content = b"" if body is None else wirejson.dumps(body)
        length = len(content) if body is not None or method == "POST" else None
        head = request_head(method, target(API + path, query), length=length, upgrade=upgrade)
        socket = self._connection()
        seconds = self.timeout if timeout == -1 else timeout
        exchange = _Exchange(socket, self.path, seconds)
        try:
            socket.settimeout(seconds)
            socket.sendall(head + content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered (too large, refused) before it closed: read that
        except BaseException:
            exchange.close()
            raise
        return exchange

    def _connection(self) -> Socket:
        """The kept connection if it still lives, else a new one."""
        socket, self._idle = self._idle, None
        if socket is not None:
            try:
                socket.setblocking(False)
                socket.recv(1)  # end of file, or bytes that nobody asked for
            except BlockingIOError:
                return socket
            except OSError:
                pass
            socket.close()
        return connect(self.path)

    def _keep(self, exchange: _Exchange) -> None:
        head = exchange.reader.head
        if head is not None and head.keeps_alive() and exchange.reader.done:
            self.close()
            self._idle = exchange.socket
        else:
            exchange.close()


class _Exchange:
    """One request that was sent, and its answer as it is read."""

    def __init__(self, socket: Socket, path: str, timeout: float | None) -> None:
        self.socket = socket
        self.reader = ResponseReader()
        self._path = path
        self._timeout = timeout

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> bytes:
        """The next bytes of the body; b"" if none are ready yet.  Sets `reader.done`."""
        try:
            data = self.socket.recv(RECEIVE)
        except TimeoutError:
            raise Timeout(
                f"the daemon did not answer within {self._timeout:g} seconds",
                hint="its log says what it is doing; the request may still be carried out",
            ) from None
        except ConnectionResetError:
            data = b""
        try:
            if data:
                return self.reader.feed(data)
            if not self.reader.started:
                raise DaemonUnreachable(
                    "the daemon went away before it answered", hint=start_hint()
                )
            self.reader.eof()
        except ProtocolError as error:
            if self.reader.head is None:
                raise _stranger(self._path) from error
            raise
        return b""

    def _read_head(self) -> tuple[Head, bytes]:
        content = b""
        while self.reader.head is None:
            content += self._receive()
        return self.reader.head, content

    def read_all(self) -> bytes:
        """The whole body of an answer that is not a stream."""
        parts = [self._read_head()[1]]
        while not self.reader.done:
            parts.append(self._receive())
        return b"".join(parts)

    def read_head_or_error(self) -> Head:
        """The head of a stream; the error instead if the answer is one.  Closes on errors."""
        try:
            head, self._first = self._read_head()
            if head.status >= 400:
                while not self.reader.done:
                    self._first += self._receive()
                self.decode(self._first)
        except BaseException:
            self.close()
            raise
        return head

    _first = b""

    def body(self) -> Iterator[bytes]:
        """The body's bytes as they come; closes the connection at the end."""
        try:
            if self._first:
                yield self._first
            while not self.reader.done:
                part = self._receive()
                if part:
                    yield part
        finally:
            self.close()

    def decode(self, content: bytes) -> Any:
        """The answer's JSON.  Raises the error that it describes."""
        head = self.reader.head
        status = head.status if head is not None else 0
        try:
            answer = wirejson.loads(content) if content.strip() else None
        except ValueError as error:
            raise _stranger(self._path) from error
        if status >= 400:
            wire = answer.get("error") if isinstance(answer, dict) else None
            if not isinstance(wire, dict):
                raise _stranger(self._path)
            raise from_wire(wire)
        return answer


def _lines(exchange: _Exchange) -> Iterator[Any]:
    pending = b""
    for part in exchange.body():
        *complete, pending = (pending + part).split(b"\n")
        for line in complete:
            if line.strip():
                yield _line(line)
    if pending.strip():
        yield _line(pending)


def _line(line: bytes) -> Any:
    try:
        value = wirejson.loads(line)
    except ValueError:
        raise ProtocolError("a line of the daemon's answer is not JSON") from None
    wire = value.get("error") if isinstance(value, dict) else None
    if isinstance(wire, dict) and "code" in wire:
        raise from_wire(wire)
    return value


def _frames(exchange: _Exchange) -> Iterator[tuple[int, bytes]]:
    reader = FrameReader()
    for part in exchange.body():
        yield from reader.feed(part)
    if reader.pending:
        raise ProtocolError("the daemon's answer ended in the middle of a frame")


def box_path(ref: str, action: str = "") -> str:
    """The API path of a box named by the user: `/boxes/REF/ACTION`."""
    return f"/boxes/{quote(ref, keep_slash=False)}{'/' + action if action else ''}"


def connect(path: str) -> Socket:
    """A connection to the daemon's socket.  Raises DaemonUnreachable with the next step."""
    socket = Socket(AF_UNIX, SOCK_STREAM)
    try:
        # connect(2) on a Unix socket waits for room in the backlog only when it blocks.
        socket.setsockopt(SOL_SOCKET, SO_SNDTIMEO, pack("@ll", CONNECT_TIMEOUT, 0))
        socket.connect(path)
    except OSError as error:
        socket.close()
        raise _unreachable(path, error) from error
    return socket


def _unreachable(path: str, error: OSError) -> DaemonUnreachable:
    """Each way of not reaching a daemon, with its own next step."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return DaemonUnreachable(
            f"no daemon runs here: there is no socket {path}", hint=start_hint(), reason="no-socket"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return DaemonUnreachable(
            f"you may not use the daemon's socket {path}", hint=_permission_hint(path),
            reason="permission",
        )  # fmt: skip
    if error.errno in (errno.ECONNREFUSED, errno.ENOTSOCK) and not _is_socket(path):
        return DaemonUnreachable(
            f"{path} is not a socket", hint="point BOXY_SOCKET at boxyd's", reason="not-ours"
        )
    if error.errno == errno.ECONNREFUSED:
        return DaemonUnreachable(
            f"nobody listens on {path}: the daemon has ended (its boxes go on without it)",
            hint=start_hint(), reason="nobody-listens",
        )  # fmt: skip
    if error.errno == errno.EAGAIN:
        return DaemonUnreachable(
            f"the daemon on {path} does not accept connections", reason="busy",
            hint="it hangs or is overloaded; its log says why",
        )  # fmt: skip
    reason = error.strerror or str(error)
    return DaemonUnreachable(f"cannot reach the daemon on {path}: {reason}", hint=start_hint())


def _permission_hint(path: str) -> str:
    try:
        group = stat(path).st_gid
    except OSError:
        group = 0
    if group == 0:
        return "use sudo, or join the group `boxy` and log in again"
    return f"use sudo, or join its group (id {group}): sudo usermod -aG {group} $USER"


def _is_socket(path: str) -> bool:
    try:
        return stat(path).st_mode & 0o170000 == 0o140000  # inode(7): S_IFSOCK
    except OSError:
        return False


def _stranger(path: str) -> DaemonUnreachable:
    return DaemonUnreachable(
        f"what answers on {path} is not boxyd",
        hint="point BOXY_SOCKET at boxyd's socket, or update whichever of the two is older",
        reason="not-ours",
    )
