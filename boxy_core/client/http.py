"""As much of HTTP/1.1 as a client of the daemon needs (RFC 9112).  Sans-I/O.

Constraint: shared by the blocking and the asyncio client, and on the start-up path of every
`boxy` command: no imports but our own errors.  A `ResponseReader` eats bytes in pieces of any
size and gives back the body; it never touches a socket.
"""

from __future__ import annotations

from boxy_core.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_LIMIT = 64 * 1024
"""bytes; a longer head is not the daemon's"""
_LINE_LIMIT = 4096
_UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:,/@"
)  # RFC 3986, and what a query may carry unquoted; "/" stays, so a path can be quoted whole


def quote(text: str, *, keep_slash: bool = True) -> str:
    """Percent-encode for a path or a query (RFC 3986, section 2.1)."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(
        chr(byte) if byte in _UNRESERVED and (keep_slash or byte != 0x2F) else f"%{byte:02X}"
        for byte in raw
    )


def target(path: str, query: Mapping[str, object] | None = None) -> str:
    """A request target: `path` as it is, and the query; None is left out, a list is repeated.

    `True` and `False` travel as 1 and 0.
    """
    pairs: list[str] = []
    for key, value in (query or {}).items():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if item is not None:
                text = str(int(item)) if isinstance(item, bool) else str(item)
                pairs.append(f"{quote(key)}={quote(text)}")
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def request_head(
    method: str,
    target_: str,
    *,
    length: int | None = None,
    upgrade: str = "",
    kind: str = "application/json",
) -> bytes:
    """The head of a request with a body of `length` bytes (None: no body, -1: chunked)."""
    lines = [f"{method} {target_} HTTP/1.1", "Host: boxy", "Accept: application/json"]
    if length is not None:
        size = f"Content-Length: {length}" if length >= 0 else "Transfer-Encoding: chunked"
        lines += [f"Content-Type: {kind}", size]
    if upgrade:
        lines += [f"Upgrade: {upgrade}", "Connection: Upgrade"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class Head:
    """Status line and headers of a response; header names are in lower case."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status = status
        self.reason = reason
        self.headers = headers

    def keeps_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return "close" not in self.headers.get("connection", "").lower()


def parse_head(block: bytes) -> Head:
    """Parse a head, without the blank line.  Raises ProtocolError."""
    first, *lines = block.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    number, _, reason = rest.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or len(number) != 3 or not number.isdecimal():
        raise ProtocolError("the answer is not HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolError("the answer has a header that is not one")
        headers[name.lower()] = value.strip()
    return Head(int(number), reason, headers)


class _Length:
    """A body of a known number of bytes."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, buffer: bytearray) -> bytes:
        part = bytes(buffer[: self._left])
        del buffer[: self._left]
        self._left -= len(part)
        self.done = self._left == 0
        return part


class _UntilClose:
    """A body that ends with the connection."""

    done = False

    def feed(self, buffer: bytearray) -> bytes:
        part = bytes(buffer)
        buffer.clear()
        return part


class _Chunked:
    """The chunked coding (RFC 9112, section 7.1); extensions and trailers are skipped."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the present chunk that have not come, its CRLF not counted
        self._state = "size"
        self.done = False

    def feed(self, buffer: bytearray) -> bytes:
        parts: list[bytes] = []
        while not self.done:
            if self._state == "data":
                if not buffer:
                    break
                part = bytes(buffer[: self._left])
                del buffer[: len(part)]
                parts.append(part)
                self._left -= len(part)
                if self._left:
                    break
                self._state = "end"
            else:
                line = _take_line(buffer)
                if line is None:
                    break
                self._line(line)
        return b"".join(parts)

    def _line(self, line: bytes) -> None:
        if self._state == "end":
            if line:
                raise ProtocolError("a chunk of the answer is longer than it says")
            self._state = "size"
        elif self._state == "trailer":
            self.done = not line
        else:
            self._left = _chunk_size(line)
            self._state = "data" if self._left else "trailer"


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise ProtocolError("a chunk of the answer has no length")
    return int(digits, 16)


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\r\n")
    if end > _LINE_LIMIT or (end < 0 and len(buffer) > _LINE_LIMIT):
        raise ProtocolError("a line of the answer is too long")
    if end < 0:
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


class ResponseReader:
    """Reads one response: `feed` bytes, get the body's bytes; `head` is set when it is complete.

    `done` says that the response is complete; `rest` is what came after it: of an upgraded
    connection (status 101) the first bytes of the stream.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body: _Length | _Chunked | _UntilClose | None = None
        self.head: Head | None = None

    @property
    def done(self) -> bool:
        """Whether the whole response has come."""
        return self._body is not None and self._body.done

    @property
    def started(self) -> bool:
        """Whether any byte has come."""
        return self.head is not None or bool(self._buffer)

    @property
    def rest(self) -> bytes:
        """Bytes beyond the end of the response."""
        return bytes(self._buffer) if self.done else b""

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take bytes; return those of the body that are ready.  Raises ProtocolError."""
        self._buffer += data
        while self._body is None:
            if not self._take_head():
                return b""
        return b"" if self._body.done else self._body.feed(self._buffer)

    def eof(self) -> None:
        """The connection was closed.  Raises ProtocolError if the response is cut off."""
        if isinstance(self._body, _UntilClose):
            self._body.done = True
        elif not self.done:
            raise ProtocolError("the answer ended in the middle")

    def _take_head(self) -> bool:
        buffer = self._buffer
        if not b"HTTP/1.".startswith(buffer[:7]):
            raise ProtocolError("the answer is not HTTP")
        end = buffer.find(b"\r\n\r\n")
        if end > HEAD_LIMIT or (end < 0 and len(buffer) > HEAD_LIMIT):
            raise ProtocolError("the head of the answer is too long")
        if end < 0:
            return False
        head = parse_head(bytes(buffer[:end]))
        del buffer[: end + 4]
        if head.status >= 200 or head.status == 101:
            self.head = head
            self._body = _body_of(head)
        return True


def _body_of(head: Head) -> _Length | _Chunked | _UntilClose:
    """How the body is delimited (RFC 9112, section 6.3)."""
    if head.status in (101, 204, 304):
        return _Length(0)
    coding = head.headers.get("transfer-encoding", "")
    if coding:
        if coding.lower() != "chunked":
            raise ProtocolError("the answer's transfer coding is unknown")
        return _Chunked()
    length = head.headers.get("content-length")
    if length is None:
        return _UntilClose()
    if not length.isdecimal() or not length.isascii() or len(length) > 18:
        raise ProtocolError("the answer's Content-Length is not a number")
    return _Length(int(length))
