"""What is done inside a box's tree: look, list, read, pack, extract.

Constraint: the box is hostile and may be running, so its symlinks may change at any moment.
Every path is resolved by the kernel inside the box's root (openat2(2), RESOLVE_IN_ROOT), once,
to a descriptor; what is done is done on that.  We are inside the box anyway (enter.py), so even
a mistake here meets the box's own files alone.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from typing import Any

from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound
from boxy_core.files import extract, pack
from boxy_core.image import tar
from boxy_core.image.streams import Limits, Stream
from boxyd.runtime import syscalls as sys_

IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
LISTED = 20_000
"""entries of one folder that are listed"""
READ = 1 << 20
"""bytes that are read of a file to be looked at"""
_KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device",
}  # fmt: skip
_LIMITS = Limits(size=1 << 62, entries=1 << 40, all_metadata=1 << 40, ratio=1 << 20)


def _root() -> int:
    return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _opened(path: str, flags: int) -> int:
    """An fd of `path` in the box.  Raises NotFound, InvalidRequest naming it."""
    root = _root()
    try:
        return sys_.openat2(root, path, flags, IN_ROOT)
    except FileNotFoundError:
        raise NotFound(
            f"there is no {path} in the box", hint="boxy exec BOX ls shows what is"
        ) from None
    except NotADirectoryError:
        raise InvalidRequest(
            f"{path} leads through something that is no folder",
            hint="give the path of a file, with folders before it",
        ) from None
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be opened: {os.strerror(error.errno or 0)}") from None
    finally:
        os.close(root)


def _above(path: str) -> tuple[int, str]:
    """The open folder that holds `path`, and its name there, "" for the root."""
    clean = path.rstrip("/")
    while clean.endswith("/."):
        clean = clean[:-2].rstrip("/")
    above, _, name = clean.rpartition("/")
    if name in ("", ".", ".."):
        return _opened(clean or "/", os.O_RDONLY | os.O_DIRECTORY), ""
    return _opened(above or "/", os.O_PATH | os.O_DIRECTORY), name


def told(name: str, found: os.stat_result, target: str = "") -> dict[str, Any]:
    """An entry as plain data."""
    return {
        "name": name, "kind": _KINDS.get(stat.S_IFMT(found.st_mode), "other"),
        "mode": stat.S_IMODE(found.st_mode), "size": found.st_size, "mtime": found.st_mtime,
        "uid": found.st_uid, "gid": found.st_gid, "target": target,
    }  # fmt: skip


def look(path: str, *, follow: bool) -> dict[str, Any]:
    """What is at `path`."""
    flags = os.O_PATH | (0 if follow or path.endswith(("/", "/.")) else os.O_NOFOLLOW)
    fd = _opened(path, flags)
    try:
        found = os.fstat(fd)
        target = os.readlink("", dir_fd=fd) if stat.S_ISLNK(found.st_mode) else ""
    finally:
        os.close(fd)
    return told(path.rstrip("/").rpartition("/")[2], found, target)


def listing(path: str) -> dict[str, Any]:
    """What is in the folder `path`, folders first."""
    fd = _opened(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
    entries = []
    try:
        names = sorted(os.listdir(fd))
        for name in names[:LISTED]:
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                link = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(found.st_mode) else ""
            except OSError:
                continue  # removed meanwhile
            entries.append(told(os.fsencode(name).decode(errors="replace"), found, link))
    finally:
        os.close(fd)
    entries.sort(key=lambda entry: (entry["kind"] != "folder", entry["name"]))
    return {"path": path, "entries": entries, "left_out": max(0, len(names) - LISTED)}


def read(path: str, offset: int) -> dict[str, Any]:
    """A piece of a file, base64, and how long the whole is."""
    fd = _opened(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(
                f"{path} is no file that could be read", hint="name a regular file or a folder"
            )
        data = os.pread(fd, READ, offset)
    finally:
        os.close(fd)
    return {"size": found.st_size, "offset": offset, "data": base64.b64encode(data).decode()}


def packed(path: str, *, follow: bool, begin: Callable[[dict[str, Any]], None],
           out: pack.Write) -> pack.Packed:  # fmt: skip
    """Send a file, or a folder with all below it, under its own name; of the root its content.

    `begin` hears what it is before the first byte is sent.
    """
    begin(look(path, follow=follow))
    packer = pack.Packer(out)
    folder, name = _above(path)
    try:
        if not name:
            packer.add_folder(folder, "", itself=False)
        elif follow or path.endswith(("/", "/.")):
            _add_followed(packer, path, name)
        else:
            packer.add(folder, name, name)
    finally:
        os.close(folder)
    return packer.end()


def _add_followed(packer: pack.Packer, path: str, name: str) -> None:
    fd = _opened(path, os.O_PATH)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            inner = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            try:
                packer.add_folder(inner, name)
            finally:
                os.close(inner)
            return
        real = os.readlink(f"/proc/self/fd/{fd}") if os.path.isdir("/proc/self/fd") else ""
    finally:
        os.close(fd)
    if not real:
        real = _straight(path)
    above, last = _above(real)
    try:
        packer.add(above, last, name)
    finally:
        os.close(above)


def _straight(path: str) -> str:
    """Where a chain of symlinks ends, by reading them: there is no /proc of ours here."""
    for _ in range(40):
        folder, name = _above(path)
        try:
            link = os.readlink(name, dir_fd=folder) if name else ""
        except OSError:
            return path
        finally:
            os.close(folder)
        above = path.rstrip("/").rpartition("/")[0]
        path = link if link.startswith("/") else f"{above}/{link}"
    raise InvalidRequest(
        f"{path} leads over too many symlinks", hint="give the path that the links lead to"
    )


def extracted(path: str, read_: Callable[[int], bytes], *, owners: bool) -> dict[str, Any]:
    """Write what comes below the folder `path`, which must be there."""
    root = _opened(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
    how = extract.How(owners=owners, uid=-1 if owners else 0, gid=-1 if owners else 0, follow=True)
    extractor = extract.Extractor(root, how)
    try:
        extractor.run(tar.Reader(Stream(read_, _LIMITS)))
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        os.close(root)
    return {
        "entries": extractor.entries, "size": extractor.size, "skipped": extractor.skipped[:20],
    }  # fmt: skip


def _refused(path: str, error: OSError) -> BoxyError:
    return Conflict(
        f"{path} in the box could not be written: {error.strerror}",
        hint="what was copied before stays; see whether it is read-only, full, or of another kind",
    )
