"""Reading a box's log while its shim writes and rotates it.

The files are in CRI form: `2026-11-23T18:53:00.123456789Z stdout F text`, F: a newline ended
the text, P: it did not.  `log` is the newest, `log.1` the one before, and so on.

Constraint: exact.  What is sent is byte for byte what the box wrote, in order, nothing twice,
nothing lost to a rotation: a reader holds its file open, so renaming changes nothing for it,
and it finds the next file by inode.  Only what was rotated away for good is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from boxy_core.protocol import STDERR, STDOUT, frame
from boxyd.folder_watch import FolderWatch

PIECE = 1 << 16
"""bytes that are read at once, and about as many that are sent at once"""
MAX_FILES = 1000
_STAMP_LENGTH = 30


class LogQuery(NamedTuple):
    """Which part of a log: the last `tail` lines (-1: all), of them those in the span."""

    tail: int = -1
    since: float | None = None
    until: float | None = None
    """seconds since the epoch"""
    timestamps: bool = False
    follow: bool = False
    """`wait_for_more` will be called"""


class LogReader:
    """Reads one box's log from its folder; `close` it."""

    def __init__(self, folder: str, query: LogQuery) -> None:
        self._path = folder + "/log"
        self._query = query
        self._since = _stamp(query.since)
        self._until = _stamp(query.until)
        self._watch = FolderWatch(folder) if query.follow else None
        self._files = [_File(fd) for fd in _open_files(self._path)]
        self._open_lines: dict[int, bool] = {}
        self.finished = False
        """nothing more will come: the span is over"""
        if query.tail >= 0:
            self._skip_to_tail(query.tail)

    def close(self) -> None:
        """Give back what is open."""
        if self._watch is not None:
            self._watch.close()
        for file in self._files:
            file.close()
        self._files.clear()

    def frames(self) -> Iterator[bytes]:
        """What there is now, as stream frames, in pieces."""
        if self._watch is not None:
            self._watch.clear()
        while not self.finished:
            if not self._files and not self._go_on():
                break
            piece = self._files[0].read_lines()
            if piece:
                yield from self._render(piece)
            elif len(self._files) > 1:
                self._files.pop(0).close()
            elif not self._go_on():
                break
        if self._query.until is not None and time.time() > self._query.until:
            self.finished = True

    async def wait_for_more(self, until: asyncio.Future[Any]) -> None:
        """Return when something was written since `frames`, or `until` is done."""
        assert self._watch is not None, "the query says that nobody follows"
        left = None
        if self._query.until is not None:
            left = max(0.0, self._query.until - time.time()) + 0.01
        await self._watch.wait(until, left)

    def _go_on(self) -> bool:
        """Look whether the newest file was rotated away; whether there is more to read."""
        newest = self._files[-1] if self._files else None
        try:
            inode = os.stat(self._path).st_ino
        except FileNotFoundError:
            return False
        if newest is not None and inode == newest.inode:
            return False
        # The writer has left our file, so it is complete now: `frames` reads its rest first.
        later = _open_files(self._path, newest.inode if newest else 0)
        self._files += [_File(fd) for fd in later]
        return bool(later)

    def _render(self, lines: list[bytes]) -> Iterator[bytes]:
        out: list[bytes] = []
        kind, size = STDOUT, 0
        for text in lines:
            parsed = self._select(text)
            if parsed is None:
                continue
            if (parsed[0] != kind or size > PIECE) and out:
                yield frame(kind, b"".join(out))
                out, size = [], 0
            kind = parsed[0]
            out.append(parsed[1])
            size += len(parsed[1])
        if out:
            yield frame(kind, b"".join(out))

    def _select(self, text: bytes) -> tuple[int, bytes] | None:
        """The stream and the bytes of a line of the file; None: not wanted, or no such line."""
        parts = text.split(b" ", 3)
        if len(parts) != 4 or len(parts[0]) != _STAMP_LENGTH:
            return None
        stamp, stream, tag, content = parts
        if self._until and stamp > self._until:
            self.finished = True
            return None
        if self._since and stamp < self._since:
            return None
        kind = STDERR if stream == b"stderr" else STDOUT
        full = tag[:1] != b"P"
        if self._query.timestamps and not self._open_lines.get(kind):
            content = stamp + b" " + content
        self._open_lines[kind] = not full
        return kind, content + b"\n" if full else content

    def _skip_to_tail(self, wanted: int) -> None:
        """Leave out all but the last `wanted` lines of what there is."""
        found = 0
        for index in range(len(self._files) - 1, -1, -1):
            file = self._files[index]
            for end, full in file.lines_backwards():
                if full or not found:
                    found += 1
                if found > wanted:
                    file.seek(end)
                    for older in self._files[:index]:
                        older.close()
                    del self._files[:index]
                    return


class _File:
    """One file of the log, and how far it was read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self.inode = os.fstat(fd).st_ino

    def close(self) -> None:
        os.close(self._fd)

    def seek(self, at: int) -> None:
        self._at = at

    def read_lines(self) -> list[bytes]:
        """The next complete lines; [] at the end.  A line half written is read when it is whole."""
        size = PIECE
        while True:
            data = os.pread(self._fd, size, self._at)
            end = data.rfind(b"\n")
            if end >= 0:
                self._at += end + 1
                return data[:end].split(b"\n")
            if len(data) < size:
                return []
            size *= 4  # a line longer than a piece

    def lines_backwards(self) -> Iterator[tuple[int, bool]]:
        """(where it ends, whether a newline of the box ended it) of each line, last first."""
        position = os.fstat(self._fd).st_size
        rest = b""
        while position > 0:
            start = max(0, position - PIECE)
            data = os.pread(self._fd, position - start, start) + rest
            first = 0 if start == 0 else data.find(b"\n") + 1
            if start and not first:
                rest, position = data, start
                continue
            end = data.rfind(b"\n") + 1  # what follows is not whole yet
            while end > first:
                begin = data.rfind(b"\n", first, end - 1) + 1 or first
                yield start + end, b" P " not in data[begin : begin + _STAMP_LENGTH + 11]
                end = begin
            rest, position = data[:first], start


def _open_files(path: str, after: int = 0) -> list[int]:
    """The files that are newer than the inode `after` (0: all), opened, oldest first.

    Opened from the newest on: a rotation meanwhile only shows one again that is open already.
    """
    found: dict[int, int] = {}
    for number in range(MAX_FILES):
        try:
            fd = os.open(f"{path}.{number}" if number else path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if number:
                break
            continue  # between the two renames of a rotation
        inode = os.fstat(fd).st_ino
        if inode == after:
            os.close(fd)
            break
        if inode in found:
            os.close(fd)
        else:
            found[inode] = fd
    return list(reversed(found.values()))


def _stamp(moment: float | None) -> bytes:
    """The moment as the log writes it, so that the bytes compare as the times do."""
    if moment is None:
        return b""
    moment = min(max(moment, 0.0), 253402300799.0)  # the years that have four digits
    nanoseconds = int(moment * 1_000_000_000)
    second, rest = divmod(nanoseconds, 1_000_000_000)
    with contextlib.suppress(ValueError):
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{text}.{rest:09d}Z".encode()
    return b""
