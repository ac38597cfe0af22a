"""Webhooks: pushes and deletes told to others by a signed POST, tried again until it is taken.

Constraint: a client's push never waits for a receiver, only for the queue, which is in the
store's database: whatever was acknowledged is told, also after a kill.  Each receiver is told in
order, by one process of all at a time.  One that is away is tried for `keep`, at growing
intervals; one that refuses what it gets (400 to 499) a few times only, as that will not change.
The queue of a receiver is bounded: past it the oldest events go, and the log says how many.
An event may come twice (killed between the answer and its noting): its `id` stays the same.

    POST URL
    Content-Type: application/json
    X-Boxy-Signature: sha256=HMAC-SHA256 of the body under the secret, in hexadecimal
    {"events": [{"id", "time", "action", "kind", "repository", "digest", "tags",
                 "media_type", "size", "user", "address"}]}
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from enum import Enum
from fnmatch import fnmatchcase

import aiohttp
import msgspec

from boxy_core import __version__
from boxy_core.errors import InvalidRequest
from boxy_registry.config import span
from boxy_registry.parts import Event, Parts
from boxy_registry.sections import Hook
from boxy_registry.store import Store, outbox

REFUSALS = 5
"""how often an event is sent to who refuses it"""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 300.0
_LOOK = 1.0
"""seconds between looks for what other processes queued"""
_AT_ONCE = 50
"""events in one POST"""
HELD = 10_000
"""events that may wait for one receiver"""
_TIMEOUT = aiohttp.ClientTimeout(total=15)
_TRY_LATER = (408, 425, 429)

log = logging.getLogger("boxy_registry.hooks")


def extend(parts: Parts) -> None:
    """Add a sender for each hook of the settings."""
    senders: list[Sender] = []
    for settings in parts.settings.hook:
        same = sum(sender.settings.url == settings.url for sender in senders)
        sender = Sender(parts.store, settings, f"{settings.url} {same}")
        senders.append(sender)
        parts.listeners.append(sender.take)
        parts.services.append(sender.open)
    parts.store.submit(outbox.prepare).result()
    keys, longest = tuple(one.key for one in senders), max(one.keep for one in senders)
    parts.store.submit(outbox.forget_others, keys, time.time() - (longest or 0)).result()


class _Outcome(Enum):
    TAKEN, LATER, REFUSED = range(3)


class Sender:
    """Tells one receiver, in order."""

    def __init__(
        self, store: Store, settings: Hook, key: str, first_wait: float = _FIRST_WAIT
    ) -> None:
        if not settings.url.startswith(("https://", "http://")):
            raise InvalidRequest(f"hook.url {settings.url!r} is no address", hint="https://...")
        self.settings = settings
        self.key = key
        self.keep = span(settings.keep, "hook.keep")
        self._store = store
        self._secret = _secret(settings)
        self._first_wait = first_wait
        self._came = asyncio.Event()

    async def take(self, event: Event) -> None:
        """A listener: queue the event; it is durable afterwards."""
        wanted = event.action in self.settings.actions
        if not wanted or not fnmatchcase(event.repository, self.settings.repositories):
            return
        told = {"id": secrets.token_hex(16), "time": time.time(), **event._asdict()}
        lost = await self._store.write(outbox.add, self.key, msgspec.json.encode(told), HELD)
        if lost:
            log.error("the hook %s is too slow: %d events are lost", self.settings.url, lost)
        self._came.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A service: send what comes, and what is left from before."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
            task = asyncio.create_task(self._run(session))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def _run(self, session: aiohttp.ClientSession) -> None:
        """Send for all processes while the lock is ours; it ends with its holder."""
        with self._store.lock(f"hook {self.key}") as lock:
            while not lock.take_now():  # noqa: ASYNC110 - another process tells no event
                await asyncio.sleep(_LOOK)
            while True:
                try:
                    await self._send_all(session)
                except (OSError, sqlite3.Error):
                    log.exception("the hook %s: its queue cannot be read", self.settings.url)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), _LOOK)

    async def _send_all(self, session: aiohttp.ClientSession) -> None:
        self._came.clear()
        while batch := outbox.first(self._store.reader, self.key, _AT_ONCE):
            await self._deliver(session, batch)
            await self._store.write(outbox.remove, batch)

    async def _deliver(self, session: aiohttp.ClientSession, batch: list[outbox.Waiting]) -> None:
        """Return when the events are taken, or are to be given up."""
        body = b'{"events":[' + b",".join(one.event for one in batch) + b"]}"
        wait, refusals = self._first_wait, 0
        while True:
            outcome, problem = await self._post(session, body)
            if outcome is _Outcome.TAKEN:
                return
            refusals += outcome is _Outcome.REFUSED
            if refusals >= REFUSALS or self._is_old(batch[-1]):
                log.error(
                    "the hook %s: %d events are lost: %s", self.settings.url, len(batch), problem
                )
                return
            log.warning("the hook %s: %s; again in %.0f s", self.settings.url, problem, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _is_old(self, one: outbox.Waiting) -> bool:
        at: float = msgspec.json.decode(one.event)["time"]
        return bool(self.keep) and time.time() - at > self.keep

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> tuple[_Outcome, str]:
        """Send once; how that went, and why it did not."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"boxy-registry/{__version__}",
        }
        if self._secret:
            headers["X-Boxy-Signature"] = "sha256=" + signature(self._secret, body)
        try:
            async with session.post(
                self.settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return _Outcome.LATER, str(error) or type(error).__name__
        if 200 <= status < 300:
            return _Outcome.TAKEN, ""
        refused = 300 <= status < 500 and status not in _TRY_LATER
        return _Outcome.REFUSED if refused else _Outcome.LATER, f"it answered {status}"


def signature(secret: bytes, body: bytes) -> str:
    """What a receiver compares with the header."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def _secret(settings: Hook) -> bytes:
    if not settings.secret_file:
        return settings.secret.encode()
    try:
        with open(settings.secret_file, "rb") as file:
            return file.read().strip()
    except OSError as error:
        raise InvalidRequest(
            f"hook.secret_file {settings.secret_file!r} cannot be read: {error.strerror}",
            hint="does it exist, and may the registry's user read it?",
        ) from None
