"""The HTTP application on the daemon's socket: who asks, what is answered, what went wrong.

Constraint: this is the door.  Whatever comes in (malformed HTTP, a body without end, a client
that vanishes) ends here in a clear answer or a closed connection, and the daemon lives.  It
holds the one `except Exception` of the program: a bug answers `internal` and its traceback
goes to the log.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from boxy_core.errors import BoxyError, Internal, InvalidRequest, NotFound
from boxyd.admission import Admission
from boxyd.handlers import HOUSE, routes
from boxyd.hijack import Door, Peer, TakenOver, peer_of
from boxyd.house import House
from boxyd.traffic import ASKER

MAX_BODY = 1 << 20
"""bytes of a request's body"""
IDLE = 75.0
"""seconds that a connection may say nothing between requests"""
LAST_ANSWERS_WITHIN = 10.0
"""seconds that requests under way get when the daemon ends"""
_READING = ("GET", "HEAD")

log = logging.getLogger("boxyd.server")

_SILENT = logging.getLogger("boxyd.access")
_SILENT.disabled = True  # `_note` says more, in our form

ADMISSION = web.AppKey("admission", Admission)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves one house on one listening socket."""

    def __init__(self, house: House, sock: socket.socket) -> None:
        self._house = house
        self._socket = sock
        self._app = web.Application(middlewares=[_envelope], client_max_size=MAX_BODY)
        self._app[HOUSE] = house
        self._app[ADMISSION] = Admission(house.paths.socket)
        self._app.add_routes(routes())
        self._runner = web.AppRunner(self._app, handle_signals=False, access_log=None)
        self._listening: asyncio.Server | None = None

    async def start(self) -> None:
        """Take connections from now on."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_unix_server(self._door, sock=self._socket)

    async def stop(self) -> None:
        """Take no more connections, end the streams, let the requests under way be answered."""
        if self._listening is not None:
            self._listening.close()
        self._house.closing.set()
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()  # ends what is idle, which `shutdown` would wait for
            await server.shutdown(LAST_ANSWERS_WITHIN)
        await self._runner.cleanup()

    def _door(self) -> Door:
        server = self._runner.server
        assert server is not None
        return Door(
            _Connection(
                server,
                loop=asyncio.get_running_loop(),
                keepalive_timeout=IDLE,
                tcp_keepalive=False,
                lingering_time=0.5,
                # A body is never held back halfway: the door counts on it (see hijack).
                read_bufsize=MAX_BODY,
                logger=log,
                access_log=_SILENT,
            )
        )


class _Connection(web.RequestHandler):
    """aiohttp's protocol with our error envelope where no request could be made of the bytes."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What a client is told that did not speak HTTP."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        if isinstance(exc, ConnectionError):
            log.debug("the client left: %s", exc)
        elif status >= 500 and exc is not None:
            log.error("a request broke the server", exc_info=exc)
            return _closing(failure(Internal("the daemon failed; its log says more")))
        reason = " ".join((message or str(exc) or "").split())[:200]
        log.info("a request could not be read: %s", reason)
        return _closing(
            failure(
                InvalidRequest(
                    f"the request is not proper HTTP: {reason}",
                    hint="speak HTTP/1.1, as curl --unix-socket does",
                )
            )
        )


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def failure(error: BoxyError) -> web.Response:
    """The error envelope: {"error": {"code", "message", "hint", "details"}}."""
    return web.Response(
        status=error.http_status,
        body=msgspec.json.encode({"error": error.to_wire()}, enc_hook=str),
        content_type="application/json",
    )


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure in one form, and log who changed what."""
    began = time.perf_counter()
    peer = peer_of(request.transport)  # after an upgrade there is no connection to ask
    ASKER.set(peer.uid)
    response: web.StreamResponse
    try:
        request.app[ADMISSION].check(request.transport, peer)
        response = await handler(request)
    except BoxyError as error:
        response = _failed(request, error)
    except web.HTTPException as error:
        response = _failed(request, _translated(request, error))
    except ConnectionError:
        log.debug("the client left before its answer to %s", request.path)
        raise
    except OSError as error:
        log.exception("%s %s failed", request.method, request.path_qs)
        hint = "look for room on the disk, and into the daemon's log"
        response = _failed(request, Internal(f"the system refused: {error}", hint=hint))
    except Exception as error:  # the one place: nothing may end the daemon
        log.exception("%s %s failed", request.method, request.path_qs)
        sentence = f"the daemon failed ({type(error).__name__})"
        response = _failed(request, Internal(sentence, hint="its log has the traceback"))
    _end_of_upgrade(request, response)
    took = time.perf_counter() - began
    # With the answer on its way: nobody waits for a line of the log.
    asyncio.get_running_loop().call_soon(_note, request, peer, response.status, took)
    return response


def _end_of_upgrade(request: web.Request, response: web.StreamResponse) -> None:
    """A connection on which an upgrade was asked for carries no further request."""
    if "upgrade" not in request.headers or isinstance(response, TakenOver):
        return
    response.force_close()
    protocol = request.transport.get_protocol() if request.transport else None
    if isinstance(protocol, Door):
        protocol.discard()


def _failed(request: web.Request, error: BoxyError) -> web.Response:
    response = failure(error)
    level = logging.INFO if request.method not in _READING else logging.DEBUG
    log.log(level, "%s %s: %s", request.method, request.path, error)
    if not request.content.is_eof():
        response.force_close()  # the rest is more than we want to read
    return response


def _translated(request: web.Request, error: web.HTTPException) -> BoxyError:
    if isinstance(error, web.HTTPNotFound):
        return NotFound(
            f"there is nothing at {request.path}", hint="docs/reference/wire-protocol.md"
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return InvalidRequest(
            f"{request.path} takes {allowed}, not {request.method}",
            hint="docs/reference/wire-protocol.md lists every request",
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return InvalidRequest(
            f"the request's body is larger than {MAX_BODY} bytes",
            hint="send less; an archive goes in a stream of its own",
        )
    return InvalidRequest(
        f"{error.status} {error.reason}", hint="docs/reference/wire-protocol.md lists every request"
    )


def _note(request: web.Request, peer: Peer, status: int, seconds: float) -> None:
    level = logging.DEBUG if request.method in _READING else logging.INFO
    if log.isEnabledFor(level):
        log.log(
            level, "%s %s %d by pid %d uid %d in %.1f ms",
            request.method, request.path_qs, status, peer.pid, peer.uid, seconds * 1000,
        )  # fmt: skip
