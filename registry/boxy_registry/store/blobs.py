"""Blobs: one plain file each, under its digest, `blobs/<algorithm>/<two digits>/<digits>`.

Constraint: a name in `blobs/` is a promise that its content is whole, verified and on the disk.
So content is written elsewhere, synced, and only then gets its name; a folder is synced before
the database says that the blob is there.  A file is never changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from boxy_registry.store.ownership import give


class BlobFiles:
    """The files below one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, digest: str) -> str:
        """Where the blob of this (checked) digest is, or would be."""
        algorithm, _, digits = digest.partition(":")
        return f"{self.folder}/{algorithm}/{digits[:2]}/{digits}"

    def place(self, source: str, digest: str) -> None:
        """Give the synced file `source` its name; `source` stays, as a second name.

        What may have lain there is replaced: the new content was verified a moment ago.
        """
        target = self.path(digest)
        aside = source + ".placing"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        _make_parents(target, self.folder)
        os.link(source, aside)
        os.rename(aside, target)
        # rename(2) does nothing when both names are one file already: two finished at once
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        sync_folder(os.path.dirname(target))

    def exists(self, digest: str) -> bool:
        """Whether the file is there."""
        return os.path.exists(self.path(digest))

    def remove(self, digest: str) -> int:
        """Remove the file; how many bytes that freed (0: it was gone)."""
        path = self.path(digest)
        try:
            size = os.stat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Every file that has a blob's name, as (digest, entry)."""
        for algorithm in _folders(self.folder):
            for shelf in _folders(algorithm.path):
                with os.scandir(shelf.path) as entries:
                    for entry in entries:
                        yield f"{algorithm.name}:{entry.name}", entry


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable (fsync(2) on the folder itself)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems need no such thing
            raise
    finally:
        os.close(fd)


def _make_parents(path: str, top: str) -> None:
    folder = os.path.dirname(path)
    missing = []
    while folder != top and not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
            give(folder, os.path.dirname(folder))
        sync_folder(os.path.dirname(folder))


def _folders(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.is_dir()), key=lambda e: e.name)
    except FileNotFoundError:
        return []
