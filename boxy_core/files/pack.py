"""A file or a tree as a tar stream: owners, modes, times, attributes, holes, hard links.

Constraint: what is packed may be hostile and may change meanwhile.  It is walked by descriptors,
no symlink below the top is followed, what is no ordinary file is never opened, and a file that
grows or shrinks on the way has exactly the bytes that its header said.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from boxy_core.files import write

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_LINKS = 1 << 16
_OPAQUE = "trusted.overlay.opaque"
_NOT_THE_FILES = (_OPAQUE, "security.selinux")
"""attributes that have a form of their own in a layer, or are this host's business"""

Write = Callable[[bytes], object]


class How(NamedTuple):
    """What goes into the stream."""

    whiteouts: bool = False
    """overlayfs's marks of what is removed become those of an OCI layer; this is a layer"""
    one_file_system: bool = False
    """what is mounted below is left out, its mount points stay"""
    attributes: bool = True


class Packed(NamedTuple):
    """What was packed."""

    entries: int
    size: int
    skipped: list[str]
    """entries that could not be read, with the reason"""
    whole: bool
    """everything of the tree is in the stream: no socket, device or attribute was left out"""


class Packer:
    """Packs several trees into one stream."""

    def __init__(self, out: Write, how: How = How()) -> None:  # noqa: B008 - it is immutable
        self._out = out
        self._how = how
        self._links: dict[tuple[int, int], bytes] = {}
        self.entries = self.size = 0
        self.skipped: list[str] = []
        self._whole = True

    def add(self, folder: int, name: str, as_name: str) -> None:
        """Pack what is called `name` in the open `folder`, as `as_name`; a folder with all
        below it.  Raises OSError if it is not there."""
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            self._entry(folder, name, os.fsencode(as_name), found)
            return
        inner = os.open(name, _FOLDER, dir_fd=folder)
        try:
            self.add_folder(inner, as_name)
        finally:
            os.close(inner)

    def add_folder(self, folder: int, as_name: str, *, itself: bool = True) -> None:
        """Pack the open folder; without `itself` only what is in it."""
        device = os.fstat(folder).st_dev
        levels: list[tuple[int, bytes, Iterator[str]]] = []
        try:
            levels.append(self._enter(os.dup(folder), os.fsencode(as_name), itself))
            while levels:
                here, path, names = levels[-1]
                name = next(names, None)
                if name is None:
                    levels.pop()
                    os.close(here)
                    continue
                inner = self._child(here, path, name, device)
                if inner is not None:
                    levels.append(inner)
        finally:
            for fd, _, _ in levels:
                os.close(fd)

    def end(self) -> Packed:
        """The end of the stream."""
        self._out(write.END)
        return Packed(self.entries, self.size, self.skipped, self._whole)

    def _child(
        self, here: int, path: bytes, name: str, device: int
    ) -> tuple[int, bytes, Iterator[str]] | None:
        """Pack an entry; a folder is given back to be entered."""
        whole = path + b"/" + os.fsencode(name) if path else os.fsencode(name)
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                self._entry(here, name, whole, found)
                return None
            inner = os.open(name, _FOLDER, dir_fd=here)
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise
            if error.errno != errno.ENOENT:
                self._skip(whole, str(error.strerror))
            return None
        if self._how.one_file_system and os.fstat(inner).st_dev != device:
            try:
                self._folder_head(inner, whole)
            finally:
                os.close(inner)
            return None
        return self._enter(inner, whole, itself=True)

    def _enter(self, fd: int, path: bytes, itself: bool) -> tuple[int, bytes, Iterator[str]]:
        try:
            if itself and path:
                self._folder_head(fd, path)
            return fd, path, iter(sorted(os.listdir(fd)))
        except BaseException:
            os.close(fd)
            raise

    def _folder_head(self, fd: int, path: bytes) -> None:
        found = os.fstat(fd)
        self._head(path + b"/", write.FOLDER, found, xattrs=self._attributes(fd))
        if self._how.whiteouts and _opaque(fd):
            self._head(path + b"/.wh..wh..opq", write.FILE, found)

    def _entry(self, here: int, name: str, path: bytes, found: os.stat_result) -> None:
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            self._file(here, name, path, found)
        elif kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(name, dir_fd=here))
            self._head(path, write.SYMLINK, found, target=target)
        elif kind == stat.S_IFIFO:
            self._head(path, write.FIFO, found)
        elif kind == stat.S_IFCHR and found.st_rdev == 0:
            if self._how.whiteouts:
                above, slash, last = path.rpartition(b"/")
                self._head(above + slash + b".wh." + last, write.FILE, found)
        elif kind == stat.S_IFSOCK:
            self._whole = False
        else:
            self._skip(path, "it is a device")

    def _file(self, here: int, name: str, path: bytes, found: os.stat_result) -> None:
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in self._links:
            self._head(path, write.LINK, found, target=self._links[key])
            return
        fd = os.open(name, _READ, dir_fd=here)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return  # exchanged since we looked
            self._content(fd, path, found)
        finally:
            os.close(fd)
        if found.st_nlink > 1 and len(self._links) < _LINKS:
            self._links[key] = path

    def _content(self, fd: int, path: bytes, found: os.stat_result) -> None:
        size = found.st_size
        parts = [(0, size)] if size else []
        sparse = None
        if size and found.st_blocks * 512 < size:
            parts = extents(fd, size)
            sparse = (size, parts) if parts != [(0, size)] else None
        stored = sum(end - start for start, end in parts)
        self._head(path, write.FILE, found, size=stored, sparse=sparse,
                   xattrs=self._attributes(fd))  # fmt: skip
        for start, end in parts:
            self._data(fd, start, end)
        self._out(write.padding(stored))
        self.size += size

    def _data(self, fd: int, at: int, end: int) -> None:
        while at < end:
            piece = os.pread(fd, min(_PIECE, end - at), at)
            if not piece:  # it became shorter: zeros keep the stream whole
                piece = bytes(min(_PIECE, end - at))
            self._out(piece)
            at += len(piece)

    def _head(
        self,
        path: bytes,
        kind: bytes,
        found: os.stat_result,
        *,
        size: int = 0,
        target: bytes = b"",
        xattrs: dict[bytes, bytes] | None = None,
        sparse: tuple[int, list[tuple[int, int]]] | None = None,
    ) -> None:
        self.entries += 1
        mode = stat.S_IMODE(found.st_mode)
        self._out(
            write.header(
                path, kind,
                write.Told(mode, found.st_uid, found.st_gid, size, found.st_mtime_ns, target,
                           xattrs or {}, sparse),
            )
        )  # fmt: skip

    def _attributes(self, fd: int) -> dict[bytes, bytes]:
        if not self._how.attributes:
            return {}
        kept = {}
        try:
            for key in os.listxattr(fd):
                if key == "security.capability" or key.startswith("user."):
                    kept[os.fsencode(key)] = os.getxattr(fd, key)
                elif key not in _NOT_THE_FILES:
                    self._whole = False
        except OSError:
            pass  # the file system has none
        return kept

    def _skip(self, path: bytes, why: str) -> None:
        self._whole = False
        if len(self.skipped) < 100:
            self.skipped.append(f"{os.fsdecode(path)}: {why}")


def extents(fd: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of a file's parts that hold data (lseek(2), SEEK_DATA)."""
    parts: list[tuple[int, int]] = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break  # nothing but a hole is left
            return [(0, size)]
        at = min(size, os.lseek(fd, start, os.SEEK_HOLE))
        if start < at:
            parts.append((start, at))
    return parts


def _opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:
        return False
