"""One serving process: connections on sockets that are bound already, and an end that loses
nothing.

Constraint: SIGTERM closes the sockets, lets requests under way be answered (within
`limits.shutdown`), and finishes the writes to the database.  A kill -9 in the middle of anything
is as safe, only ruder.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from aiohttp import web

from boxy_registry.config import Settings, size, span
from boxy_registry.http.app import make_app, take_short_cut
from boxy_registry.http.connections import Connections
from boxy_registry.http.quick import Quick
from boxy_registry.journal import AccessLog, Journal, set_up
from boxy_registry.parts import Parts, assemble
from boxy_registry.store import Store

BACKLOG = 1024
THREADS = 4
"""for hashing, writing and syncing uploads"""
_READ_BUFFER = 1 << 18
"""bytes of a body that wait in memory for their turn"""

log = logging.getLogger("boxy_registry")


def run(
    settings: Settings,
    sockets: list[socket.socket],
    ready: Callable[[], None],
    lifeline: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe `lifeline` ends.

    `ready` is called when connections are taken.
    """
    journal = Journal()
    as_json = settings.access_log == "json"
    set_up(journal, settings.log_level, as_json=as_json)
    try:
        asyncio.run(_serve(settings, sockets, journal, ready, lifeline))
    finally:
        journal.close()


async def _serve(
    settings: Settings,
    sockets: list[socket.socket],
    journal: Journal,
    ready: Callable[[], None],
    lifeline: int | None,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="store"))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    if lifeline is not None:
        loop.add_reader(lifeline, ended.set)
    store = Store(
        settings.root,
        grace=span(settings.collection.grace, "collection.grace"),
        quota=size(settings.limits.quota, "limits.quota"),
    )
    try:
        async with AsyncExitStack() as stack:
            parts = assemble(settings, store)
            if settings.access_log != "off":
                parts.observers.append(AccessLog(journal, as_json=settings.access_log == "json"))
            loop.add_signal_handler(signal.SIGHUP, _reload, parts)
            for service in parts.services:
                await stack.enter_async_context(service())
            await _take_connections(parts, sockets, ended, ready)
    finally:
        store.close()


def _reload(parts: Parts) -> None:
    log.info("SIGHUP: reading files again")
    for reloader in parts.reloaders:
        reloader()


async def _take_connections(
    parts: Parts, sockets: list[socket.socket], ended: asyncio.Event, ready: Callable[[], None]
) -> None:
    runner = web.AppRunner(make_app(parts), handle_signals=False, access_log=None)
    await runner.setup()
    server = runner.server
    assert server is not None
    take_short_cut(parts, server)
    limits = parts.settings.limits
    idle = span(limits.idle, "limits.idle")
    connections = Connections(
        server,
        Quick(parts),
        most=limits.connections,
        idle=idle,
        options={
            "keepalive_timeout": idle or 86400,
            "read_bufsize": _READ_BUFFER,
            "lingering_time": 5,
            "auto_decompress": False,
        },
    )
    listening = [await _listen(connections, sock, parts) for sock in sockets]
    watching = asyncio.create_task(connections.end_silent_ones())
    gc.collect()
    gc.freeze()  # what was loaded stays: no collection needs to look at it again
    ready()
    await ended.wait()
    log.info("ending")
    for each in listening:
        each.close()
    watching.cancel()
    await connections.end_all(span(limits.shutdown, "limits.shutdown"))
    await runner.cleanup()


async def _listen(connections: Connections, sock: socket.socket, parts: Parts) -> asyncio.Server:
    """Accept one connection at a turn: so processes that share the socket share the work."""
    listening = await asyncio.get_running_loop().create_server(
        connections, sock=sock, ssl=parts.tls, backlog=1
    )
    sock.listen(BACKLOG)
    return listening
