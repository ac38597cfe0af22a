"""One serving process: sockets, connections, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from contextlib import AsyncExitStack

from aiohttp import web

from boxy_core.errors import Denied
from boxy_registry.config import Settings, endpoint, size, span
from boxy_registry.http.app import make_app
from boxy_registry.parts import Parts, assemble
from boxy_registry.store import Store

LAST_ANSWERS_WITHIN = 30.0
"""seconds that requests under way get at the end"""
BACKLOG = 1024

log = logging.getLogger("boxy_registry")


def serve(settings: Settings) -> int:
    """Listen and serve until SIGTERM or SIGINT.  Raises BoxyError if it cannot begin."""
    logging.basicConfig(level=settings.log_level.upper(), stream=sys.stderr)
    sockets = listen(settings)
    asyncio.run(_serve(settings, sockets))
    return 0


def listen(settings: Settings) -> list[socket.socket]:
    """The listening sockets.  Raises Denied naming the address that cannot be had."""
    found = []
    for address in settings.listen:
        host, port = endpoint(address)
        try:
            for family, kind, protocol, _, where in socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                sock = socket.socket(family, kind, protocol)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind(where)
                sock.listen(BACKLOG)
                sock.setblocking(False)
                found.append(sock)
        except OSError as error:
            raise Denied(
                f"cannot listen on {address}: {error.strerror or error}",
                hint="give another address with --listen",
            ) from None
    return found


async def _serve(settings: Settings, sockets: list[socket.socket]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    store = Store(
        settings.root,
        grace=span(settings.collection.grace, "collection.grace"),
        quota=size(settings.limits.quota, "limits.quota"),
    )
    try:
        async with AsyncExitStack() as stack:
            parts = assemble(settings, store)
            for service in parts.services:
                await stack.enter_async_context(service())
            await _take_connections(parts, sockets, ended)
    finally:
        store.close()


async def _take_connections(
    parts: Parts, sockets: list[socket.socket], ended: asyncio.Event
) -> None:
    runner = web.AppRunner(
        make_app(parts),
        handle_signals=False,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=span(parts.settings.limits.idle, "limits.idle") or 3600,
        read_bufsize=1 << 20,
        lingering_time=5,
        shutdown_timeout=LAST_ANSWERS_WITHIN,
    )
    await runner.setup()
    for sock in sockets:
        await web.SockSite(runner, sock, ssl_context=parts.tls, backlog=BACKLOG).start()
    log.info("serving %s on %s", parts.store.root, ", ".join(parts.settings.listen))
    await ended.wait()
    await runner.cleanup()
