"""The collection that runs by itself beside the serving, in one process of all at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator

from boxy_core.errors import Conflict
from boxy_registry.config import Collection, span
from boxy_registry.parts import Parts
from boxy_registry.store import Store
from boxy_registry.store.collector import Rules, collect
from boxy_registry.store.threads import in_thread

log = logging.getLogger("boxy_registry.upkeep")


def extend(parts: Parts) -> None:
    """Collect now and then, unless the settings say otherwise."""
    if parts.settings.collection.every != "0" and not parts.settings.read_only:
        parts.services.append(lambda: _collecting(parts.store, parts.settings.collection))


def rules_of(collection: Collection) -> Rules:
    """The settings as rules."""
    return Rules(
        grace=span(collection.grace, "collection.grace"),
        uploads=span(collection.uploads, "collection.uploads"),
        untagged=collection.untagged,
    )


@contextlib.asynccontextmanager
async def _collecting(store: Store, collection: Collection) -> AsyncIterator[None]:
    ending = threading.Event()
    task = asyncio.create_task(_collect_now_and_then(store, collection, ending))
    try:
        yield
    finally:
        ending.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _collect_now_and_then(
    store: Store, collection: Collection, ending: threading.Event
) -> None:
    every, rules = span(collection.every, "collection.every"), rules_of(collection)
    while True:
        await asyncio.sleep(every * random.uniform(0.9, 1.1))
        try:
            await in_thread(_collect_if_due, store, rules, every, ending)
        except Conflict:
            continue  # another process is at it
        except (OSError, sqlite3.Error):
            log.exception("the collection failed; the next one is due in %.0f s", every)


def _collect_if_due(store: Store, rules: Rules, every: float, ending: threading.Event) -> None:
    """Processes that share a store take turns: one collection in each span of time."""
    stamp = f"{store.root}/collected"
    with contextlib.suppress(FileNotFoundError):
        if time.time() - os.stat(stamp).st_mtime < every * 0.8:
            return
    began = time.monotonic()
    swept = collect(store, rules, ending.is_set)
    os.close(os.open(stamp, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))
    os.utime(stamp)
    log.info(
        "collected: %d manifests, %d links, %d blobs, %d bytes, %d uploads in %.1f s",
        swept.manifests, swept.links, swept.blobs + swept.files, swept.bytes, swept.uploads,
        time.monotonic() - began,
    )  # fmt: skip
