"""What is done with a box's own writable layer, on the host's side: compare, copy, pack.

Constraint: the layer's files are a hostile box's, which may be running: everything is walked by
descriptors and no symlink is followed.  A running box stands still only for the second of two
passes, which copies what has changed since the first one began.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from typing import Any

from boxy_core.files import pack
from boxyd.runtime import copytree, stage

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE = "trusted.overlay.opaque"
_LEVEL = 6
_OURS = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""where Boxy mounts files of its own: an empty one is only the place for that"""
CHANGES = 200_000
"""changes that are told of"""


# ---------------------------------------------------------------------- what has changed


def changes(upper: str, lowers: list[str]) -> Iterator[tuple[str, str]]:
    """("A" added, "C" changed, "D" deleted; path) of everything in the layer, as Docker tells it.

    `lowers` are the image's trees, lowest first.
    """
    levels: list[tuple[int, str, list[int], Iterator[str]]] = []
    below = [os.open(tree, _FOLDER) for tree in reversed(lowers)]
    top = os.open(upper, _FOLDER)
    levels.append((top, "", below, iter(sorted(os.listdir(top)))))
    try:
        while levels:
            here, path, trees, names = levels[-1]
            name = next(names, None)
            if name is None:
                _close(levels.pop())
                continue
            yield from _change(levels, here, f"{path}/{name}", trees, name)
    finally:
        for level in levels:
            _close(level)


def _close(level: tuple[int, str, list[int], Iterator[str]]) -> None:
    for fd in (level[0], *level[2]):
        os.close(fd)


def _change(
    levels: list[tuple[int, str, list[int], Iterator[str]]],
    here: int, path: str, trees: list[int], name: str,
) -> Iterator[tuple[str, str]]:  # fmt: skip
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        return
    before = _before(trees, name)
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        if before is not None:
            yield "D", path
        return
    if path in _OURS and stat.S_ISREG(found.st_mode) and not found.st_size:
        return
    yield ("A" if before is None else "C"), path
    if not stat.S_ISDIR(found.st_mode):
        return
    inner = os.open(name, _FOLDER, dir_fd=here)
    inside = _inside(trees, name) if before is not None and stat.S_ISDIR(before.st_mode) else []
    if _opaque(inner):
        gone = _names(inside) - set(os.listdir(inner))
        for fd in inside:
            os.close(fd)
        yield from (("D", f"{path}/{child}") for child in sorted(gone))
        inside = []
    levels.append((inner, path, inside, iter(sorted(os.listdir(inner)))))


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


def copy(upper: str, target: str, stand_still: Callable[[], None] | None) -> dict[str, Any]:
    """Copy the layer to the new folder `target`.

    Of a running box `stand_still` returns once it does; what changed since the first pass began
    is copied then.  What is told: entries, size, whether the blocks are shared, and seconds of
    both passes.
    """
    began = time.time()
    os.mkdir(target, 0o700)
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
        with gzip.GzipFile(filename="", mode="wb", fileobj=counted, compresslevel=_LEVEL,
                           mtime=0) as packed:  # fmt: skip

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

    def flush(self) -> None:
        return


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
