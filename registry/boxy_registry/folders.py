"""Registry folders served: each `NAME/image.json` is the repository NAME with the tag `latest`.

Constraint: a folder is the truth, the store a copy of it: every pull of `latest` looks whether
the folder has changed (a few stats), and packs it anew if so.  Packing blocks, so it is done in a
thread, once for all who wait; an archive in gzip, zstd or plain tar is the layer as it is.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections import defaultdict
from collections.abc import AsyncIterator

from boxy_core.errors import BoxyError
from boxy_core.image.fetch import fetch
from boxy_core.image.folder import Folder, Registry
from boxy_core.image.layers import no_progress
from boxy_core.image.packing import Packed, pack
from boxy_core.image.sources import Archive, Download, find
from boxy_registry import manifests
from boxy_registry.arriving import Reader
from boxy_registry.errors import ManifestUnknown, NameInvalid, RegistryError
from boxy_registry.names import check_repository
from boxy_registry.parts import Parts
from boxy_registry.services import alone, repeated
from boxy_registry.store import Store
from boxy_registry.store.threads import in_thread

TAG = "latest"
_PIECE = 1 << 20
_AGAIN = 300.0

log = logging.getLogger("boxy_registry.folders")


def extend(parts: Parts) -> None:
    """Serve the folders that the settings name."""
    if parts.settings.folders:
        folders = Folders(parts.store, parts.settings.folders)
        parts.upstreams.append(folders)
        work = alone(parts.store, "folders", folders.take_all)
        parts.services.append(functools.partial(repeated, _AGAIN, work, at_once=True))


class Folders:
    """An `Upstream` over registry folders."""

    def __init__(self, store: Store, folders: tuple[str, ...]) -> None:
        self._store = store
        self._registry = Registry(tuple(os.path.abspath(folder) for folder in folders))
        self._scratch = f"{store.root}/folders"
        self._seen: dict[str, tuple[object, str]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare_manifest(self, repository: str, reference: str) -> None:
        """Bring `latest` up to date, if the repository is a folder.  Raises ManifestUnknown."""
        if reference != TAG or "/" in repository:
            return
        folder = self._by_repository().get(repository)
        if folder is not None:
            async with self._locks[repository]:
                try:
                    await self._take(repository, folder)
                except BoxyError as error:
                    raise ManifestUnknown(f"{repository}: {error}; {error.hint}") from None

    async def prepare_blob(self, repository: str, digest: str) -> Reader | None:
        """Nothing: blobs come with the manifest."""
        return None

    async def take_all(self) -> None:
        """Have every folder in the store, so that they are listed before anybody pulls them."""
        for repository, folder in self._by_repository().items():
            try:
                async with self._locks[repository]:
                    await self._take(repository, folder)
            except (BoxyError, RegistryError) as error:
                log.info("the folder %s is not served: %s", folder.path, error)

    def _by_repository(self) -> dict[str, Folder]:
        """The folders under the names that they can have as repositories."""
        found: dict[str, Folder] = {}
        for name, folder in self._registry.images().items():
            try:
                found.setdefault(check_repository(name.lower()), folder)
            except NameInvalid:
                continue
        return found

    async def _take(self, repository: str, folder: Folder) -> None:
        """Put the folder's image into the store, unless it is there as it is now."""
        if folder.problem:
            raise ManifestUnknown(folder.problem)
        source = find(folder, self._downloads)
        if isinstance(source, Download):
            source = await in_thread(self._fetch, source)
        state = (folder.config.digest(), source.identity())
        seen = self._seen.get(repository)
        if seen is not None and seen[0] == state and self._has(repository, seen[1]):
            return
        packed = await in_thread(pack, folder, source, self._scratch)
        if not self._has(repository, packed.digest):
            await self._put(repository, packed)
            log.info("%s:%s is %s now", repository, TAG, packed.digest)
        self._seen[repository] = (state, packed.digest)

    async def _put(self, repository: str, packed: Packed) -> None:
        await self._put_blob(repository, packed.layer.digest, _file(packed.path))
        await self._put_blob(repository, packed.config_digest, _bytes(packed.config))
        manifest = manifests.parse(packed.manifest, manifests.IMAGE)
        await self._store.put_manifest(repository, TAG, manifest)

    async def _put_blob(self, name: str, digest: str, chunks: AsyncIterator[bytes]) -> None:
        try:
            await self._store.use_blob(name, digest)
        except RegistryError:
            if not await self._store.mount(name, digest, lambda _: True):
                await self._store.put_blob(name, digest, chunks)

    def _has(self, repository: str, digest: str) -> bool:
        try:
            return self._store.manifest(repository, TAG).digest == digest
        except RegistryError:
            return False

    @property
    def _downloads(self) -> str:
        return f"{self._scratch}/downloads"

    def _fetch(self, source: Download) -> Archive:
        """Fetch an archive that image.json only names; blocks."""
        os.makedirs(os.path.dirname(source.target), mode=0o750, exist_ok=True)
        fetch(
            source.url, source.target, sha256=source.sha256,
            progress=lambda done, total: no_progress("downloading", done, total),
        )  # fmt: skip
        return Archive(source.target, source.sha256)


async def _file(path: str) -> AsyncIterator[bytes]:
    fd = await in_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := await in_thread(os.read, fd, _PIECE):
            yield piece
    finally:
        os.close(fd)


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data
