"""Copy a directory tree with all that makes it what it is: owners, modes, times, attributes,
holes, hard links, device nodes.

Constraint: the tree may be hostile, and somebody may be changing it.  Both sides are walked by
descriptors, no symlink is followed (O_NOFOLLOW), what is no ordinary file is never opened.
Depth costs two descriptors a level and no recursion.  Blocks are shared where the file system
can do that (ioctl_ficlone(2)).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from boxyd.runtime import syscalls as sys_

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x4004_9409
_PIECE = 8 << 20
SETTLED = 60.0
"""seconds after which the kernel has written a changed page out, and a further write to it through
a mapping shows in the file's times again (dirty_expire_centisecs in proc_sys_vm(5) is 30 s)"""
CLOCK = 0.5
"""seconds that the clock of inodes may lag behind"""
_LINKS = 256
"""hard-linked files whose first copy is remembered at a time"""
_FORGOTTEN = frozenset(
    f"trusted.overlay.{name}" for name in ("origin", "impure", "upper", "nlink", "uuid", "index")
)
"""what overlayfs notes of the very inodes that are copied (overlayfs.rst)"""


class Copied:
    """What was copied: entries, and bytes of files as their owner counts them."""

    def __init__(self) -> None:
        self.entries = 0
        self.size = 0
        self.shared = True
        """every file's blocks are shared with the original (true of none, too)"""


def copy_tree(source: int, target: int, *, moving_since: float | None = None) -> Copied:
    """Copy what is in the folder `source` into the empty folder `target`, both open.

    `moving_since`: the tree is in use, and `catch_up` will be asked for what changed since that
    time.  Raises OSError with the name that it was at.
    """
    return _Copy(moving_since).run(source, target)


class _Copy:
    def __init__(self, moving_since: float | None = None) -> None:
        self._young = (moving_since - SETTLED) * 1e9 if moving_since is not None else None
        self._links: dict[tuple[int, int], int] = {}
        self._clones = True
        self.done = Copied()

    def run(self, source: int, target: int) -> Copied:
        levels: list[tuple[int, int, list[str]]] = []
        try:
            levels.append((os.dup(source), os.dup(target), self._files(source, target)))
            while levels:
                here, there, folders = levels[-1]
                if folders:
                    levels.append(self._enter(here, there, folders.pop()))
                    continue
                _dress(here, there)
                levels.pop()
                os.close(here)
                os.close(there)
        finally:
            for here, there, _ in levels:
                os.close(here)
                os.close(there)
            for fd in self._links.values():
                os.close(fd)
        return self.done

    def _enter(self, here: int, there: int, name: str) -> tuple[int, int, list[str]]:
        inner = os.open(name, _FOLDER, dir_fd=here)
        try:
            os.mkdir(name, 0o700, dir_fd=there)
            made = os.open(name, _FOLDER, dir_fd=there)
        except BaseException:
            os.close(inner)
            raise
        try:
            return inner, made, self._files(inner, made)
        except BaseException:
            os.close(inner)
            os.close(made)
            raise

    def _files(self, here: int, there: int) -> list[str]:
        """Copy all that is no folder; the names of the folders."""
        folders = []
        for name in os.listdir(here):
            try:
                found = os.stat(name, dir_fd=here, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(name)
                else:
                    self._entry(name, found, here, there)
                    self.done.entries += 1
            except FileNotFoundError:
                continue  # removed under our eyes
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror}, at {name!r}") from None
        return folders

    def _entry(self, name: str, found: os.stat_result, here: int, there: int) -> None:
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            self._file(name, found, here, there)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
        else:
            os.mknod(name, kind | 0o600, found.st_rdev, dir_fd=there)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=there, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=there)
        times = (found.st_atime_ns, found.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=there, follow_symlinks=False)

    def _file(self, name: str, found: os.stat_result, here: int, there: int) -> None:
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in self._links:
            first = f"/proc/self/fd/{self._links[key]}"
            os.link(first, name, dst_dir_fd=there, follow_symlinks=True)
            return
        source = os.open(name, _READ, dir_fd=here)
        try:
            if not stat.S_ISREG(os.fstat(source).st_mode):
                return  # exchanged since we looked
            if self._young is not None and found.st_ctime_ns >= self._young:
                # From here on a write through a mapping shows in the file's times again.
                sys_.write_out(source)
            target = os.open(name, _NEW, 0o600, dir_fd=there)
            try:
                self._content(source, target)
                _dress(source, target)
            finally:
                os.close(target)
        finally:
            os.close(source)
        self.done.size += found.st_size
        if found.st_nlink > 1 and len(self._links) < _LINKS:
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            self._links[key] = os.open(name, flags, dir_fd=there)

    def _content(self, source: int, target: int) -> None:
        if self._clones:
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError:
                self._clones = False  # one file system for all
            else:
                return
        size = os.fstat(source).st_size
        if size:
            self.done.shared = False
            copy_data(source, target, size)


def copy_data(source: int, target: int, size: int) -> None:
    """Copy a file's bytes; its holes stay holes (lseek(2), SEEK_DATA)."""
    for start, end in extents(source, size):
        at = start
        while at < end:
            count = _copy_range(source, target, min(_PIECE, end - at), at)
            if not count:
                break  # it became shorter meanwhile
            at += count
    os.ftruncate(target, size)


def extents(fd: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of a file's parts that hold data."""
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


def _copy_range(source: int, target: int, count: int, at: int) -> int:
    try:
        return os.copy_file_range(source, target, count, at, at)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
    data = memoryview(os.pread(source, min(count, 1 << 20), at))
    done = 0
    while done < len(data):
        done += os.pwrite(target, data[done:], at + done)
    return done


def _dress(source: int, target: int) -> None:
    """Owner, mode, attributes, times: in that order, since chown(2) clears set-uid bits."""
    found = os.fstat(source)
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    for key in os.listxattr(source):
        if key not in _FORGOTTEN:
            _copy_attribute(key, source, target)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_attribute(key: str, source: int, target: int) -> None:
    try:
        os.setxattr(target, key, os.getxattr(source, key))
    except OSError as error:
        # ENODATA: gone meanwhile; EOPNOTSUPP, EPERM: the file system or its mount knows it not
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM}:
            raise


def catch_up(source: int, target: int, began: float) -> None:
    """Copy anew what changed since a first pass that began at `began`, and remove what is gone.

    Nobody writes to `source` meanwhile.  A file counts as changed if its inode's change time says
    so; the first pass saw to it that no write through a mapping stays unseen.
    """
    _CatchUp(began - CLOCK).run(source, target)


class _CatchUp(_Copy):
    def __init__(self, since: float) -> None:
        super().__init__()
        self._since = since * 1e9

    def _enter(self, here: int, there: int, name: str) -> tuple[int, int, list[str]]:
        inner = os.open(name, _FOLDER, dir_fd=here)
        try:
            try:
                made = os.open(name, _FOLDER, dir_fd=there)
            except OSError as error:
                if error.errno != errno.ENOENT:  # in the first pass it was no folder
                    _remove(there, name)
                os.mkdir(name, 0o700, dir_fd=there)
                made = os.open(name, _FOLDER, dir_fd=there)
        except BaseException:
            os.close(inner)
            raise
        return inner, made, self._files(inner, made)

    def _files(self, here: int, there: int) -> list[str]:
        gone = set(os.listdir(there)) - set(os.listdir(here))
        for name in gone:
            _remove(there, name)
        return super()._files(here, there)

    def _entry(self, name: str, found: os.stat_result, here: int, there: int) -> None:
        try:
            copied = os.stat(name, dir_fd=there, follow_symlinks=False)
        except FileNotFoundError:
            super()._entry(name, found, here, there)
            return
        same = stat.S_IFMT(copied.st_mode) == stat.S_IFMT(found.st_mode)
        if same and found.st_ctime_ns < self._since:
            return
        _remove(there, name)
        super()._entry(name, found, here, there)


def _remove(folder: int, name: str) -> None:
    """Remove an entry of our own copy, whatever it is."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=folder)
        return
    inner = os.open(name, _FOLDER, dir_fd=folder)
    try:
        for child in os.listdir(inner):
            _remove(inner, child)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
