"""Removing a folder that a box has filled: hostile, and perhaps very deep.

Constraint: a box's root can make trees of any depth and point symlinks anywhere.  So there is
no recursion (shutil.rmtree meets the recursion limit at 1,000 levels), no path is ever built
(PATH_MAX ends at 4,096 bytes), only two descriptors are open at a time, and no symlink is
followed (O_NOFOLLOW, unlinkat(2)).  A folder in a folder is renamed up to the top and emptied
there in its turn, so the tree gets flat while it gets smaller.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Generator, Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FLAT = ".boxy-removing-"


def remove_tree(path: str) -> None:
    """Remove `path`, a folder with all below it, or whatever it is; gone already is fine.

    Raises OSError (EBUSY for a mount point, EPERM for an immutable file) with what could not
    be removed; everything before that is gone, and a second call goes on.
    """
    for _ in removing(path):
        pass


def removing(path: str) -> Generator[None, None, None]:
    """Like `remove_tree`, in steps of one entry, for a caller with other things to do."""
    try:
        top = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(path)
        return
    try:
        yield from _empty(top, path)
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def _empty(top: int, path: str) -> Generator[None, None, None]:
    """Empty the folder `top`, until a look into it finds nothing."""
    numbers = itertools.count()
    while names := os.listdir(top):
        for name in names:
            if not _unlink(name, top, path):
                yield from _empty_child(name, top, path, numbers)
            yield


def _empty_child(
    name: str, top: int, path: str, numbers: Iterator[int]
) -> Generator[None, None, None]:
    """Empty the folder `name` in `top`: its own folders move up into `top`; then remove it."""
    child = os.open(name, _FOLDER, dir_fd=top)
    try:
        for inner in os.listdir(child):
            if not _unlink(inner, child, path):
                _move_up(inner, child, top, numbers)
            yield
    finally:
        os.close(child)
    os.rmdir(name, dir_fd=top)


def _unlink(name: str, folder: int, path: str) -> bool:
    """Remove a non-folder or an empty folder; False: it is a folder with something in it."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except (IsADirectoryError, PermissionError) as error:
        # unlink(2) of a folder: EISDIR on Linux, EPERM by POSIX
        return _rmdir(name, folder, path, error)
    return True


def _rmdir(name: str, folder: int, path: str, refused: OSError) -> bool:
    try:
        os.rmdir(name, dir_fd=folder)
    except NotADirectoryError:
        raise OSError(refused.errno, refused.strerror, f"{path}/.../{name}") from None
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise OSError(error.errno, error.strerror, f"{path}/.../{name}") from None
    return True


def _move_up(name: str, child: int, top: int, numbers: Iterator[int]) -> None:
    while True:
        try:
            os.rename(name, f"{_FLAT}{next(numbers)}", src_dir_fd=child, dst_dir_fd=top)
        except OSError as error:
            # the box has a folder, or a file, of that very name
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return
