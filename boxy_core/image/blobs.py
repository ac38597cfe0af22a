"""Blobs as a registry knows them (manifests, configurations, packed layers), one file each.

    sha256-HEX        a whole blob; its bytes have that digest
    sha256-HEX.part   what an interrupted download left, to be gone on with

Constraint: a file under a blob's name is whole and right, whatever crashed: it was checked under
another name, synced and renamed. `pinned` names are left alone by `sweep`: a download under way
has blobs that no image names yet. One process (the daemon) adds and sweeps at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Collection, Iterator

from boxy_core.errors import ImageError, NotFound
from boxy_core.image import trees

PARTIAL = ".part"
ALL = "*"
"""pinned, it keeps every blob"""
_PIECE = 1 << 20


class Blobs:
    """The blobs in one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._pinned: Counter[str] = Counter()

    def path(self, digest: str) -> str:
        """Where a blob is, or would be."""
        return f"{self.folder}/{digest.replace(':', '-', 1)}"

    def partial(self, digest: str) -> str:
        """Where a download of it is written."""
        return self.path(digest) + PARTIAL

    def has(self, digest: str) -> bool:
        """Whether the blob is here, whole."""
        return os.path.isfile(self.path(digest))

    def read(self, digest: str) -> bytes:
        """A small blob. Raises NotFound, OSError."""
        try:
            with open(self.path(digest), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise NotFound(
                f"the blob {digest} is not here any more", hint="pull the image again"
            ) from None

    def opened(self, digest: str, what: str) -> int:
        """A descriptor of the blob. Raises ImageError if it is not here."""
        try:
            return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ImageError(
                f"the packed layer {digest[:19]} of {what} is not kept here",
                hint=f"fetch it again: boxy pull {what}",
            ) from None

    def write(self, digest: str, data: bytes) -> None:
        """Have a small blob of these bytes."""
        if self.has(digest):
            return
        temporary = self.scratch()
        with open(temporary, "xb") as file:
            file.write(data)
        self.adopt(temporary, digest)

    def scratch(self) -> str:
        """A name for work of one's own in this folder."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        return f"{self.folder}/tmp-{secrets.token_hex(8)}"

    def adopt(self, path: str, digest: str) -> None:
        """Make the file at `path`, whose digest was checked, the blob. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(path, self.path(digest))
        trees.sync_folder(self.folder)

    def put_file(self, source: int) -> tuple[str, int]:
        """Copy the file behind a descriptor in; its digest and size."""
        temporary, digest, size = self.scratch(), hashlib.sha256(), 0
        try:
            with open(temporary, "xb") as file:
                while piece := os.pread(source, _PIECE, size):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
            name = "sha256:" + digest.hexdigest()
            self.adopt(temporary, name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        return name, size

    @contextlib.contextmanager
    def pinned(self, digests: Collection[str]) -> Iterator[None]:
        """While this is held, `sweep` leaves these blobs (and their partial files) alone."""
        self._pinned.update(digests)
        try:
            yield
        finally:
            self._pinned.subtract(digests)

    def pins(self) -> set[str]:
        """What is pinned now."""
        return {digest for digest, holders in list(self._pinned.items()) if holders > 0}

    def sweep(self, wanted: Collection[str]) -> int:
        """Remove every blob that is neither wanted nor pinned; the bytes freed."""
        pins = self.pins()
        if ALL in pins:
            return 0
        keep = {digest.replace(":", "-", 1) for digest in wanted}
        keep |= {digest.replace(":", "-", 1) for digest in pins}
        freed = 0
        for name in self._entries():
            if name.removesuffix(PARTIAL) in keep or (name.startswith("tmp-") and pins):
                continue
            path = f"{self.folder}/{name}"
            with contextlib.suppress(FileNotFoundError):
                freed += os.stat(path).st_size
                os.unlink(path)
        return freed

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []
