"""One thread in each process that writes to the database, many requests at a time.

Constraint: a commit waits for the disk, whatever is in it.  So what has come together while
the last commit waited goes into the next one (group commit): eight clients that push at once
pay for about two commits, not eight.  Each request stands in a savepoint of its own, and one
that fails leaves the others be.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from boxy_registry.store.database import connect, turn

T = TypeVar("T")
_BATCH = 64

Job = Callable[[sqlite3.Connection], Any]


class Writer:
    """Takes jobs from any thread; `close` waits for those that were taken."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[tuple[Job, Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run `job` in a transaction; its result is there when it is durable."""
        self._start()
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _start(self) -> None:
        """The thread begins with the first job: a process that forks has none yet."""
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="store-writer", daemon=True
                    )
                    self._thread.start()

    def _run(self) -> None:
        database = connect(self._path, writing=True)
        try:
            while (first := self._jobs.get()) is not None:
                batch, ended = [first], False
                while len(batch) < _BATCH and not ended:
                    try:
                        job = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    if job is None:
                        ended = True
                    else:
                        batch.append(job)
                _commit(database, batch)
                if ended:
                    return
        finally:
            database.close()


def _commit(database: sqlite3.Connection, batch: list[tuple[Job, Future[Any]]]) -> None:
    batch = [(job, future) for job, future in batch if future.set_running_or_notify_cancel()]
    results: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        with turn(database):
            for job, future in batch:
                results.append((future, *_attempt(database, job)))
    except sqlite3.Error as error:  # the commit itself: nothing of the batch is there
        for _, future in batch:
            future.set_exception(error)
        return
    for future, result, failure in results:
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)


def _attempt(database: sqlite3.Connection, job: Job) -> tuple[Any, BaseException | None]:
    database.execute("SAVEPOINT job")
    try:
        result = job(database)
    except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
        database.execute("ROLLBACK TO job")
        database.execute("RELEASE job")
        return None, error
    database.execute("RELEASE job")
    return result, None
