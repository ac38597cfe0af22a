"""Uploads: a file each, that grows as chunks arrive and becomes a blob when its digest fits.

Constraint: the next chunk may arrive in another process, or after a crash.  So the file is all
there is: its name binds it to its repository, its length is the offset, and a lock on it
(flock(2), which ends with its holder) keeps it to one request at a time.  What this process has
hashed already it remembers, since an upload only ever grows; whoever lacks that reads the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from boxy_registry.errors import BlobUploadUnknown, UploadBusy
from boxy_registry.store.ownership import give

if TYPE_CHECKING:
    from hashlib import _Hash

_REMEMBERED = 1024
_READ = 1 << 20
_IOV_MAX = 1024
SYNC_EVERY = 16 << 20
"""bytes after which written data is sent to the disk, so that the end has little to wait for"""
_SYNCERS = ThreadPoolExecutor(1, thread_name_prefix="sync")


class Upload:
    """An upload that this request has for itself, until `close`.

    All methods block: call them from a thread when the data is large.
    """

    def __init__(self, uploads: UploadFiles, repository: str, identity: str) -> None:
        self.repository = repository
        self.id = identity
        self._uploads = uploads
        self.path = uploads.path(repository, identity)
        self._fd = _open_locked(self.path, identity)
        self.offset = os.fstat(self._fd).st_size
        """bytes that have arrived"""
        self._unsynced = 0
        self._syncing: Future[None] | None = None
        self._hashes = uploads.remembered(identity)

    def append(self, chunks: Sequence[bytes]) -> None:
        """Write data at the end."""
        size = sum(map(len, chunks))
        self._write(chunks, size)
        for state in self._hashes.values():
            state.catch_up(self._fd, self.offset)
            for chunk in chunks:
                state.update(chunk)
        self.offset += size
        self._unsynced += size
        if self._unsynced >= SYNC_EVERY and (self._syncing is None or self._syncing.done()):
            self._syncing = _SYNCERS.submit(_sync, self.path)
            self._unsynced = 0

    def _write(self, chunks: Sequence[bytes], size: int) -> None:
        done = os.pwritev(self._fd, chunks[:_IOV_MAX], self.offset)
        if done < size:  # many small chunks, or a disk that is filling up
            rest = memoryview(b"".join(chunks))[done:]
            while rest:
                written = os.pwrite(self._fd, rest, self.offset + done)
                done, rest = done + written, rest[written:]

    def digest(self, algorithm: str) -> str:
        """The digest of all that has arrived."""
        state = self._hashes.get(algorithm)
        if state is None:
            state = self._hashes[algorithm] = _Hashing(algorithm)
        state.catch_up(self._fd, self.offset)
        return f"{algorithm}:{state.hash.hexdigest()}"

    def sync(self) -> None:
        """Return when the content is on the disk."""
        os.fdatasync(self._fd)

    def will_be(self, algorithm: str) -> None:
        """Hash with this algorithm as data arrives."""
        if algorithm not in self._hashes:
            self._hashes.clear()
            self._hashes[algorithm] = _Hashing(algorithm)

    def discard(self) -> None:
        """Remove the upload, if that was not done; it must still be closed."""
        self._uploads.forget(self.id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def close(self) -> None:
        """Let others write to it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Hashing:
    """A digest of the first `done` bytes of an upload."""

    def __init__(self, algorithm: str) -> None:
        self.hash: _Hash = hashlib.new(algorithm, usedforsecurity=False)
        self.done = 0

    def update(self, data: bytes) -> None:
        self.hash.update(data)
        self.done += len(data)

    def catch_up(self, fd: int, end: int) -> None:
        """Read what another process wrote."""
        while self.done < end:
            data = os.pread(fd, min(_READ, end - self.done), self.done)
            if not data:
                raise OSError("an upload became shorter")
            self.update(data)


class UploadFiles:
    """The uploads below one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._hashes: OrderedDict[str, dict[str, _Hashing]] = OrderedDict()

    def path(self, repository: str, identity: str) -> str:
        """The file of an upload; it differs with the repository."""
        bound = hashlib.sha256(repository.encode()).hexdigest()[:16]
        return f"{self.folder}/{identity}.{bound}"

    def begin(self, repository: str, algorithm: str = "sha256") -> Upload:
        """Start an upload."""
        identity = secrets.token_hex(16)
        path = self.path(repository, identity)
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            give(fd, self.folder)
        finally:
            os.close(fd)
        upload = Upload(self, repository, identity)
        upload.will_be(algorithm)
        return upload

    def open(self, repository: str, identity: str) -> Upload:
        """Go on with an upload.  Raises BlobUploadUnknown, UploadBusy."""
        if len(identity) != 32 or not identity.isalnum() or not identity.isascii():
            raise BlobUploadUnknown("there is no such upload")
        return Upload(self, repository, identity)

    def remembered(self, identity: str) -> dict[str, _Hashing]:
        """What was hashed of an upload in this process."""
        found = self._hashes.pop(identity, None)
        if found is None:
            found = {"sha256": _Hashing("sha256")}
        self._hashes[identity] = found
        while len(self._hashes) > _REMEMBERED:
            self._hashes.popitem(last=False)
        return found

    def forget(self, identity: str) -> None:
        """The upload is over."""
        self._hashes.pop(identity, None)

    def rested(self, seconds: float) -> Iterator[str]:
        """The paths of uploads to which nobody has written for so long."""
        before = time.time() - seconds
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if _last_written(entry) < before:
                    yield entry.path


def _last_written(entry: os.DirEntry[str]) -> float:
    """When a file was last written to; never, for one that went between list and look."""
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return math.inf


def _sync(path: str) -> None:
    """Send what is written to the disk.  By a descriptor of its own: the lock is on the other."""
    with contextlib.suppress(OSError):  # it is over; or the sync at the end tells
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)


def _open_locked(path: str, identity: str) -> int:
    """Open and lock an upload's file; it may be removed in between."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise BlobUploadUnknown("there is no such upload", detail={"upload": identity}) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:
            raise BlobUploadUnknown("the upload is over", detail={"upload": identity})
    except BlockingIOError:
        os.close(fd)
        raise UploadBusy("another request writes to this upload") from None
    except BaseException:
        os.close(fd)
        raise
    return fd
