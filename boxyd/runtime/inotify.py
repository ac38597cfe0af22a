"""inotify(7): to be told of a change in a folder without asking again and again.

Constraint: like every use of ctypes it lives in the runtime; the daemon's log readers use it.
"""

from __future__ import annotations

import ctypes
import os
import struct

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_ONLYDIR = 0x0100_0000
IN_Q_OVERFLOW = 0x4000
_HEAD = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, length of the name

_libc = ctypes.CDLL(None, use_errno=True)


def inotify_init1(flags: int = os.O_NONBLOCK | os.O_CLOEXEC) -> int:
    """A new instance; OSError EMFILE at the user's limit of them."""
    return _checked(_libc.inotify_init1(flags), "inotify_init1")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch `path`; the number that its events will bear."""
    return _checked(_libc.inotify_add_watch(fd, os.fsencode(path), mask), path)


def inotify_rm_watch(fd: int, watch: int) -> None:
    """End a watch; OSError EINVAL if its folder is gone already."""
    _checked(_libc.inotify_rm_watch(fd, watch), "inotify_rm_watch")


def read_events(fd: int) -> list[tuple[int, int]]:
    """(watch, mask) of what happened; [] if nothing did."""
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        return []
    events, at = [], 0
    while at < len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, at)
        events.append((watch, mask))
        at += _HEAD.size + length
    return events


def _checked(result: int, about: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
    return result
