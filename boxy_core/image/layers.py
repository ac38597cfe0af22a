"""Layers on the disk: unpacked once, named by content, removed when nobody wants them.

    sha256-DIGEST/tree        a layer; DIGEST is of the raw tar (the OCI diff_id)
    sha256-DIGEST/layer.json  what is known of it
    from-sha256-DIGEST        link from an archive's digest to its layer
    tmp-*                     work in progress, locked while somebody works on it
    .lock                     locks.py

Constraint: a layer is shared by all boxes and never written again, so it appears whole or not
at all: unpacked under a temporary name, synced, renamed. Threads and processes may work on one
folder at a time; what a crash leaves is a temporary folder that `clean` removes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator

import msgspec

from boxy_core.errors import ImageError
from boxy_core.image import trees
from boxy_core.image.locks import Lock
from boxy_core.image.streams import Limits
from boxy_core.image.unpack import Progress, unpack

_TEMPORARY = "tmp-"
_LINK = "from-sha256-"
_LAYER = "sha256-"


class LayerInfo(msgspec.Struct, frozen=True, kw_only=True):
    """layer.json, as far as it is read again."""

    size: int = 0
    """bytes of the files"""
    created: float = 0.0
    """seconds since the epoch"""


def no_progress(step: str, done: int, total: int) -> None:
    """The progress callback of who does not look."""


class Layers:
    """The layers in one folder."""

    def __init__(self, folder: str, limits: Limits) -> None:
        self.folder = folder
        self._limits = limits

    def tree(self, layer: str) -> str:
        """The directory tree of a layer; overlayfs's lower directory."""
        return f"{self.folder}/{layer}/tree"

    def name(self, tree: str) -> str:
        """The layer that `tree` is of."""
        return tree.removeprefix(self.folder + "/").partition("/")[0]

    def names(self) -> list[str]:
        """All layers."""
        return [name for name in self._entries() if name.startswith(_LAYER)]

    def info(self, layer: str) -> LayerInfo:
        """What layer.json tells. Raises OSError, or ImageError if somebody spoiled it."""
        path = f"{self.folder}/{layer}/layer.json"
        with open(path, "rb") as file:
            data = file.read()
        try:
            return msgspec.json.decode(data, type=LayerInfo)
        except ValueError as error:
            raise ImageError(
                f"{path} is damaged: {error}", hint=f"remove {self.folder}/{layer}"
            ) from None

    def of_archive(self, digest: str) -> str | None:
        """The layer that the archive with this sha256 was unpacked to, if it is whole."""
        link = f"{self.folder}/{_LINK}{digest}"
        with contextlib.suppress(OSError):
            name = os.readlink(link)
            if os.path.isfile(f"{link}/layer.json") and os.path.isdir(f"{link}/tree"):
                return name
        return None

    # ------------------------------------------------------------------ adding

    def add(self, archive: int, digest: str, what: str, progress: Progress) -> None:
        """Have a layer of the archive open at `archive`; `what` is what messages call it.

        Whoever comes second waits for the first. Raises ImageError, Denied, OSError.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with self.locked("archive " + digest, progress):
            if self.of_archive(digest) is None:
                self._unpack(archive, digest, what, progress)

    def _unpack(self, archive: int, digest: str, what: str, progress: Progress) -> None:
        before = os.fstat(archive)
        with self._temporary() as (temporary, lock):
            tree = temporary + "/tree"
            os.mkdir(tree, 0o755)
            report = unpack(
                archive, tree, name=what, progress=progress, limits=self._limits, keep=[lock.fd]
            )
            after = os.fstat(archive)
            if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
                raise ImageError(f"{what} changed while it was read", hint="try again")
            progress("storing", 0, 0)
            told = {**report, "archive": "sha256:" + digest, "created": time.time()}
            write_whole(f"{temporary}/layer.json", json.dumps(told, indent=1).encode() + b"\n")
            trees.sync(temporary)
            self._publish(temporary, report["diff_id"].replace(":", "-", 1), digest)

    def adopt(self, tree: str, diff_id: str, digest: str, size: int) -> None:
        """Make a folder, which is moved, the layer `diff_id` of the archive `digest`; leave it
        where it is if the layer is there, or the folder on another file system.

        `size`: bytes of its files.  Raises OSError.
        """
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        hexes = digest.removeprefix("sha256:")
        with self.locked("archive " + hexes):
            if self.of_archive(hexes) is not None:
                return
            with self._temporary() as (temporary, _):
                try:
                    os.rename(tree, temporary + "/tree")
                except OSError as error:
                    if error.errno == errno.EXDEV:
                        return
                    raise
                told = {"size": size, "diff_id": diff_id, "archive": digest,
                        "created": time.time()}  # fmt: skip
                write_whole(f"{temporary}/layer.json", json.dumps(told, indent=1).encode() + b"\n")
                trees.sync(temporary)
                self._publish(temporary, diff_id.replace(":", "-", 1), hexes)

    def _publish(self, temporary: str, layer: str, digest: str) -> None:
        """Give a whole layer its name, and its archive a link to it."""
        place = f"{self.folder}/{layer}"
        link = f"{self.folder}/{_LINK}{digest}"
        with self.settled():
            if not os.path.isfile(place + "/layer.json") or not os.path.isdir(place + "/tree"):
                trees.remove(place)  # what somebody left of it
                os.rename(temporary, place)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            os.symlink(layer, link)
            trees.sync_folder(self.folder)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[str, Lock]]:
        """A folder for work in progress and its lock; gone afterwards, unless renamed."""
        path, lock = self._new_temporary()
        with lock:
            os.mkdir(path, 0o755)
            try:
                yield path, lock
            finally:
                trees.remove(path)

    def _new_temporary(self) -> tuple[str, Lock]:
        """A temporary name, locked before it appears, so that `clean` leaves it alone."""
        name = _TEMPORARY + secrets.token_hex(8)
        lock = Lock(self._lock_file, name)
        lock.take_now()
        return f"{self.folder}/{name}", lock

    # ------------------------------------------------------------------ removing

    def condemn(self, layers: Iterable[str]) -> list[tuple[str, Lock]]:
        """Take layers' names away, so that nobody finds them any more; for `bury`.

        To be called with `settled` held.
        """
        doomed = []
        for layer in layers:
            path, lock = self._new_temporary()
            try:
                os.rename(f"{self.folder}/{layer}", path)
            except FileNotFoundError:
                lock.close()
                continue
            doomed.append((path, lock))
            self._unlink_links(layer)
        return doomed

    def _unlink_links(self, layer: str) -> None:
        for name in self._entries():
            path = f"{self.folder}/{name}"
            if name.startswith(_LINK) and os.readlink(path) == layer:
                os.unlink(path)

    @staticmethod
    def bury(doomed: list[tuple[str, Lock]]) -> int:
        """Remove condemned layers; the bytes freed. Takes as long as they are big."""
        freed = 0
        for path, lock in doomed:
            with lock:
                freed += trees.remove(path + "/tree")
                trees.remove(path)
        return freed

    def clean(self) -> list[str]:
        """Remove the temporary folders of work that died; what was removed."""
        gone = []
        for name in self._entries():
            path = f"{self.folder}/{name}"
            if name.startswith(_TEMPORARY):
                with Lock(self._lock_file, name) as lock:
                    if lock.take_now():
                        trees.remove(path)
                        gone.append(path)
            elif name.startswith(_LINK) and not os.path.exists(path):
                os.unlink(path)
        return gone

    # ------------------------------------------------------------------ locks

    @property
    def _lock_file(self) -> str:
        return self.folder + "/.lock"

    def _entries(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def locked(self, name: str, progress: Progress = no_progress) -> Iterator[None]:
        """Hold the lock `name`; while waiting, the step "waiting" is told."""
        with Lock(self._lock_file, name) as lock:
            lock.wait_and_take(lambda: progress("waiting", 0, 0))
            yield

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """While this is held, no layer appears or vanishes. For moments only."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with self.locked("settled"):
            yield


def write_whole(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole: to a temporary name, synced, renamed."""
    temporary = f"{path}.{secrets.token_hex(4)}"

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    try:
        with open(temporary, "xb", opener=opener) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
