"""What runs beside the serving: work that is done again and again, on one process of a store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable

from boxy_core.errors import BoxyError
from boxy_registry.errors import RegistryError
from boxy_registry.store import Store

log = logging.getLogger("boxy_registry")


@contextlib.asynccontextmanager
async def repeated(
    seconds: float, work: Callable[[], Awaitable[None]], *, at_once: bool = False
) -> AsyncIterator[None]:
    """While this is open, `work` is done every so many seconds; what fails is told in the log."""

    async def run() -> None:
        if not at_once:
            await asyncio.sleep(seconds)
        while True:
            try:
                await work()
            except (BoxyError, RegistryError, OSError, sqlite3.Error) as error:
                log.error("%s: %s", getattr(work, "__qualname__", "a service"), error)
            await asyncio.sleep(seconds)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def alone(
    store: Store, name: str, work: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    """`work`, left out while another process on the store does it."""

    async def once() -> None:
        with store.lock(name) as lock:
            if lock.take_now():
                await work()

    once.__qualname__ = name
    return once
