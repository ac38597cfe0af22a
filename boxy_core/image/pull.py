"""Fetching an image: its manifest, its configuration, its layers side by side, each unpacked
as soon as it is whole.

Constraint: a layer that this machine has already is not asked for; the same layer wanted by two
pulls is fetched once; what an interrupted pull has brought stays for the next one. A name is
given last, so that it never means an image of which a part is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence

from boxy_core.errors import BoxyError, ImageError
from boxy_core.image import manifest as oci
from boxy_core.image.named import Named
from boxy_core.image.reference import Reference
from boxy_core.image.remote import Found, Remote
from boxy_core.models import Image

AT_ONCE = 3
"""layers on their way at a time, as in other engines"""
_UNPACKING = 2
_SHORT = 12

Tell = Callable[[dict[str, object]], None]
"""told of progress: {"step", "done", "total", "layers": {ID: {"state", "done", "total"}}}"""


class Board:
    """Where each layer stands, and all of them together."""

    def __init__(self, tell: Tell, verb: str) -> None:
        self._tell = tell
        self._verb = verb
        self._layers: dict[str, dict[str, object]] = {}
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.TimerHandle | None = None

    def step(self, text: str) -> None:
        """Tell of something that has no size."""
        self._tell({"step": text, "done": 0, "total": 0})

    def layer(self, digest: str, state: str, total: int = 0) -> None:
        """A layer came to another state: waiting, downloading, unpacking, done, exists ..."""
        line = self._layers.setdefault(_short(digest), {"done": 0, "total": total})
        line["state"] = state
        if total:
            line["total"] = total
        if state in ("done", "exists"):
            line["done"] = line["total"]
        self._soon()

    def count(self, digest: str, more: int) -> None:
        """More bytes of a layer have come or gone."""
        line = self._layers[_short(digest)]
        line["done"] = max(0, _int(line["done"]) + more)
        self._soon()

    def _soon(self) -> None:
        if self._waiting is None:
            self._waiting = self._loop.call_later(0.1, self.flush)

    def flush(self) -> None:
        """Tell now."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        lines = self._layers.values()
        self._tell({
            "step": self._verb,
            "done": sum(_int(line["done"]) for line in lines),
            "total": sum(_int(line["total"]) for line in lines),
            "layers": {name: dict(line) for name, line in self._layers.items()},
        })  # fmt: skip


class Puller:
    """Pulls into one store; remembers what is under way."""

    def __init__(self, named: Named) -> None:
        self._named = named
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def pull(
        self, remote: Remote, reference: Reference, tell: Tell, platform: oci.Platform | None = None
    ) -> Image:
        """The image behind a reference, unpacked and named by it.

        Raises:
            NotFound, Denied: the registry's answer.
            ImageError: it is damaged, for another platform, or the disk refuses it.
        """
        what, board = str(reference), Board(tell, "downloading")
        board.step("asking")
        current = None if platform else await self._current(remote, reference)
        if current is not None:
            board.step("up to date")
            return current
        found = await remote.manifest(reference)
        child, manifest = await _for_platform(remote, reference, found, platform or oci.here())
        data = await remote.small_blob(reference.path, manifest.config, oci.MAX_CONFIG)
        config = oci.decode_config(data, what)
        oci.check_pair(manifest, config, what)
        if not manifest.layers:
            raise ImageError(
                f"{what} has no layers, so there is nothing to run",
                hint="it may be no container image; is its name right?",
            )
        blobs = [child.digest, manifest.config.digest, *(one.digest for one in manifest.layers)]
        with self._named.blobs.pinned(blobs), _disk_errors(what):
            await asyncio.to_thread(self._named.blobs.write, manifest.config.digest, data)
            await asyncio.to_thread(self._named.blobs.write, child.digest, child.data)
            unpacked = not oci.foreign(config)
            await self._layers(remote, reference, manifest, config, board, unpacked=unpacked)
            return await asyncio.to_thread(self._named.add, what, child.digest, digest=found.digest)

    async def _current(self, remote: Remote, reference: Reference) -> Image | None:
        """The image as it is here, if the registry has no other."""
        entry = self._named.entry(str(reference))
        if entry is None:
            return None
        with contextlib.suppress(BoxyError):
            image = self._named.image(entry)
            if image.ready and await remote.digest(reference) == entry.digest:
                return image
        return None

    async def _layers(
        self, remote: Remote, reference: Reference, manifest: oci.Manifest, config: oci.Config,
        board: Board, *, unpacked: bool,
    ) -> None:  # fmt: skip
        """Have every layer here, and unpacked."""
        room, unpacking = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(_UNPACKING)
        pairs = dict(
            zip((one.digest for one in manifest.layers), config.rootfs.diff_ids, strict=True)
        )
        sizes = {one.digest: one for one in manifest.layers}

        async def one(digest: str, raw: str) -> None:
            blob = sizes[digest]
            board.layer(digest, "waiting", blob.size)
            async with self._lock(digest):
                if self._named.unpacked(blob):
                    await asyncio.to_thread(
                        self._named.unpack_layer, blob, raw, str(reference), _quiet
                    )
                    board.layer(digest, "exists")
                    return
                async with room:
                    await self._fetch(remote, reference, blob, board)
                    board.layer(digest, "fetched")
                if unpacked:
                    async with unpacking:
                        board.layer(digest, "unpacking")
                        await self._unpack(blob, raw, str(reference))
                board.layer(digest, "done")

        await together([one(digest, raw) for digest, raw in pairs.items()])
        board.flush()

    async def _fetch(
        self, remote: Remote, reference: Reference, blob: oci.Descriptor, board: Board
    ) -> None:
        blobs = self._named.blobs
        if not blobs.has(blob.digest):
            board.layer(blob.digest, "downloading")
            partial = blobs.partial(blob.digest)
            await remote.fetch(reference.path, blob, partial, lambda n: board.count(blob.digest, n))
            await asyncio.to_thread(blobs.adopt, partial, blob.digest)

    async def _unpack(self, blob: oci.Descriptor, raw: str, what: str) -> None:
        """In a thread; when we are cancelled the unpacking child is ended too."""
        given_up = threading.Event()

        def progress(step: str, done: int, total: int) -> None:
            if given_up.is_set():
                raise ImageError(
                    "the pull was given up", hint="say boxy pull again: what was fetched is kept"
                )

        work = asyncio.create_task(
            asyncio.to_thread(self._named.unpack_layer, blob, raw, what, progress)
        )
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            given_up.set()
            with contextlib.suppress(BoxyError, OSError):
                await work
            raise

    def _lock(self, digest: str) -> asyncio.Lock:
        lock = self._locks.get(digest)
        if lock is None:
            lock = self._locks[digest] = asyncio.Lock()
        return lock


async def _for_platform(
    remote: Remote, reference: Reference, found: Found, platform: oci.Platform
) -> tuple[Found, oci.Manifest]:
    """The manifest for a platform, through an index if need be."""
    what = str(reference)
    decoded = oci.decode(found.data, found.media_type, what)
    if isinstance(decoded, oci.Manifest):
        return found, decoded
    chosen = oci.choose(decoded, platform, what)
    child = await remote.manifest(Reference(reference.host, reference.path, "", chosen.digest))
    decoded = oci.decode(child.data, child.media_type, what)
    if isinstance(decoded, oci.Index):
        raise ImageError(
            f"{what} is an index of indexes, which nobody runs",
            hint="ask for one of the images in it by its digest",
        )
    return child, decoded


async def together(work: Sequence[Coroutine[object, object, None]]) -> None:
    """Do all at once; the first failure ends the others and goes through as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@contextlib.contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or "the image store"
        hint = "see that the disk has room (df -h, df -i); what has come is kept"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ImageError(f"the disk is full: {what} could not be stored", hint=hint) from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ImageError(f"{what} could not be stored: {reason} ({place})", hint=hint) from error


def _quiet(step: str, done: int, total: int) -> None:
    """No progress is told."""


def _short(digest: str) -> str:
    return digest.partition(":")[2][:_SHORT]


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
