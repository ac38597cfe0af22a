"""Reading and writing the files of a cgroup tree: the one door through which it is touched.

Constraint: a cgroup file takes one write(2) per value, and tells what is wrong by errno, so
nothing here is buffered.  Every other module calls these through the module (`files.write`),
which lets tests put a tree of their own behind the door.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import time
from typing import ClassVar

_POLL_SLICE = 0.02


def write(path: str, *texts: str) -> None:
    """Send each text by a system call of its own.  Raises OSError naming the path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        for text in texts:
            os.write(descriptor, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    """The whole file.  Raises OSError."""
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def make(path: str) -> None:
    """Make one cgroup: mkdir(2)."""
    os.mkdir(path, 0o755)


def unmake(path: str) -> None:
    """Remove one empty cgroup: rmdir(2).  Raises OSError: EBUSY while something is in it."""
    os.rmdir(path)


def words(path: str) -> frozenset[str]:
    """The words of a file such as cgroup.controllers; empty if it cannot be read."""
    try:
        return frozenset(read(path).split())
    except OSError:
        return frozenset()


def field(path: str, name: str) -> int:
    """The number after `name` in a file of `name number` lines; 0 if there is none."""
    try:
        lines = read(path).splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def wait_for_line(path: str, line: str, timeout: float) -> bool:
    """Wait until a notifying file (cgroup.events) holds `line`; whether it came in time.

    Such files wake poll(2) with POLLPRI (cgroup-v2.rst, "[Un]populated Notification"); the
    wait is sliced all the same, so that a wake-up that never comes costs little.
    """
    deadline = time.monotonic() + timeout
    with open(path, "rb", buffering=0) as file:
        poller = select.poll()
        poller.register(file, select.POLLPRI)
        while True:
            if line in os.pread(file.fileno(), 4096, 0).decode().splitlines():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(min(left, _POLL_SLICE) * 1000)


_LINE = 512
"""bytes that no line of the files read here is longer than"""


class KeptFile:
    """A file that is read again and again: opened once, read from its start each time.

    Opening and closing costs several times the reading.  The descriptors so kept never take
    more than half of what the process may open (RLIMIT_NOFILE); beyond that a file is opened
    for each reading: slower, but nothing else in the daemon runs out of them.
    """

    __slots__ = ("_descriptor", "_path", "_size")
    kept: ClassVar[int] = 0

    def __init__(self, path: str, size: int = 4096) -> None:
        self._path = path
        self._size = size
        self._descriptor = -1
        if KeptFile.kept < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            KeptFile.kept += 1
        else:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def read(self) -> bytes:
        """What the file says now.  Raises OSError: ENODEV once its cgroup is gone."""
        if self._descriptor >= 0:
            return self._whole(self._descriptor)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._whole(descriptor)
        finally:
            os.close(descriptor)

    def _whole(self, descriptor: int) -> bytes:
        """The kernel gives whole lines, a page at the most: a page that is nearly full may have
        a next one (/proc/PID/net/dev of a host with many links)."""
        data = part = os.pread(descriptor, self._size, 0)
        while len(part) > self._size - _LINE:
            part = os.pread(descriptor, self._size, len(data))
            data += part
        return data

    def close(self) -> None:
        """Give the descriptor back; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            KeptFile.kept -= 1

    def __del__(self) -> None:
        with contextlib.suppress(OSError, TypeError, AttributeError):
            self.close()
