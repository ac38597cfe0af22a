"""Webhooks: pushes and deletes told to others by a signed POST, tried again when it fails.

Constraint: a client's push never waits for a hook.  What cannot be delivered is tried for about
five minutes, in order; a receiver that stays away loses events, and the log says how many.

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
import time
from collections import deque
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

import aiohttp
import msgspec

from boxy_core import __version__
from boxy_core.errors import InvalidRequest
from boxy_registry.parts import Event, Parts
from boxy_registry.sections import Hook

TRIES = 8
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_AT_ONCE = 50
"""events in one POST"""
_HELD = 1000
_TIMEOUT = aiohttp.ClientTimeout(total=15)

log = logging.getLogger("boxy_registry.hooks")


def extend(parts: Parts) -> None:
    """Add a sender for each hook of the settings."""
    for settings in parts.settings.hook:
        sender = Sender(settings)
        parts.listeners.append(sender.take)
        parts.services.append(sender.open)


class Sender:
    """Tells one receiver, in order."""

    def __init__(self, settings: Hook, first_wait: float = _FIRST_WAIT) -> None:
        if not settings.url.startswith(("https://", "http://")):
            raise InvalidRequest(f"hook.url {settings.url!r} is no address", hint="https://...")
        self._settings = settings
        self._secret = _secret(settings)
        self._first_wait = first_wait
        self._waiting: deque[dict[str, object]] = deque(maxlen=_HELD)
        self._came = asyncio.Event()

    def take(self, event: Event) -> None:
        """A listener: keep the event for sending."""
        wanted = event.action in self._settings.actions
        if not wanted or not fnmatchcase(event.repository, self._settings.repositories):
            return
        if len(self._waiting) == _HELD:
            log.error("the hook %s is too slow: an event is lost", self._settings.url)
        told = {"id": secrets.token_hex(16), "time": time.time(), **event._asdict()}
        self._waiting.append(told)
        self._came.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """A service: send what comes."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
            task = asyncio.create_task(self._run(session))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                if self._waiting:
                    log.warning("%d events for %s are lost", len(self._waiting), self._settings.url)

    async def _run(self, session: aiohttp.ClientSession) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(_AT_ONCE, len(self._waiting)))]
                await self._deliver(session, batch)
                for _ in batch:
                    self._waiting.popleft()

    async def _deliver(
        self, session: aiohttp.ClientSession, batch: list[dict[str, object]]
    ) -> None:
        body = msgspec.json.encode({"events": batch})
        wait = self._first_wait
        for attempt in range(1, TRIES + 1):
            problem = await self._post(session, body)
            if not problem:
                return
            log.warning("the hook %s, try %d: %s", self._settings.url, attempt, problem)
            if attempt < TRIES:
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
        log.error("the hook %s does not answer: %d events are lost", self._settings.url, len(batch))

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """Send once; "" if it arrived, else why not."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"boxy-registry/{__version__}",
        }
        if self._secret:
            headers["X-Boxy-Signature"] = "sha256=" + signature(self._secret, body)
        try:
            async with session.post(
                self._settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return str(error) or type(error).__name__


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
