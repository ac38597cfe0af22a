"""Being woken when files in a folder change: one inotify instance for the whole daemon.

Constraint: a user has few instances (fs.inotify.max_user_instances, 128), so all readers share
one; and where even one cannot be had, a reader is woken on time's account instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import Any

from boxyd.runtime import inotify

POLL = 0.25
"""seconds between two looks where inotify cannot be had"""
_MASK = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_ONLYDIR

log = logging.getLogger("boxyd.logs")


class FolderWatch:
    """Tells when something in `folder` changed; `close` it."""

    def __init__(self, folder: str) -> None:
        self._changed = asyncio.Event()
        self._hub = _Hub.of_loop()
        self._number = self._hub.add(folder, self._changed)

    def clear(self) -> None:
        """Count changes from now on; to be called before one looks for oneself."""
        self._changed.clear()

    async def wait(self, until: asyncio.Future[Any], seconds: float | None) -> None:
        """Return when something has changed since `clear`, when `until` is done, or in time."""
        if self._number < 0:
            seconds = POLL if seconds is None else min(POLL, seconds)
        changed: asyncio.Future[Any] = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait(
                [changed, until], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()

    def close(self) -> None:
        """Watch no more."""
        self._hub.discard(self._number, self._changed)


class _Hub:
    """The one instance of a loop, and who waits for what.

    It is kept: closing it takes the kernel 10 ms and more, in which the loop would stand still.
    """

    _present: _Hub | None = None

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._waiting: dict[int, list[asyncio.Event]] = {}
        self._fd = -1

    @classmethod
    def of_loop(cls) -> _Hub:
        if cls._present is None or cls._present.loop is not asyncio.get_running_loop():
            if cls._present is not None:
                cls._present.shut()
            cls._present = cls()
        return cls._present

    def add(self, folder: str, event: asyncio.Event) -> int:
        try:
            if self._fd < 0:
                self._fd = inotify.inotify_init1()
                self.loop.add_reader(self._fd, self._read)
            number = inotify.inotify_add_watch(self._fd, folder, _MASK)
        except OSError as error:
            log.debug("no inotify, looking every %g s: %s", POLL, error)
            return -1
        self._waiting.setdefault(number, []).append(event)
        return number

    def shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self, number: int, event: asyncio.Event) -> None:
        waiting = self._waiting.get(number, [])
        if event in waiting:
            waiting.remove(event)
        if number >= 0 and not waiting:
            self._waiting.pop(number, None)
            with contextlib.suppress(OSError):
                inotify.inotify_rm_watch(self._fd, number)

    def _read(self) -> None:
        for number, mask in inotify.read_events(self._fd):
            lost = mask & inotify.IN_Q_OVERFLOW
            woken = self._waiting.values() if lost else [self._waiting.get(number, [])]
            for events in woken:
                for event in events:
                    event.set()
