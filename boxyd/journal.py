"""The daemon's log on stderr: readable lines, or one JSON object per line.

Constraint: the id of the box that a line is about is not passed around; whoever works for a
box sets it once (`about`), and asyncio's tasks carry it on (contextvars).  What a box chose
(names, messages) is escaped, so that it cannot draw on an operator's terminal.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TextIO

from boxy_core.paths import SHORT_ID

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")
_box: ContextVar[str] = ContextVar("box", default="")


@contextlib.contextmanager
def about(box_id: str) -> Iterator[None]:
    """Lines logged within bear this box's id, in whatever task that is started within."""
    token = _box.set(box_id[:SHORT_ID])
    try:
        yield
    finally:
        _box.reset(token)


def set_up(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send all log lines to `stream` (stderr) in one of FORMATS, from one of LEVELS on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.raiseExceptions = False  # a log that cannot be written must not end the daemon
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, root.level))


def printable(text: str) -> str:
    """The text with control characters as escapes; newlines stay."""
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _stamp(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


class _Text(logging.Formatter):
    """As in `2026-11-23T18:53:00.123Z INFO    [4f2a...] message`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        box = f"[{_box.get()}] " if _box.get() else ""
        head = f"{_stamp(record.created)} {record.levelname:<7} {box}"
        return head + printable(message).replace("\n", "\n    ")


class _Json(logging.Formatter):
    """An object of time, level, logger, message; box and traceback where they apply."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if _box.get():
            line["box"] = _box.get()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
