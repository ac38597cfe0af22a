"""Work that nobody waits for: it is held until it is done, and a failure is logged.

Constraint: the loop keeps only weak references to tasks (asyncio.create_task), so somebody has to
hold them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from boxy_core.errors import BoxyError


class Errands:
    """What was sent for and has not come back; failures go to `log`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, work: Coroutine[None, None, None]) -> None:
        """Have it done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._back)

    def _back(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            exc_info = None if isinstance(error, BoxyError) else error
            self._log.error("%s", error, exc_info=exc_info)

    async def wait(self, seconds: float) -> None:
        """Return when all are back, or after so many seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
