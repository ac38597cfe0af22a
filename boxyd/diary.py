"""What was done for each box, and how long it took: a few lines in the box's own folder.

Constraint: a note costs one short append and must never be the reason that anything fails;
the file is bounded.  The daemon is its one writer; `cat` reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from boxy_core.errors import BoxyError
from boxy_core.paths import Paths
from boxyd.state import AFTER_ANSWER

FILE = "trace.jsonl"
LIMIT = 64 << 10
"""bytes; past it the older half is dropped"""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was done."""

    at: float
    """when it began, seconds since the epoch"""
    what: str
    """"create", "start", "stop", ...: the last word of the request"""
    ms: float
    pid: int = 0
    uid: int = 0
    """who asked, as the socket's peer credentials say"""
    error: str = ""
    """why it failed"""


class Diary:
    """The diaries of all boxes."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def note(self, box_id: str, line: Line) -> None:
        """Write the line down; a box that is removed has no diary any more."""
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            path = self._path(box_id)
            fd = os.open(path, flags, 0o600)
            try:
                os.write(fd, msgspec.json.encode(line) + b"\n")
                full = os.fstat(fd).st_size > LIMIT
            finally:
                os.close(fd)
            if full:
                _halve(path)

    def read(self, box_id: str) -> list[Line]:
        """All lines, oldest first; those that a crash cut off are left out."""
        try:
            with open(self._path(box_id), "rb") as file:
                texts = file.read().splitlines()
        except OSError:
            return []
        found = []
        for text in texts:
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(text, type=Line))
        return found

    def start(self, box_id: str) -> dict[str, Any] | None:
        """The waterfall of the last start (`boxes_trace`), None before the first."""
        try:
            with open(f"{self._paths.box(box_id)}/trace.json", "rb") as file:
                found: dict[str, Any] = msgspec.json.decode(file.read())
        except (OSError, msgspec.DecodeError):
            return None
        return found

    def _path(self, box_id: str) -> str:
        return f"{self._paths.box(box_id)}/{FILE}"


class Timed:
    """Something that is being done, from now on."""

    def __init__(self, what: str) -> None:
        self._what, self._at, self._began = what, time.time(), time.perf_counter()

    def note(self, diary: Diary, box_id: str, asked: tuple[int, int], error: str = "") -> None:
        """It is done, for `asked` (pid, uid); the line is written when the answer is out."""
        ms = round((time.perf_counter() - self._began) * 1000, 3)
        line = Line(self._at, self._what, ms, *asked, error)
        asyncio.get_running_loop().call_later(AFTER_ANSWER, diary.note, box_id, line)

    @contextlib.contextmanager
    def noted(self, diary: Diary, box_id: str, asked: tuple[int, int]) -> Iterator[None]:
        """While it is done; a failure is noted with its reason."""
        error = ""
        try:
            yield
        except BoxyError as failure:
            error = failure.message
            raise
        finally:
            self.note(diary, box_id, asked, error)


def _halve(path: str) -> None:
    """Keep the newer half, from the beginning of a line on."""
    with open(path, "rb") as file:
        data = file.read()
    half = data[len(data) // 2 :]
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        file.write(half[half.index(b"\n") + 1 :])
    os.rename(temporary, path)
