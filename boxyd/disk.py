"""What boxes' own writable layers take on the disk: measured now and then, limited by quota.

Where the file system counts projects (`boxyd.runtime.quota`) a look is one system call; elsewhere
a thread walks the layer.  Either way it happens beside everything else: lists, inspect and
samples tell what was measured last, and cost the kernel nothing.

Constraint: a layer is a hostile tree, any number of folders deep, and changes while it is walked:
so there is no recursion, no path is built, two descriptors are open at a time, and a folder that
was moved away under our feet ends that walk, not the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable

from boxy_core.errors import Unsupported
from boxy_core.models import ALIVE, Box, Status
from boxy_core.paths import SHORT_ID, Paths
from boxyd.runtime import quota

EVERY = 10.0
"""seconds between two looks at a box"""
REST = 100.0
"""a walk that took long is not repeated before so many times as long have passed"""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 512
"""bytes of `st_blocks`, stat(2)"""

log = logging.getLogger("boxyd.disk")


class Disk:
    """The layers' sizes and limits.  `counts`: the file system has project quotas."""

    def __init__(self, paths: Paths, *, counts: bool) -> None:
        self._paths = paths
        self.counts = counts
        self._sizes: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._settled: dict[str, Box] = {}
        """what does not run, as it was measured: until that is another `Box`, it stays the same"""

    def require(self) -> None:
        """Raises Unsupported where no layer can be limited, saying what to do."""
        if not self.counts:
            raise Unsupported(
                f"this machine cannot limit a box's disk: {self._paths.root} is on a file system "
                "without project quotas",
                hint="ext4: tune2fs -O project,quota DEVICE while unmounted, and mount it with "
                "prjquota; XFS: mount it with pquota",
                limit="disk",
            )

    def limit(self, box: Box, size: int | None) -> None:
        """Let the box's layer take `size` bytes from now on (None: all); what it has stays."""
        upper = self._upper(box.id)
        if self.counts and os.path.isdir(upper):
            quota.limit(upper, quota.project_of(box.id), size or 0)

    def used(self, box_id: str) -> int | None:
        """Bytes, as they were when last measured; None: not yet."""
        return self._sizes.get(box_id)

    def forget(self, box: Box) -> None:
        """The box is removed; its number must not limit anyone later."""
        self._sizes.pop(box.id, None)
        self._due.pop(box.id, None)
        self._settled.pop(box.id, None)
        if self.counts and box.spec.limits.disk:
            with contextlib.suppress(OSError):
                quota.limit(self._paths.boxes, quota.project_of(box.id), 0)

    def soon(self, box_id: str) -> None:
        """Measure this box at the next look."""
        self._due.pop(box_id, None)
        self._settled.pop(box_id, None)

    async def run(self, boxes: Callable[[], Iterable[Box]]) -> None:
        """Measure until cancelled."""
        while True:
            await self.look(list(boxes()))
            await asyncio.sleep(EVERY)

    async def look(self, boxes: list[Box]) -> None:
        """Measure each box whose turn it is."""
        for box in boxes:
            began = time.monotonic()
            if self._settled.get(box.id) is box or box.status is Status.REMOVING:
                continue
            if self._due.get(box.id, 0.0) > began:
                continue
            size = await self._measure(box)
            if size is None:
                continue
            self._sizes[box.id] = size
            took = time.monotonic() - began
            self._due[box.id] = began + max(EVERY * 0.9, took * REST)
            if box.status not in ALIVE:
                self._settled[box.id] = box

    async def _measure(self, box: Box) -> int | None:
        upper = self._upper(box.id)
        try:
            if self.counts:
                await asyncio.sleep(0)
                return quota.used(upper, quota.project_of(box.id))
            return await asyncio.to_thread(size_of, upper)
        except FileNotFoundError:
            return 0  # it never ran
        except OSError as error:
            log.debug("the layer of %s cannot be measured: %s", box.id[:SHORT_ID], error)
            return None

    def _upper(self, box_id: str) -> str:
        return self._paths.box(box_id) + "/upper"


def size_of(path: str) -> int:
    """Bytes on the disk of everything below the folder `path`, itself included.

    A file with several names counts once.  Raises OSError if it cannot be opened, or if it
    changed so that the way back was lost.
    """
    at = os.open(path, _FOLDER)
    try:
        return _walk(at)
    finally:
        os.close(at)


def _walk(top: int) -> int:
    """Down into each folder and back up by "..", whose identity is checked."""
    seen: set[tuple[int, int]] = set()
    at = os.dup(top)
    total = os.fstat(at).st_blocks * _BLOCK
    trail: list[tuple[tuple[int, int], list[str]]] = []
    try:
        size, folders = _entries(at, seen)
        total += size
        while True:
            if folders:
                inner = _enter(folders.pop(), at)
                if inner < 0:
                    continue
                trail.append((_identity(at), folders))
                os.close(at)
                at = inner
                size, folders = _entries(at, seen)
                total += size
            elif trail:
                identity, folders = trail.pop()
                above = os.open("..", _FOLDER, dir_fd=at)
                os.close(at)
                at = above
                if _identity(at) != identity:
                    raise OSError(116, "a folder was moved while it was measured")
            else:
                return total
    finally:
        os.close(at)


def _enter(name: str, at: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=at)
    except OSError:
        return -1  # gone, or no folder any more


def _entries(folder: int, seen: set[tuple[int, int]]) -> tuple[int, list[str]]:
    """The bytes of what lies in the folder, and the names of the folders among it."""
    total, folders = 0, []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if info.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                if (info.st_dev, info.st_ino) in seen:
                    continue
                seen.add((info.st_dev, info.st_ino))
            total += info.st_blocks * _BLOCK
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    return total, folders


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino
