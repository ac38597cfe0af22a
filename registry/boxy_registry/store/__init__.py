"""`Store`: blobs as plain files by digest, and what is listed and counted in SQLite.

    ROOT/registry.db     database.py says what is in it
    ROOT/blobs/          blobs.py
    ROOT/uploads/        uploads.py
    ROOT/locks           one small file for all locks by name
    ROOT/rates           http/clients.py, if there is a limit of requests

Several processes may use one store at the same time; nothing is cached that another could
change.  A killed process leaves uploads that can be resumed and files that nothing refers to,
both swept by the collector; never a torn blob, never a name for one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from boxy_core.errors import Denied
from boxy_core.image.locks import Lock
from boxy_registry.errors import BlobUnknown, DigestInvalid, RegistryError
from boxy_registry.manifests import Manifest
from boxy_registry.names import check_digest
from boxy_registry.store import reading, writing
from boxy_registry.store.blobs import BlobFiles
from boxy_registry.store.database import connect, prepare
from boxy_registry.store.ownership import give
from boxy_registry.store.records import Put, Repository, StoredBlob, StoredManifest, Tag
from boxy_registry.store.threads import in_thread
from boxy_registry.store.uploads import Upload, UploadFiles
from boxy_registry.store.writer import Writer

__all__ = ["Put", "Repository", "Store", "StoredBlob", "StoredManifest", "Tag", "Upload"]

T = TypeVar("T")
EVERYTHING = 1 << 31
_SMALL = 1 << 16
"""bytes that are written without a thread's help"""


class Store:
    """One store, as one process sees it.

    Plain methods read, in microseconds, and are for the event loop's thread.  Coroutines write
    and return when the change is durable.  `grace` seconds is how long the collector leaves
    alone what a client last asked for; `quota` bytes (0: none) bounds every repository that has
    no quota of its own.  Make it after the last fork.
    """

    def __init__(self, root: str, *, grace: float = 3600, quota: int = 0) -> None:
        self.root = os.path.abspath(root)
        self.grace = grace
        self.quota = quota
        self.blobs = BlobFiles(f"{self.root}/blobs")
        self.uploads = UploadFiles(f"{self.root}/uploads")
        self.database = f"{self.root}/registry.db"
        make_folders(self.root)
        prepare(self.database)
        give(self.database, self.root)
        self.reader = connect(self.database)
        self._writer = Writer(self.database)

    def close(self) -> None:
        """Finish the writes under way and let go of everything."""
        self._writer.close()
        self.reader.close()

    def lock(self, name: str) -> Lock:
        """A lock between all processes that use the store; see `Lock.take_now`."""
        lock = Lock(f"{self.root}/locks", name)
        give(lock.fd, self.root)
        return lock

    def ping(self) -> None:
        """Raises sqlite3.Error or OSError if the store cannot serve."""
        self.reader.execute("SELECT count(*) FROM repositories LIMIT 1").fetchone()
        os.stat(self.blobs.folder)

    # ------------------------------------------------------------------ reading

    def repositories(self, after: str = "", limit: int = EVERYTHING) -> list[str]:
        """Names of repositories that hold something, in order, after one."""
        return reading.repositories(self.reader, after, limit)

    def repository(self, name: str, *, even_empty: bool = False) -> Repository:
        """A repository in numbers.  Raises NameUnknown, also if it holds nothing."""
        return reading.repository(self.reader, name, even_empty)

    def tag_names(self, name: str, after: str = "", limit: int = EVERYTHING) -> list[str]:
        """Tags in order, after one.  Raises NameUnknown."""
        return reading.tag_names(self.reader, name, after, limit)

    def tags(self, name: str, after: str = "", limit: int = EVERYTHING) -> list[Tag]:
        """Tags with what they lead to.  Raises NameUnknown."""
        return reading.tags(self.reader, name, after, limit)

    def manifest(self, name: str, reference: str) -> StoredManifest:
        """By tag or digest.  Raises ManifestUnknown."""
        return reading.manifest(self.reader, name, reference)

    def blob(self, name: str, digest: str) -> StoredBlob:
        """A blob that the repository holds.  Raises BlobUnknown, DigestInvalid."""
        size, used = reading.link(self.reader, name, check_digest(digest))
        return StoredBlob(digest, self.blobs.path(digest), size, used)

    def referrers(
        self,
        name: str,
        subject: str,
        artifact_type: str = "",
        after: int = 0,
        limit: int = EVERYTHING,
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Manifests whose subject is this digest: a place in the list, to go on `after`, and a
        descriptor.  Raises DigestInvalid."""
        check_digest(subject)
        return reading.referrers(self.reader, name, subject, artifact_type, after, limit)

    def refers(self, name: str, digest: str, subject: str) -> bool:
        """Whether the repository holds a manifest of this digest with this subject."""
        return reading.refers(self.reader, name, digest, subject)

    def stale(self, used: float) -> bool:
        """Whether it is time to note that a client asked for content that was last used then."""
        return time.time() - used > self.grace / 4

    # ------------------------------------------------------------------ writing

    async def write(self, job: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run one of `writing`'s functions; its result, when it is durable."""
        return await asyncio.wrap_future(self.submit(job, *arguments, **named))

    def submit(self, job: Callable[..., T], *arguments: Any, **named: Any) -> Any:
        """The same for threads: a concurrent.futures.Future."""
        return self._writer.submit(lambda db: job(db, *arguments, **named))

    async def use_blob(self, name: str, digest: str) -> StoredBlob:
        """A blob that a client counts on from now on: it is kept for the grace time at least.

        Raises BlobUnknown, DigestInvalid.
        """
        blob = self.blob(name, digest)
        if self.stale(blob.used) and not await self.write(writing.touch_blob, name, digest):
            raise BlobUnknown(f"{name} has no blob {digest}", detail={"digest": digest})
        return blob

    async def use_manifest(self, name: str, reference: str) -> StoredManifest:
        """The same for a manifest.  Raises ManifestUnknown."""
        manifest = self.manifest(name, reference)
        if self.stale(manifest.used):
            await self.write(writing.touch_manifest, name, manifest.digest)
        return manifest

    async def put_manifest(
        self,
        name: str,
        reference: str,
        manifest: Manifest,
        tags: Iterable[str] = (),
        *,
        blobs_needed: bool = True,
        children_needed: bool = False,
    ) -> Put:
        """Keep a manifest under a tag or its (verified) digest.

        Raises ManifestBlobUnknown, QuotaExceeded.
        """
        return await self.write(
            writing.put_manifest, name, reference, manifest, tuple(tags),
            blobs_needed=blobs_needed, children_needed=children_needed, default_quota=self.quota,
        )  # fmt: skip

    async def mount(self, name: str, digest: str, may_read: Callable[[str], bool]) -> bool:
        """Link a blob from a repository that `may_read` allows; False: there is none.

        Raises QuotaExceeded, DigestInvalid.
        """
        check_digest(digest)
        return await self.write(writing.mount_blob, name, digest, may_read, self.quota)

    async def delete_tag(self, name: str, tag: str) -> str:
        """Remove a tag; the digest that it led to.  Raises ManifestUnknown."""
        return await self.write(writing.delete_tag, name, tag)

    async def delete_manifest(self, name: str, digest: str) -> tuple[str, ...]:
        """Remove a manifest and its tags; those tags.  Raises ManifestUnknown."""
        return await self.write(writing.delete_manifest, name, check_digest(digest))

    async def delete_blob(self, name: str, digest: str) -> None:
        """Take a blob out of a repository.  Raises BlobUnknown."""
        await self.write(writing.delete_blob, name, check_digest(digest))

    async def delete_repository(self, name: str) -> None:
        """Remove a repository with all that it lists.  Raises NameUnknown."""
        await self.write(writing.delete_repository, name)

    async def set_quota(self, name: str, quota: int | None) -> None:
        """Bound a repository's bytes; 0: without bound, None: the default."""
        await self.write(writing.set_quota, name, quota)

    # ------------------------------------------------------------------ blobs

    async def put_blob(
        self, name: str, digest: str, chunks: AsyncIterator[bytes], *, limit: int = 0
    ) -> StoredBlob:
        """Take a blob in from anywhere.  Raises DigestInvalid if it is not what it should be."""
        with self.uploads.begin(name, check_digest(digest).partition(":")[0]) as upload:
            try:
                async for chunk in chunks:
                    await self.append(upload, [chunk])
                    if limit and upload.offset > limit:
                        raise DigestInvalid(f"{digest} is longer than the {limit} bytes expected")
                await self.finish(upload, digest)
            except BaseException:
                await in_thread(upload.discard)
                raise
        return self.blob(name, digest)

    async def append(self, upload: Upload, chunks: Sequence[bytes]) -> None:
        """Write chunks of an upload, off the event loop if they are large."""
        if sum(map(len, chunks)) < _SMALL:
            upload.append(chunks)
        else:
            await in_thread(upload.append, chunks)

    async def finish(self, upload: Upload, digest: str) -> None:
        """Turn an upload into a blob of its repository.

        Raises DigestInvalid (the upload is then gone), QuotaExceeded.
        """
        check_digest(digest)
        try:
            await in_thread(self._place, upload, digest)
            await self.write(self._link, upload, digest)
        except RegistryError:
            await in_thread(upload.discard)
            raise
        await in_thread(upload.discard)

    def _place(self, upload: Upload, digest: str) -> None:
        found = upload.digest(digest.partition(":")[0])
        if found != digest:
            raise DigestInvalid(
                f"the content's digest is {found}, not {digest}", detail={"digest": found}
            )
        upload.sync()
        self.blobs.place(upload.path, digest)

    def _link(self, db: Any, upload: Upload, digest: str) -> None:
        if not self.blobs.exists(digest):  # the collector took it before it was linked
            self.blobs.place(upload.path, digest)
        writing.link_blob(db, upload.repository, digest, upload.offset, self.quota)


def make_folders(root: str) -> None:
    """Make a store's folders.  Raises Denied naming the one that cannot be."""
    for folder in (root, f"{root}/blobs", f"{root}/uploads"):
        if os.path.isdir(folder):
            continue
        try:
            os.makedirs(folder, mode=0o750, exist_ok=True)
            if folder != root:
                give(folder, root)
        except OSError as error:
            raise Denied(
                f"the folder {folder} cannot be made: {error.strerror}",
                hint="give another place with --root",
            ) from None
