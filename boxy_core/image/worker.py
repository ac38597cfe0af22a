"""The unpacking child: shut into the destination by chroot(2), it writes one layer.

    python -I -c '...' '{"limits": [...], "keep": FD}'    (see unpack.py)

standard input is the archive, standard output gets JSON lines: `{"packed": N}` now and then, at
the end `{"done": {...}}` or `{"problem": "..."}`; the working directory is the destination.

Constraint: runs as root on a stranger's archive. The chroot keeps every name, symlink and hard
link inside, whatever the archive did before; nothing is imported after it. Each path is walked
by directory descriptors, so that depth has no limit (PATH_MAX is 4096 bytes). Set-uid bits stay
(a box's ids are mapped), device nodes are left out, OCI whiteouts become overlayfs's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import stat
import sys
import time
from collections.abc import Callable
from typing import TypedDict

from boxy_core.image import tar, trees
from boxy_core.image.streams import BadArchive, Limits, Stream

_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_OPEN = 32
_MAX_SKIPPED = 1 << 16
_TICK = 0.1  # seconds between progress lines

Parts = tuple[bytes, ...]


class Report(TypedDict):
    """What a finished layer is told with."""

    diff_id: str
    """sha256:... of the raw tar"""
    raw: int
    """bytes of the raw tar"""
    size: int
    """bytes of the files"""
    entries: int
    replaced: int
    whiteouts: int
    devices: int
    """device nodes left out"""
    xattrs: int
    """extended attributes left out"""


def split(name: bytes) -> Parts:
    """A name's components; a leading slash means nothing. Raises BadArchive for `..`."""
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise BadArchive(f"an entry climbs out by '..': {tar.shown(name)}")
    if any(len(part) > 255 for part in parts):
        raise BadArchive(f"an entry's name is too long: {tar.shown(name)}")
    return parts


class Layer:
    """Writes entries below the present root directory."""

    def __init__(self, reader: tar.Reader) -> None:
        self._reader = reader
        self._root = os.open("/", _DIRECTORY)
        self._open: dict[Parts, int] = {}
        self._times: dict[Parts, int] = {}
        self._skipped: set[Parts] = set()
        self.size = self.entries = self.replaced = 0
        self.whiteouts = self.devices = self.xattrs = 0

    def write(self) -> None:
        """Write every entry. Raises BadArchive, OSError."""
        for entry in self._reader:
            self.entries += 1
            try:
                self._write(entry)
            except OSError as error:
                raise OSError(
                    error.errno, f"{os.strerror(error.errno or 0)}, at {tar.shown(entry.name)}"
                ) from None
        self._set_times()

    def _write(self, entry: tar.Entry) -> None:
        parts = split(entry.name)
        if not parts:
            self._write_root(entry)
            return
        if any(part.startswith(_WHITEOUT) for part in parts[:-1]):
            raise BadArchive(f"a whiteout serves as a folder: {tar.shown(entry.name)}")
        if entry.kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
            self.devices += 1
            if len(self._skipped) < _MAX_SKIPPED:
                self._skipped.add(parts)
            return
        parent = self._parent(parts)
        if parts[-1].startswith(_WHITEOUT):
            self._whiteout(parent, parts)
        elif entry.kind == tar.DIRECTORY:
            self._directory(parent, parts, entry)
        elif entry.kind == tar.LINK:
            self._link(parent, parts, entry)
        else:
            self._plain(parent, parts, entry)

    def _write_root(self, entry: tar.Entry) -> None:
        if entry.kind != tar.DIRECTORY:
            raise BadArchive(f"the root of the tree is a {entry.kind}")
        self._dress(self._root, entry)
        self._times[()] = entry.mtime_ns

    # ------------------------------------------------------------------ walking

    def _parent(self, parts: Parts) -> int:
        """The open folder that holds the last of `parts`, made where it is missing."""
        above = parts[:-1]
        known = len(above)
        while known and above[:known] not in self._open:
            known -= 1
        fd = self._open[above[:known]] if known else self._root
        for end in range(known + 1, len(above) + 1):
            fd = self._enter(fd, above[:end])
        return fd

    def _enter(self, fd: int, path: Parts) -> int:
        """Open the folder `path` in `fd`; a symlink is followed, inside the chroot."""
        name = path[-1]
        try:
            found = os.open(name, _DIRECTORY, dir_fd=fd)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            self._remove(fd, path)  # a file, or a symlink to nowhere
            os.mkdir(name, 0o755, dir_fd=fd)
            found = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        while len(self._open) >= _KEPT_OPEN:
            oldest = next(old for old, kept in self._open.items() if kept != fd)
            os.close(self._open.pop(oldest))
        self._open[path] = found
        return found

    def _remove(self, fd: int, path: Parts) -> None:
        """Remove what stands at `path`, if anything does."""
        name = path[-1]
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        self.replaced += 1
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            self.size -= found.st_size
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=fd)
        else:
            self.size -= trees.remove(name, dir_fd=fd)
        if not stat.S_ISREG(found.st_mode):
            # Folders that were reached through it are no longer where they were.
            for path_open in [path_open for path_open, kept in self._open.items() if kept != fd]:
                os.close(self._open.pop(path_open))

    # ------------------------------------------------------------------ kinds of entries

    def _plain(self, parent: int, parts: Parts, entry: tar.Entry) -> None:
        """A file, symlink or FIFO; what is in its place is replaced."""
        make: Callable[[int, bytes, tar.Entry], None] = {
            tar.FILE: self._file,
            tar.SYMLINK: self._symlink,
            tar.FIFO: self._fifo,
        }[entry.kind]
        try:
            make(parent, parts[-1], entry)
        except FileExistsError:
            self._remove(parent, parts)
            make(parent, parts[-1], entry)
        self._times.pop(parts, None)

    def _file(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            if entry.extents is None:
                self._reader.copy(entry.stored, fd)
            else:
                for offset, length in entry.extents:
                    os.lseek(fd, offset, os.SEEK_SET)
                    self._reader.copy(length, fd)
                os.ftruncate(fd, entry.size)
            self._dress(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self.size += entry.size

    def _symlink(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        if len(entry.target) > 4095:
            raise BadArchive(f"a symlink's target is too long: {tar.shown(entry.name)}")
        os.symlink(entry.target, name, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        self.xattrs += len(entry.xattrs)  # the kernel keeps user.* off symlinks (xattr(7))
        _set_time(parent, name, entry.mtime_ns)

    def _fifo(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        os.mkfifo(name, 0o600, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, entry.mode, dir_fd=parent)  # ours, made now: no symlink to follow
        self.xattrs += len(entry.xattrs)
        _set_time(parent, name, entry.mtime_ns)

    def _directory(self, parent: int, parts: Parts, entry: tar.Entry) -> None:
        name = parts[-1]
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                self._remove(parent, parts)
                os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            self._dress(fd, entry)
        finally:
            os.close(fd)
        self._times[parts] = entry.mtime_ns

    def _link(self, parent: int, parts: Parts, entry: tar.Entry) -> None:
        source = split(entry.target)
        if source == parts:
            return
        if source in self._skipped:
            self.devices += 1
            return
        try:
            found_in = self._find(source)
        except OSError:
            raise BadArchive(
                f"a hard link's target is missing: {tar.shown(entry.name)} "
                f"to {tar.shown(entry.target)}"
            ) from None
        try:
            self._hard_link(found_in, source[-1], parent, parts, entry)
        finally:
            os.close(found_in)

    def _find(self, path: Parts) -> int:
        """The folder that holds the existing `path`. Raises OSError if there is none."""
        if not path:
            raise FileNotFoundError
        fd = os.dup(self._root)
        try:
            for name in path[:-1]:
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
            os.stat(path[-1], dir_fd=fd, follow_symlinks=False)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _hard_link(
        self, found_in: int, source: bytes, parent: int, parts: Parts, entry: tar.Entry
    ) -> None:
        found = os.stat(source, dir_fd=found_in, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode) or stat.S_ISCHR(found.st_mode):
            raise BadArchive(f"a hard link leads to a folder or whiteout: {tar.shown(entry.name)}")
        name = parts[-1]
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino):
                return
            if stat.S_ISDIR(there.st_mode):
                raise BadArchive(f"a hard link would replace a folder: {tar.shown(entry.name)}")
            self._remove(parent, parts)
        os.link(source, name, src_dir_fd=found_in, dst_dir_fd=parent, follow_symlinks=False)

    def _whiteout(self, parent: int, parts: Parts) -> None:
        """OCI image-spec, layer.md; the kernel's overlayfs.rst, "whiteouts and opaque"."""
        name = parts[-1]
        if name == _OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
            self.whiteouts += 1
        elif not name.startswith(_WHITEOUT * 2):  # aufs's own: of no use here
            hidden = name[len(_WHITEOUT) :]
            if hidden in (b"", b".", b".."):
                raise BadArchive(f"a whiteout hides nothing: {tar.shown(name)}")
            # One that this same layer brings is not hidden: it hides the layers below.
            with contextlib.suppress(FileExistsError):
                os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
                self.whiteouts += 1

    # ------------------------------------------------------------------ attributes

    def _dress(self, fd: int, entry: tar.Entry) -> None:
        """Owner, mode, attributes: in that order, for chown(2) clears set-uid and capabilities."""
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        for key, value in entry.xattrs.items():
            if not _keeps(key):
                self.xattrs += 1
                continue
            try:
                os.setxattr(fd, key, value)
            except (OSError, ValueError):
                self.xattrs += 1

    def _set_times(self) -> None:
        """Folders' times last, deepest first, since writing in a folder changes them."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        for path in sorted(self._times, key=len, reverse=True):
            when = (self._times[path], self._times[path])
            if not path:
                os.utime(self._root, ns=when)
                continue
            with contextlib.suppress(OSError):
                self._set_time_of(path)

    def _set_time_of(self, path: Parts) -> None:
        parent = self._find(path)
        try:
            if stat.S_ISDIR(os.stat(path[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                _set_time(parent, path[-1], self._times[path])
        finally:
            os.close(parent)


def _keeps(key: bytes) -> bool:
    """Whether a layer may bring this attribute: users' own, and file capabilities."""
    if key == b"security.capability":
        return True
    return key.startswith(b"user.") and not key.startswith(b"user.overlay.")


def _set_time(parent: int, name: bytes, ns: int) -> None:
    os.utime(name, ns=(ns, ns), dir_fd=parent, follow_symlinks=False)


# ---------------------------------------------------------------------- the process


def _tell(message: object) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _ticker() -> Callable[[int], None]:
    """A progress line at most every tenth of a second.

    A parent that died makes the write fail, which ends the child too.
    """
    last = time.monotonic()

    def tick(packed: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _TICK:
            last = now
            _tell({"packed": packed})

    return tick


def _confine(limits: Limits) -> None:
    os.chroot(".")
    os.chdir("/")
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for which, wanted in (
        (resource.RLIMIT_FSIZE, limits.size),
        (resource.RLIMIT_AS, limits.memory),
    ):
        _, hard = resource.getrlimit(which)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))


def unpack(limits: Limits) -> Report:
    """Write the archive on standard input below the root directory."""
    stream = Stream(lambda n: os.read(0, n), limits, _ticker())
    layer = Layer(tar.Reader(stream))
    layer.write()
    return Report(
        diff_id="sha256:" + stream.digest.hexdigest(),
        raw=stream.raw,
        size=layer.size,
        entries=layer.entries,
        replaced=layer.replaced,
        whiteouts=layer.whiteouts,
        devices=layer.devices,
        xattrs=layer.xattrs,
    )


def main() -> int:
    """Run the child; exit status 0 when the layer is whole."""
    limits = Limits(*json.loads(sys.argv[1]))
    try:
        _confine(limits)
        _tell({"done": unpack(limits)})
    except BadArchive as error:
        _tell({"problem": str(error)})
    except MemoryError:
        _tell({"problem": "unpacking it takes more memory than is allowed"})
    except BrokenPipeError:
        return 1
    except OSError as error:
        _tell({"errno": error.errno, "problem": error.strerror or str(error)})
    else:
        return 0
    return 1
