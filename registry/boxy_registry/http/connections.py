"""Connections: what is not HTTP is told so, silence ends, and there are not too many."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from boxy_registry.errors import Failed, RegistryError, Unavailable
from boxy_registry.http.exchange import JSON
from boxy_registry.http.quick import Quick
from boxy_registry.names import shown

log = logging.getLogger("boxy_registry.http")

_UNUSED_LOG = logging.getLogger("boxy_registry.unused")
_UNUSED_LOG.disabled = True  # the access log is an observer, and says more
_ENDING = 0.02
"""seconds between two looks at who is idle, at the end"""
_CHECK = 5.0
"""seconds between two looks at who is silent"""


KNOWN = hasattr(HttpRequestParser, "message_consumed") and {
    "_messages", "_next_keepalive_close_time", "_waiter"
} <= set(web.RequestHandler.__slots__)  # fmt: skip
"""whether aiohttp is made as `Connection.data_received` knows it; else all takes the long way"""


class BadRequest(RegistryError):
    """The bytes are not HTTP."""

    code, status = "UNSUPPORTED", 400


class Connection(web.RequestHandler):
    """aiohttp's protocol, with our form of errors and a time for the last byte that came."""

    __slots__ = ("_quick", "last_byte")

    def __init__(self, manager: web.Server, quick: Quick | None = None, **options: Any) -> None:
        super().__init__(manager, **options)
        self.last_byte = self._loop.time()
        self._quick = quick if KNOWN else None

    def data_received(self, data: bytes) -> None:
        """Answer here what can be; aiohttp's task, which waits for a message, gets the rest."""
        self.last_byte = self._loop.time()
        waiter = self._waiter
        if self._quick is None or waiter is None or waiter.done() or self._messages:
            super().data_received(data)
            return
        self._waiter = None  # or it would be woken for what is answered here
        try:
            super().data_received(data)
            while self._messages and self._answered(self._quick):
                self._messages.popleft()
                if self._parser is not None:
                    self._parser.message_consumed()
        finally:
            self._waiter = waiter
        if self._messages and not waiter.done():
            waiter.set_result(None)

    def _answered(self, quick: Quick) -> bool:
        """Whether the first message was answered."""
        message, payload = self._messages[0]
        transport = self.transport
        if (
            payload is not EMPTY_PAYLOAD
            or not isinstance(message, RawRequestMessage)
            or transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()  # it does not read what it asks for
        ):
            return False
        answer = quick.answer(message, self.peername[0] if self.peername else None)
        if answer is None:
            return False
        transport.write(answer)
        self._next_keepalive_close_time = self.last_byte + self._keepalive_timeout
        return True

    def silent_since(self, when: float) -> bool:
        """Whether it is the client's turn, and was since then."""
        if self.last_byte > when:
            return False
        request = self._current_request
        return request is None or not request.content.is_eof()

    def end_if_idle(self) -> None:
        """Hang up, unless a request is under way or has just come."""
        if self._current_request is None and not self._messages:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a client is told whose bytes made no request."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        if isinstance(exc, ConnectionError):
            log.debug("the client left: %s", exc)
        elif status >= 500 and exc is not None:
            log.error("a request broke the server", exc_info=exc)
            return _closing(Failed("the registry failed; its log has the traceback"))
        reason = " ".join((message or str(exc) or "").split())
        return _closing(BadRequest(f"the request is not proper HTTP: {shown(reason)}"))


class Connections:
    """The connections of one serving process: a factory for `loop.create_server`.

    `most`: how many at a time (0: any number); `idle`: seconds that a client may leave us
    waiting (0: for ever).
    """

    def __init__(
        self, server: web.Server, quick: Quick, *, most: int, idle: float, options: Any
    ) -> None:
        self._server = server
        self._quick = quick if quick.wanted else None
        self._most = most
        self._idle = idle
        self._options = {"logger": log, "access_log": _UNUSED_LOG, **options}

    def __call__(self) -> asyncio.BaseProtocol:
        """The protocol of a connection that was just accepted."""
        if self._most and len(self._server.connections) >= self._most:
            return _Full()
        loop = asyncio.get_running_loop()
        return Connection(self._server, self._quick, loop=loop, **self._options)

    async def end_silent_ones(self) -> None:
        """Close connections on which a client says nothing; never returns."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_CHECK, self._idle / 4 if self._idle else _CHECK))
            if not self._idle:
                continue
            since = loop.time() - self._idle
            for connection in self._server.connections:
                if isinstance(connection, Connection) and connection.silent_since(since):
                    connection.force_close()

    async def end_all(self, within: float) -> None:
        """Hang up on everyone, once what they asked is answered, or `within` so many seconds.

        aiohttp's own way to end takes no more of a body from then on, so that no upload under
        way could ever be answered.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while self._server.connections and loop.time() < deadline:
            for connection in self._server.connections:
                if isinstance(connection, Connection):
                    connection.end_if_idle()
            await asyncio.sleep(_ENDING)
        await self._server.shutdown(0.5)


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        body = msgspec.json.encode(Unavailable("the registry is full; try again").to_wire())
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
            f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()


def _closing(error: RegistryError) -> web.Response:
    response = web.Response(
        status=error.status, body=msgspec.json.encode(error.to_wire()), content_type=JSON
    )
    response.force_close()
    return response
