"""What is done with a box's own writable layer, on the host's side: compare, copy, pack.

Constraint: the layer's files are a hostile box's, which may be running: everything is walked by
descriptors and no symlink is followed.  A running box stands still only for the second of two
passes, which copies what has changed since the first one began.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from boxy_core.files import pack
from boxyd.files.gzips import Gzip
from boxyd.runtime import copytree, quota, stage

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"
_LEVEL = 3
"""twice as quick as the usual 6, for a few hundredths more of bytes"""
_OURS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""where Boxy mounts files of its own: an empty one is only the place for that"""
CHANGES = 200_000
"""changes that are told of"""


# ---------------------------------------------------------------------- what has changed


class _Level:
    """A folder of the layer on the way down."""

    __slots__ = ("below", "fd", "names", "ours", "path", "told")

    def __init__(self, fd: int, path: str, below: list[int], told: str = "") -> None:
        self.fd = fd
        self.path = path
        self.below = below
        """the same folder in the image's layers"""
        self.names = iter(sorted(os.listdir(fd)))
        self.told = told
        """"A" or "C" while it is held back: perhaps only places for mounts are in it"""
        self.ours = False
        """there is a place for a mount in it, which is not told"""

    def close(self) -> None:
        for fd in (self.fd, *self.below):
            os.close(fd)


def changes(
    upper: str, lowers: list[str], points: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """("A" added, "C" changed, "D" deleted; path) of everything in the layer, as Docker tells it.

    `lowers` are the image's trees, lowest first.  What Boxy made itself is not told: places for
    its own files and for mounts, at `points`, and folders that hold nothing else.
    """
    below = [os.open(tree, _FOLDER) for tree in reversed(lowers)]
    levels = [_Level(os.open(upper, _FOLDER), "", below)]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                level.close()
                levels.pop()
                if level.told and not level.ours:
                    yield from _told(levels, level.told, level.path)
                elif level.told:
                    levels[-1].ours = True
                continue
            for kind, path in _change(levels, level, name, points):
                yield from _told(levels, kind, path)
    finally:
        for level in levels:
            level.close()


def _told(levels: list[_Level], kind: str, path: str) -> Iterator[tuple[str, str]]:
    """A change, and before it the folders above that were held back."""
    for level in levels:
        if level.told and level.path != path:
            yield level.told, level.path
            level.told = ""
    yield kind, path


def _change(
    levels: list[_Level], level: _Level, name: str, points: Collection[str]
) -> Iterator[tuple[str, str]]:
    path, trees = f"{level.path}/{name}", level.below
    try:
        found = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    before = _before(trees, name)
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        if before is not None:
            yield "D", path
        return
    kind = "A" if before is None else "C"
    if not stat.S_ISDIR(found.st_mode):
        if stat.S_ISREG(found.st_mode) and not found.st_size and path in (*_OURS, *points):
            level.ours = True
        else:
            yield kind, path
        return
    inner = os.open(name, _FOLDER, dir_fd=level.fd)
    inside = _inside(trees, name) if before is not None and stat.S_ISDIR(before.st_mode) else []
    if _opaque(inner):
        yield kind, path
        kind = ""
        gone = _names(inside) - set(os.listdir(inner))
        for fd in inside:
            os.close(fd)
        yield from (("D", f"{path}/{child}") for child in sorted(gone))
        inside = []
    elif before is not None and _dress(before) != _dress(found):
        yield kind, path
        kind = ""
    levels.append(_Level(inner, path, inside, kind))
    levels[-1].ours = path in points


def _dress(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid


def _before(trees: list[int], name: str) -> os.stat_result | None:
    """What the image has there: the topmost layer decides."""
    for tree in trees:
        try:
            found = os.stat(name, dir_fd=tree, follow_symlinks=False)
        except OSError:
            if _opaque(tree):
                return None
            continue
        whiteout = stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
        return None if whiteout else found
    return None


def _inside(trees: list[int], name: str) -> list[int]:
    """The folder of that name in each layer, down to the one that hides the rest."""
    opened: list[int] = []
    for tree in trees:
        try:
            fd = os.open(name, _FOLDER, dir_fd=tree)
        except FileNotFoundError:
            continue
        except OSError:
            break  # a whiteout or a file: nothing below it shows
        opened.append(fd)
        if _opaque(fd):
            break
    return opened


def _names(trees: list[int]) -> set[str]:
    names: set[str] = set()
    hidden: set[str] = set()
    for tree in trees:
        for name in os.listdir(tree):
            found = os.stat(name, dir_fd=tree, follow_symlinks=False)
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                hidden.add(name)
            elif name not in hidden:
                names.add(name)
    return names


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:
        return False


# ---------------------------------------------------------------------- copies


def copy(
    upper: str, target: str, stand_still: Callable[[], None] | None, project: int = 0
) -> dict[str, Any]:
    """Copy the layer to the new folder `target`.

    Of a running box `stand_still` returns once it does; what changed since the first pass began
    is copied then.  What is told: entries, size, whether the blocks are shared, and seconds of
    both passes.  `project` is the number that the copy counts under (quota), 0: none; what that
    may take is decided anew when the box is started.
    """
    began = time.time()
    os.mkdir(target, 0o700)
    if project:
        quota.mark(target, project)
        quota.limit(target, project, 0)
    source, into = os.open(upper, _FOLDER), os.open(target, _FOLDER)
    try:
        moving = began if stand_still is not None else None
        done = copytree.copy_tree(source, into, moving_since=moving)
        first = time.time()
        if stand_still is not None:
            stand_still()
            still = time.time()
            copytree.catch_up(source, into, began)
        else:
            still = time.time()
    finally:
        os.close(source)
        os.close(into)
    return {
        "entries": done.entries, "size": done.size, "shared": done.shared,
        "copying": round(first - began, 6), "catching_up": round(time.time() - still, 6),
    }  # fmt: skip


def layer(tree: str, target: str) -> dict[str, Any]:
    """Pack a layer's copy as an OCI layer in gzip; digests and sizes."""
    raw, whole = hashlib.sha256(), hashlib.sha256()
    with open(target, "xb") as file:
        counted = _Counted(file.write, whole)
        with Gzip(counted.write, _LEVEL) as packed:

            def out(data: bytes) -> None:
                raw.update(data)
                packed.write(data)

            packer = pack.Packer(out, pack.How(whiteouts=True))
            top = os.open(tree, _FOLDER)
            try:
                packer.add_folder(top, "", itself=False)
            finally:
                os.close(top)
            done = packer.end()
        file.flush()
        os.fsync(file.fileno())
    return {
        "diff_id": "sha256:" + raw.hexdigest(), "digest": "sha256:" + whole.hexdigest(),
        "size": counted.size, "raw": done.size, "entries": done.entries, "skipped": done.skipped,
        "whole": done.whole,
    }  # fmt: skip


class _Counted:
    """A file that is hashed and counted while it is written."""

    def __init__(self, write: Callable[[bytes], int], digest: Any) -> None:
        self._write = write
        self._digest = digest
        self.size = 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size += len(data)
        return self._write(data)


def whole(layers: list[str], scratch: str, out: pack.Write) -> pack.Packed:
    """Send all of a box's tree: the image's layers with its own on top."""
    try:
        mount = stage.read_only_overlay(layers, -1)
    except OSError:  # before Linux 6.15: with a layer above that nothing is written to
        up, work = scratch + "/up", scratch + "/work"
        for folder in (scratch, up, work):
            os.makedirs(folder, 0o700, exist_ok=True)
        mount = stage.overlay_by_path(layers, up, work, -1, volatile=True)
    packer = pack.Packer(out, pack.How(one_file_system=False))
    root = os.open(".", _FOLDER, dir_fd=mount)
    try:
        packer.add_folder(root, "", itself=False)
    finally:
        os.close(root)
        os.close(mount)
    return packer.end()
