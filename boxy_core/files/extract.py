"""A tar stream as files below one open folder.

Constraint: the stream may be hostile, and somebody may change the folder meanwhile.  Every name
is walked component by component from the folder's descriptor; `..` is refused.  On the host no
symlink is ever followed, so nothing lands outside; inside a box, where the whole tree is the
box's own, symlinks that are there already are (as `tar` does).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from boxy_core.errors import InvalidRequest
from boxy_core.image import tar

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KEPT_OPEN = 32

Parts = tuple[bytes, ...]


class How(NamedTuple):
    """Who owns what is made."""

    owners: bool = False
    """the stream's own numbers; else everything belongs to `uid` and `gid`"""
    uid: int = -1
    gid: int = -1
    """-1: whoever extracts"""
    follow: bool = False
    """symlinks to folders that are there already are followed"""
    rename: tuple[bytes, bytes] | None = None
    """the first component of names, and what stands for it; b"" drops it"""
    folders_stay: bool = True
    """a folder is never replaced by something else, nor the other way round"""


class Extractor:
    """Writes the entries of an archive below the folder open at `root`."""

    def __init__(self, root: int, how: How = How()) -> None:  # noqa: B008 - it is immutable
        self._root = root
        self._how = how
        self._open: dict[Parts, int] = {}
        self._times: dict[Parts, tuple[int, int]] = {}
        self.entries = self.size = 0
        self.skipped: list[str] = []

    def run(self, reader: Iterable[tar.Entry]) -> None:
        """Write everything.  Raises BadArchive, InvalidRequest, OSError naming the entry."""
        self._reader = reader
        try:
            for entry in reader:
                try:
                    self._write(entry)
                except OSError as error:
                    text = f"{error.strerror}, at {tar.shown(entry.name)}"
                    raise OSError(error.errno, text) from None
                self.entries += 1
        finally:
            self._set_times()

    # ------------------------------------------------------------------ walking

    def _parts(self, name: bytes) -> Parts:
        parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
        if b".." in parts:
            raise InvalidRequest(
                f"the archive has an entry that climbs out: {tar.shown(name)}",
                hint="make it anew without .. and without links that lead out",
            )
        if self._how.rename is not None and parts and parts[0] == self._how.rename[0]:
            new = self._how.rename[1]
            parts = (new, *parts[1:]) if new else parts[1:]
        return parts

    def _parent(self, parts: Parts) -> int:
        fd, above = self._root, parts[:-1]
        for end in range(1, len(above) + 1):
            known = self._open.get(above[:end])
            fd = known if known is not None else self._enter(fd, above[:end])
        return fd

    def _enter(self, fd: int, path: Parts) -> int:
        flags = _FOLDER | (0 if self._how.follow else os.O_NOFOLLOW)
        try:
            found = os.open(path[-1], flags, dir_fd=fd)
        except FileNotFoundError:
            os.mkdir(path[-1], 0o755, dir_fd=fd)
            found = os.open(path[-1], _FOLDER | os.O_NOFOLLOW, dir_fd=fd)
            self._own(found, 0, 0)
        while len(self._open) >= _KEPT_OPEN:
            oldest = next(old for old, kept in self._open.items() if kept != fd)
            os.close(self._open.pop(oldest))
        self._open[path] = found
        return found

    def _forget_open(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    # ------------------------------------------------------------------ entries

    def _write(self, entry: tar.Entry) -> None:
        parts = self._parts(entry.name)
        if not parts:
            if entry.kind == tar.DIRECTORY and self._how.rename is not None:
                self._dress(self._root, entry)
            return
        if entry.kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            self.skipped.append(f"{tar.shown(entry.name)}: it is a device")
            return
        parent, name = self._parent(parts), parts[-1]
        if entry.kind == tar.DIRECTORY:
            self._folder(parent, parts, entry)
        elif entry.kind == tar.FILE:
            self._make_room(parent, name)
            self._file(parent, name, entry)
        elif entry.kind == tar.SYMLINK:
            self._make_room(parent, name)
            os.symlink(entry.target, name, dir_fd=parent)
            self._own_name(parent, name, entry)
        elif entry.kind == tar.FIFO:
            self._make_room(parent, name)
            os.mkfifo(name, entry.mode & 0o777, dir_fd=parent)
            self._own_name(parent, name, entry)
        else:
            self._link(parent, name, entry)

    def _make_room(self, parent: int, name: bytes) -> None:
        """Remove what stands there, unless it is a folder."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder is in the way of what is no folder")
        os.unlink(name, dir_fd=parent)

    def _folder(self, parent: int, parts: Parts, entry: tar.Entry) -> None:
        name = parts[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=self._how.follow)
            if not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(
                    errno.ENOTDIR, "what is no folder is in a folder's way"
                ) from None
        flags = _FOLDER | (0 if self._how.follow else os.O_NOFOLLOW)
        fd = os.open(name, flags, dir_fd=parent)
        try:
            self._dress(fd, entry)
        finally:
            os.close(fd)
        if len(self._times) < 1 << 20:
            self._times[parts] = (entry.mtime_ns, entry.mtime_ns)

    def _file(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            reader: tar.Reader = self._reader  # type: ignore[assignment]
            if entry.extents is None:
                reader.copy(entry.stored, fd)
            else:
                for offset, length in entry.extents:
                    os.lseek(fd, offset, os.SEEK_SET)
                    reader.copy(length, fd)
                os.ftruncate(fd, entry.size)
            self._dress(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self.size += entry.size

    def _link(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        source = self._parts(entry.target)
        if not source:
            raise InvalidRequest(
                f"a hard link leads nowhere: {tar.shown(entry.name)}",
                hint="make the archive anew, with the file that it links to",
            )
        self._make_room(parent, name)
        held = os.dup(parent)
        try:
            above = self._parent(source)
            os.link(source[-1], name, src_dir_fd=above, dst_dir_fd=held, follow_symlinks=False)
        finally:
            os.close(held)

    # ------------------------------------------------------------------ attributes

    def _owner(self, uid: int, gid: int) -> tuple[int, int]:
        return (uid, gid) if self._how.owners else (self._how.uid, self._how.gid)

    def _own(self, fd: int, uid: int, gid: int) -> None:
        wanted = self._owner(uid, gid)
        if wanted != (-1, -1):
            os.fchown(fd, *wanted)

    def _own_name(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        wanted = self._owner(entry.uid, entry.gid)
        if wanted != (-1, -1):
            os.chown(name, *wanted, dir_fd=parent, follow_symlinks=False)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def _dress(self, fd: int, entry: tar.Entry) -> None:
        """Owner, mode, attributes: in that order, for chown(2) clears set-uid."""
        self._own(fd, entry.uid, entry.gid)
        # A file that becomes somebody else's must not lend him its rights.
        keeps = self._how.owners or self._how.follow
        os.fchmod(fd, entry.mode if keeps else entry.mode & 0o1777)
        for key, value in entry.xattrs.items():
            if key.startswith(b"user.") or (keeps and key == b"security.capability"):
                try:
                    os.setxattr(fd, key, value)
                except (OSError, ValueError):
                    self.skipped.append(f"{tar.shown(entry.name)}: the attribute {key!r}")

    def _set_times(self) -> None:
        """Folders' times last, deepest first, since writing in a folder changes them."""
        for parts in sorted(self._times, key=len, reverse=True):
            try:
                parent = self._parent(parts)
                os.utime(parts[-1], ns=self._times[parts], dir_fd=parent, follow_symlinks=False)
            except OSError:
                continue
        self._times.clear()
        self._forget_open()
