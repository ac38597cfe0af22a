"""Directory trees as a whole: remove one, sync one.

Constraint: boxes and archives make trees that are deeper than PATH_MAX, than Python's recursion
limit and than the number of descriptors a process may have; shutil.rmtree fails on them.
"""

from __future__ import annotations

import itertools
import os
import secrets
import stat
import subprocess
from collections.abc import Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TOKEN = secrets.token_hex(8)


def remove(path: str | bytes, *, dir_fd: int | None = None) -> int:
    """Remove a directory tree; returns the bytes of its files. Symlinks are not followed.

    No recursion and two descriptors, however deep: a folder inside a folder is first moved up
    to the top, then emptied in its turn. A path that does not exist is no error.

    Raises:
        OSError: something resists (a mount point, a read-only file system).
    """
    try:
        top = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    except FileNotFoundError:
        return 0
    freed = 0
    try:
        numbers = itertools.count()
        freed += _empty(top, top, numbers)
        while names := os.listdir(top):
            for name in names:
                inner = os.open(name, _DIRECTORY, dir_fd=top)
                try:
                    freed += _empty(inner, top, numbers)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=dir_fd)
    return freed


def _empty(fd: int, top: int, numbers: Iterator[int]) -> int:
    """Unlink the files in `fd` and move its folders up to `top`; the bytes freed."""
    freed = 0
    for name in os.listdir(fd):
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            freed += found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0
            os.unlink(name, dir_fd=fd)
        elif fd != top:
            # No name in a tree is ours by chance: 64 random bits.
            new = f".{_TOKEN}-{next(numbers)}"
            os.rename(name, new, src_dir_fd=fd, dst_dir_fd=top)
    return freed


def sync(path: str) -> None:
    """Have everything on the file system of `path` on the disk, as syncfs(2) does.

    Python has no syncfs; coreutils has. Without it the whole machine is synced.
    """
    try:
        subprocess.run(["sync", "-f", path], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        os.sync()


def sync_folder(path: str) -> None:
    """Have the entries of the folder `path` on the disk (after a rename in it)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
