"""The application: who asks, what is answered, what went wrong.

Constraint: this is the door to the network.  Whatever comes in ends here in a clear answer or a
closed connection, and the server lives.  It holds the one `except Exception`: a bug answers
UNKNOWN and its traceback goes to the log.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from boxy_registry.arriving import Torn
from boxy_registry.errors import (
    Failed,
    MethodNotAllowed,
    NotFound,
    ReadOnly,
    RegistryError,
    SizeInvalid,
    Unavailable,
)
from boxy_registry.http import blob, listing, manifest, target, upload
from boxy_registry.http.clients import RateLimit, address_of
from boxy_registry.http.exchange import ALWAYS, JSON, Exchange, json_answer
from boxy_registry.names import shown
from boxy_registry.parts import EVERYONE, Parts, Served

log = logging.getLogger("boxy_registry.http")

PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)
EXCHANGE = "exchange"
"""where a request of /v2/ keeps its Exchange"""
_PARTS = "parts"
"""where a request that took the short cut keeps its parts"""
_READING = ("GET", "HEAD")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
EndPoint = Callable[[Exchange], Awaitable[web.StreamResponse]]

END_POINTS: dict[str, EndPoint] = {
    "base": listing.base,
    "catalog": listing.catalog,
    "tags": listing.tags,
    "referrers": listing.referrers,
    "manifest": manifest.handle,
    "blob": blob.handle,
    "uploads": upload.start,
    "upload": upload.handle,
}


def make_app(parts: Parts) -> web.Application:
    """The application over these parts."""
    app = web.Application(middlewares=[_envelope])
    app[PARTS] = parts
    limits = parts.settings.limits
    if limits.requests:
        parts.rate = RateLimit(f"{parts.store.root}/rates", limits.requests, limits.burst)
    app.router.add_route("*", "/v2{rest:.*}", _registry, expect_handler=_expect_later)
    app.router.add_get("/livez", _alive)
    app.router.add_get("/readyz", _ready)
    app.add_routes(parts.routes)
    return app


def take_short_cut(parts: Parts, server: web.Server) -> None:
    """Let requests for /v2/ go around aiohttp's router, which costs as much as an answer."""
    everything = server.request_handler

    async def entrance(request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.startswith("/v2/"):
            return await everything(request)
        assert isinstance(request, web.Request)
        request[_PARTS] = parts
        return await _envelope(request, _registry)

    server.request_handler = entrance


def _parts_of(request: web.Request) -> Parts:
    parts: Parts | None = request.get(_PARTS)
    return request.app[PARTS] if parts is None else parts


async def _registry(request: web.Request) -> web.StreamResponse:
    """Everything below /v2/."""
    parts = _parts_of(request)
    if parts.rate is not None:
        parts.rate.take(address_of(request, parts.settings.proxies))
    found = target.find(request.method, request.path)
    exchange = request[EXCHANGE] = Exchange(request, found, parts, EVERYONE)
    exchange.access = await parts.authorizer.authorize(request, found.need(request.method))
    if parts.settings.read_only and request.method not in _READING:
        raise ReadOnly("the registry is read-only at this time")
    response = await END_POINTS[found.endpoint](exchange)
    if not response.prepared and parts.settings.warning:
        response.headers["Warning"] = f'299 - "{parts.settings.warning}"'
    return response


async def _expect_later(request: web.Request) -> None:
    """`Expect: 100-continue` waits until we know that we want the body."""


async def _alive(request: web.Request) -> web.StreamResponse:
    """`GET /livez`: the process answers."""
    return json_answer({"status": "ok"})


async def _ready(request: web.Request) -> web.StreamResponse:
    """`GET /readyz`: the store answers too."""
    try:
        request.app[PARTS].store.ping()
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"the store does not answer: {error}") from None
    return json_answer({"status": "ok"})


@web.middleware
async def _envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure in one form, and tell who asked for what."""
    began = time.perf_counter()
    response: web.StreamResponse
    code = ""
    try:
        response = await handler(request)
    except RegistryError as error:
        response, code = _failure(request, error), error.code
    except web.HTTPException as error:
        if error.status < 400:  # a page that sends elsewhere
            response = error
        else:
            translated = _translated(request, error)
            response, code = _failure(request, translated), translated.code
    except Torn as error:
        log.warning("%s is torn off: %s", shown(request.path), error)
        _observe(request, 502, began, "UNAVAILABLE", 0)
        raise
    except ConnectionError:
        _observe(request, 499, began, "the client left", 0)
        raise
    except Exception as error:  # the one place: nothing may end the server
        log.exception("%s %s failed", request.method, shown(request.path_qs))
        response, code = _failure(request, _internal(error)), "UNKNOWN"
    if not response.prepared:
        response.headers.update(ALWAYS)
    _observe(request, response.status, began, code, response.content_length or 0)
    return response


def _failure(request: web.Request, error: RegistryError) -> web.Response:
    response = web.Response(
        status=error.status,
        body=msgspec.json.encode(error.to_wire()),
        content_type=JSON,
        headers=error.headers,
    )
    length = request.content_length
    if not request.content.is_eof() and (length is None or length > 1 << 20):
        response.force_close()  # the rest is more than we want to read
    return response


def _internal(error: Exception) -> RegistryError:
    if isinstance(error, OSError | sqlite3.OperationalError):
        return Unavailable("the registry's storage failed; its log says more")
    return Failed("the registry failed; its log has the traceback")


def _translated(request: web.Request, error: web.HTTPException) -> RegistryError:
    if isinstance(error, web.HTTPNotFound):
        return NotFound(f"there is nothing at {shown(request.path)}")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(
            f"{shown(request.path)} takes {allowed}", headers={"Allow": allowed}
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return SizeInvalid("the request's body is too large")
    failure = RegistryError(f"{error.status} {error.reason}")
    failure.status = error.status
    return failure


def _observe(request: web.Request, status: int, began: float, code: str, sent: int) -> None:
    parts = _parts_of(request)
    if not parts.observers:
        return
    exchange: Exchange | None = request.get(EXCHANGE)
    served = Served(
        method=request.method,
        path=request.path_qs,
        endpoint=exchange.target.endpoint if exchange else "",
        repository=exchange.target.repository if exchange else "",
        status=status,
        received=exchange.received if exchange else 0,
        sent=0 if request.method == "HEAD" else sent,
        seconds=time.perf_counter() - began,
        at=time.time(),
        address=address_of(request, parts.settings.proxies),
        user=exchange.access.user if exchange else "",
        agent=request.headers.get("User-Agent", ""),
        error=code,
    )
    for observer in parts.observers:
        observer(served)
