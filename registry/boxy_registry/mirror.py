"""A pull-through cache: what is not here is fetched from an upstream registry, and kept.

Constraint: many clients miss the same thing at once, in several processes; it is fetched once.
Those of the process that fetches a blob read it as it comes, others when it is whole (arriving.py).
If the upstream cannot be reached, what is here is served, however old.  A tag is believed for a
while (`fresh`); a digest for ever.  What nobody asked for in `expire` goes.

    ROOT/mirror.db    which tags are copies, and when the upstream was last asked about them
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sqlite3
import time
import weakref
from collections.abc import AsyncIterator

from boxy_core.errors import BoxyError, InvalidRequest, NotFound
from boxy_core.image.credentials import Login
from boxy_core.image.reference import HUB, Reference, is_host
from boxy_core.image.remote import Found, Remote
from boxy_core.image.trust import Trust
from boxy_registry import manifests
from boxy_registry.arriving import Arriving, Reader, carry_out
from boxy_registry.config import span
from boxy_registry.errors import ManifestUnknown, RegistryError, Unavailable
from boxy_registry.names import is_digest
from boxy_registry.parts import Parts
from boxy_registry.sections import Mirror
from boxy_registry.services import alone, repeated
from boxy_registry.store import Store

CERTS = ("/etc/boxy/certs.d", "/etc/docker/certs.d")
_EXPIRY_EVERY = 600.0
_WAIT = 0.05  # seconds between tries for another process's lock

log = logging.getLogger("boxy_registry.mirror")


def extend(parts: Parts) -> None:
    """Add a cache for each upstream of the settings."""
    for settings in parts.settings.mirror:
        cache = Cache(parts.store, settings)
        parts.upstreams.append(cache)
        parts.services.append(cache.open)
        work = alone(parts.store, f"mirror {settings.upstream}", cache.expire)
        parts.services.append(functools.partial(repeated, _EXPIRY_EVERY, work))


class Cache:
    """An `Upstream` that is a registry."""

    def __init__(self, store: Store, settings: Mirror) -> None:
        if not is_host(settings.upstream):
            raise InvalidRequest(
                f"mirror: {settings.upstream!r} is no registry's host",
                hint="as in registry.example or registry.example:5000",
            )
        self._store = store
        self._settings = settings
        self._fresh = span(settings.fresh, "mirror.fresh")
        self._expire = span(settings.expire, "mirror.expire")
        self._book = _Book(f"{store.root}/mirror.db")
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._remote: Remote | None = None
        self._arriving: dict[tuple[str, str], Arriving] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Hold the connections to the upstream."""
        trust = Trust(self._settings.insecure, CERTS)
        async with Remote(self._settings.upstream, _login(self._settings), trust) as remote:
            self._remote = remote
            try:
                yield
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                self._remote = None
                self._book.close()

    # ------------------------------------------------------------------ as an upstream

    async def prepare_manifest(self, repository: str, reference: str) -> None:
        """Have the manifest here, as the upstream has it.  Raises Unavailable."""
        path = self._path(repository)
        if (
            path is None
            or self._is_ours(repository, reference)
            or self._is_current(repository, reference)
        ):
            return
        async with self._once(f"{repository} {reference}"):
            if not self._is_current(repository, reference):
                await self._bring(repository, path, reference)

    async def prepare_blob(self, repository: str, digest: str) -> Reader | None:
        """Have the blob here, or on its way: one fetch for all who wait.  Raises Unavailable."""
        path = self._path(repository)
        if path is None or self._has_blob(repository, digest):
            return None
        arriving = self._arriving.get((repository, digest))
        if arriving is None:
            arriving = self._begin(repository, path, digest)
        try:
            await arriving.wait_for_its_beginning()
        except NotFound:
            return None
        except BoxyError as error:
            raise Unavailable(f"the upstream registry cannot be asked: {error}") from None
        return None if arriving.whole else arriving.reader()

    def _begin(self, repository: str, path: str, digest: str) -> Arriving:
        """Start a fetch, which goes on when those who asked have left: others will ask."""
        key = (repository, digest)
        arriving = self._arriving[key] = Arriving(self._store, repository, digest)
        work = functools.partial(self._bring_blob, repository, path)
        task = asyncio.create_task(carry_out(arriving, work))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            del self._arriving[key]
            if arriving.failure is not None and not isinstance(arriving.failure, NotFound):
                log.warning("%s of %s did not arrive: %s", digest, repository, arriving.failure)

        task.add_done_callback(ended)
        return arriving

    def _path(self, repository: str) -> str | None:
        """The repository's path at the upstream; None: it is not this one's."""
        prefix = self._settings.prefix.strip("/")
        if prefix:
            path = repository.removeprefix(prefix + "/")
            if path == repository:
                return None
        else:
            path = repository
        if self._settings.upstream == HUB and "/" not in path:
            path = "library/" + path
        return path

    def _is_ours(self, repository: str, reference: str) -> bool:
        """Whether it was pushed here, so that the upstream has nothing to say about it."""
        return self._digest(repository, reference) != "" and not self._book.knows(repository)

    def _is_current(self, repository: str, reference: str) -> bool:
        """Whether what is here need not be compared with the upstream's."""
        if not self._digest(repository, reference):
            return False
        if is_digest(reference):
            return True
        return time.time() - self._book.asked(repository, reference) < self._fresh

    def _digest(self, repository: str, reference: str) -> str:
        try:
            return self._store.manifest(repository, reference).digest
        except RegistryError:
            return ""

    def _has_blob(self, repository: str, digest: str) -> bool:
        try:
            self._store.blob(repository, digest)
        except RegistryError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def _once(self, what: str) -> AsyncIterator[None]:
        """One at a time, in all processes of the store."""
        lock = self._locks.get(what)
        if lock is None:
            lock = self._locks[what] = asyncio.Lock()
        async with lock:
            with self._store.lock(f"mirror {what}") as shared:
                while not shared.take_now():  # noqa: ASYNC110 - another process tells no event
                    await asyncio.sleep(_WAIT)
                yield

    # ------------------------------------------------------------------ fetching

    async def _bring(self, repository: str, path: str, reference: str) -> None:
        """Ask the upstream, and keep what it has; if it does not answer, what is here does."""
        here = self._digest(repository, reference)
        try:
            found = await self._changed(path, reference, here)
        except NotFound:
            if here and not is_digest(reference):
                log.info("%s:%s is gone at %s", repository, reference, self._settings.upstream)
                await self._store.delete_tag(repository, reference)
                self._book.forget(repository, reference)
            return
        except BoxyError as error:
            if here:
                log.warning("%s is served as it is here: %s", repository, error)
                self._book.note(repository, reference)  # asked again when that is old
                return
            raise Unavailable(f"the upstream registry cannot be asked: {error}") from None
        if found is not None:
            manifest = manifests.parse(found.data, found.media_type)
            await self._store.put_manifest(
                repository, reference, manifest, blobs_needed=False, children_needed=False
            )
        self._book.note(repository, reference)

    async def _changed(self, path: str, reference: str, here: str) -> Found | None:
        """The upstream's manifest; None if it is the one that is here."""
        remote = self._upstream()
        tag, digest = ("", reference) if is_digest(reference) else (reference, "")
        asked = Reference(remote.host, path, tag, digest)
        if here and await remote.digest(asked) == here:
            return None
        return await remote.manifest(asked)

    async def _bring_blob(self, repository: str, path: str, arriving: Arriving) -> None:
        """Have it from another copy, or from the upstream.  Raises BoxyError, RegistryError."""
        digest = arriving.digest
        async with self._once(f"{repository} {digest}"):
            if self._has_blob(repository, digest):
                return
            if await self._store.mount(repository, digest, self._is_mirrored):
                return
            stream = self._upstream().stream(path, digest, arriving.expect)
            await arriving.take_in(stream)

    def _is_mirrored(self, repository: str) -> bool:
        """A blob may be shared with other copies only: what is private here stays so."""
        return self._path(repository) is not None and self._book.knows(repository)

    def _upstream(self) -> Remote:
        if self._remote is None:
            raise Unavailable("the server is starting or ending")
        return self._remote

    # ------------------------------------------------------------------ expiry

    async def expire(self) -> None:
        """Remove the copies that nobody asked for in a long time; their blobs are collected."""
        if not self._expire:
            return
        before = time.time() - self._expire
        for repository, reference in self._book.all():
            if self._path(repository) is None:
                continue
            try:
                manifest = self._store.manifest(repository, reference)
            except ManifestUnknown:
                self._book.forget(repository, reference)
                continue
            if manifest.used < before:
                with contextlib.suppress(RegistryError):
                    await self._store.delete_manifest(repository, manifest.digest)
                self._book.forget(repository, reference)
                log.info("%s:%s has expired", repository, reference)


def _login(settings: Mirror) -> Login | None:
    if not settings.username:
        return None
    try:
        with open(settings.password_file, encoding="utf-8") as file:
            return Login(settings.username, file.readline().rstrip("\n"))
    except OSError as error:
        raise InvalidRequest(
            f"mirror.password_file {settings.password_file!r} cannot be read: {error.strerror}",
            hint="does it exist, and may the registry's user read it?",
        ) from None


class _Book:
    """What is a copy, and when the upstream was last asked about it."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS copies (repository TEXT, reference TEXT, asked REAL,"
            " PRIMARY KEY (repository, reference)) WITHOUT ROWID"
        )

    def knows(self, repository: str) -> bool:
        """Whether anything of the repository is a copy."""
        question = "SELECT 1 FROM copies WHERE repository = ? LIMIT 1"
        return self._db.execute(question, (repository,)).fetchone() is not None

    def asked(self, repository: str, reference: str) -> float:
        """When the upstream was last asked; 0: never."""
        question = "SELECT asked FROM copies WHERE repository = ? AND reference = ?"
        row = self._db.execute(question, (repository, reference)).fetchone()
        return float(row[0]) if row else 0.0

    def note(self, repository: str, reference: str) -> None:
        """It was asked now."""
        self._db.execute(
            "INSERT OR REPLACE INTO copies VALUES (?, ?, ?)", (repository, reference, time.time())
        )

    def forget(self, repository: str, reference: str) -> None:
        """It is no copy any more."""
        self._db.execute(
            "DELETE FROM copies WHERE repository = ? AND reference = ?", (repository, reference)
        )

    def all(self) -> list[tuple[str, str]]:
        """Every copy."""
        return self._db.execute("SELECT repository, reference FROM copies").fetchall()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
