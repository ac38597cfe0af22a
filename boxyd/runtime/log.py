"""The log of a box in CRI form, rotated: `2026-11-23T18:53:00.123456789Z stdout F text`.

One line of the file for each line of output, `F` when a newline ended it, `P` when the output
paused or went on elsewhere (the next line of that stream continues it).  The bytes are the
box's own, so joining the texts gives back exactly what was written.

Constraint: the box never waits for its log.  What the disk has no room for is counted.
"""

from __future__ import annotations

import os
import time

from boxyd.runtime.frames import STDERR

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Log:
    """`path` is the newest file; at `limit` bytes it becomes `path.1`, up to `path.<keep>`."""

    def __init__(self, path: str, limit: int, keep: int) -> None:
        self._path, self._limit, self._keep = path, limit, keep
        self._fd = -1
        self._size = 0
        self._second = -1
        self._date = b""
        self.lost = 0
        """bytes of output that could not be written"""
        self._open()

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, _FLAGS, 0o600)
            self._size = os.fstat(self._fd).st_size
        except OSError:
            self._fd, self._size = -1, 0

    def write(self, kind: int, chunk: bytes | memoryview) -> None:
        """Append a chunk of output of stream `kind`."""
        data = self._lines(kind, chunk)
        if self._size and self._size + len(data) > self._limit:
            self._rotate()
        if self._fd < 0:
            self._open()
        if not self._append(data):
            self.lost += len(chunk)

    def _append(self, data: bytes) -> bool:
        """Write all or nothing, so that a full disk leaves no half line."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError:
            if written:
                self._cut()
            return False
        self._size += written
        return True

    def _cut(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._close()

    def _lines(self, kind: int, chunk: bytes | memoryview) -> bytes:
        prefix = self._stamp() + (b" stderr " if kind == STDERR else b" stdout ")
        full, partial = prefix + b"F ", prefix + b"P "
        head, newline, tail = bytes(chunk).rpartition(b"\n")
        text = full + head.replace(b"\n", b"\n" + full) + b"\n" if newline else b""
        return text + partial + tail + b"\n" if tail else text

    def _stamp(self) -> bytes:
        """The time now, RFC 3339 with nanoseconds."""
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._date = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        return b"%s%09dZ" % (self._date, rest)

    def _rotate(self) -> None:
        """`log` becomes `log.1`, and so on; a rename that fails costs the oldest lines."""
        self._close()
        for number in range(self._keep, 0, -1):
            older = f"{self._path}.{number - 1}" if number > 1 else self._path
            try:
                os.replace(older, f"{self._path}.{number}")
            except OSError:
                continue
        if self._keep < 1:
            self._remove()
        self._open()

    def _remove(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            return

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        """Close the file."""
        self._close()
