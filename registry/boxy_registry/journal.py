"""What a server writes down: its log and a line for each request, all on stderr.

Constraint: a log that nobody reads (a full pipe, a slow disk) must not stop the serving.  Lines
go to a thread by way of a bounded queue; what does not fit is counted, and the count is told.
The thread takes them by the handful: woken for every line, it would fight the event loop for the
interpreter, and a line would cost more than the answer that it tells of.
What clients chose (names, agents) is escaped: it cannot draw on an operator's terminal.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections import deque

import msgspec

from boxy_core.text import escape
from boxy_registry.parts import Served

_LINES = 10_000
_GATHER = 0.02
"""seconds that lines may wait for others to be written with"""


class Journal:
    """Writes lines to a descriptor from a thread of its own."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._came = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Write a line, soon; never waits."""
        if len(self._lines) >= _LINES:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._came.is_set():
            self._came.set()

    def close(self, within: float = 2.0) -> None:
        """Write what is left, if somebody takes it in time."""
        self._ending.set()
        self._came.set()
        self._thread.join(within)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._came.wait()
            self._ending.wait(_GATHER)
            self._came.clear()  # before looking: what comes now is seen, or wakes us again
            self._write_what_came()
        self._write_what_came()

    def _write_what_came(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
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
    return f"{_whole(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@functools.lru_cache(4)
def _whole(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made the pipe non-blocking
            time.sleep(0.05)
        except OSError:
            return  # nobody is there any more
