"""What a server writes down: its log and a line for each request, all on stderr.

Constraint: a log that nobody reads (a full pipe, a slow disk) must not stop the serving.  Lines
go to a thread by way of a bounded queue; what does not fit is counted, and the count is told.
What clients chose (names, agents) is escaped: it cannot draw on an operator's terminal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time

import msgspec

from boxy_core.text import escape
from boxy_registry.parts import Served

_LINES = 10_000
_CHUNK = 256


class Journal:
    """Writes lines to a descriptor from a thread of its own."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._lines: queue.Queue[str | None] = queue.Queue(_LINES)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Write a line, soon; never waits."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self, within: float = 2.0) -> None:
        """Write what is left, if somebody takes it in time."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=within)
        self._thread.join(within)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch = [self._lines.get()]
            while len(batch) < _CHUNK:
                try:
                    batch.append(self._lines.get_nowait())
                except queue.Empty:
                    break
            ended = batch[-1] is None
            lines = [line for line in batch if line is not None]
            if self._dropped:
                lines.append(f"{stamp(time.time())} WARNING {self._dropped} lines did not fit here")
                self._dropped = 0
            _write_all(self._fd, "".join(line + "\n" for line in lines).encode())


class Handler(logging.Handler):
    """Sends log records to a journal."""

    def __init__(self, journal: Journal, *, as_json: bool) -> None:
        super().__init__()
        self._journal = journal
        self._json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record down."""
        message = record.getMessage()
        traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        if self._json:
            line = {
                "time": stamp(record.created),
                "level": record.levelname.lower(),
                "message": message,
            }
            if traceback:
                line["traceback"] = traceback
            self._journal.write(msgspec.json.encode(line).decode())
            return
        text = f"{stamp(record.created)} {record.levelname:<7} {escape(message)}"
        for line_ in traceback.splitlines():
            text += "\n    " + escape(line_)
        self._journal.write(text)


def set_up(journal: Journal, level: str, *, as_json: bool) -> None:
    """Send all log records to the journal, from a level on."""
    root = logging.getLogger()
    root.handlers[:] = [Handler(journal, as_json=as_json)]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, root.level))
    logging.raiseExceptions = False


class AccessLog:
    """An observer that writes a line for each request."""

    def __init__(self, journal: Journal, *, as_json: bool) -> None:
        self._journal = journal
        self._json = as_json

    def __call__(self, served: Served) -> None:
        """Write it down."""
        self._journal.write(as_object(served) if self._json else as_text(served))


def as_text(served: Served) -> str:
    """One line of words, the least regular ones at its end."""
    error = f" {served.error}" if served.error else ""
    return (
        f"{stamp(served.at)} {served.address or '-'} {escape(served.user) or '-'}"
        f" {escape(served.method)} {escape(served.path)} {served.status}{error}"
        f" in={served.received} out={served.sent} ms={served.seconds * 1000:.1f}"
        f' "{escape(served.agent)}"'
    )


def as_object(served: Served) -> str:
    """One JSON object."""
    line = {"time": stamp(served.at), "level": "info", **served._asdict()}
    del line["at"]
    line["seconds"] = round(served.seconds, 6)
    return msgspec.json.encode(line).decode()


def stamp(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made the pipe non-blocking
            time.sleep(0.05)
        except OSError:
            return  # nobody is there any more
