"""Terminal sessions as asciicast v2 files: written line by line, read leniently.  Sans-I/O.

The format (https://docs.asciinema.org/manual/asciicast/v2/): a line of JSON with the header, then
a line for each event: `[seconds, code, data]`.  Codes: "o" output, "i" input, "r" a new size
("COLSxROWS"), "m" a mark.  Others are skipped, as the format wants.
"""

from __future__ import annotations

import codecs
import json

from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

SUFFIX = ".cast"
OUTPUT, INPUT, RESIZE, MARK = "o", "i", "r", "m"
MOST_CELLS = 2000
"""columns or rows that a recording may name"""


class Event:
    """Something at a time: `at` in seconds from the beginning."""

    __slots__ = ("at", "code", "data")

    def __init__(self, at: float, code: str, data: str) -> None:
        self.at, self.code, self.data = at, code, data

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of a resize."""
        return _size(*self.data.split("x", 1)) if "x" in self.data else (80, 24)


class Recording:
    """A session as it was recorded: its first size, its title, its events in order."""

    def __init__(self, columns: int, rows: int, title: str, events: list[Event]) -> None:
        self.columns, self.rows, self.title, self.events = columns, rows, title, events

    @property
    def length(self) -> float:
        """Seconds from the beginning to the last event."""
        return self.events[-1].at if self.events else 0.0

    def shortened(self, most: float) -> Recording:
        """The same with no pause longer than `most` seconds."""
        events, before, now = [], 0.0, 0.0
        for event in self.events:
            now += min(max(0.0, event.at - before), most)
            before = event.at
            events.append(Event(now, event.code, event.data))
        return Recording(self.columns, self.rows, self.title, events)


class Writer:
    """Makes the lines of a recording.  `at` is in seconds from its beginning."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = columns, rows
        self._decoders = {code: codecs.getincrementaldecoder("utf-8")("replace") for code in "oi"}

    def header(self, *, timestamp: int, title: str = "", env: dict[str, str] | None = None) -> str:
        """The first line."""
        columns, rows = self._size
        head: dict[str, Any] = {
            "version": 2, "width": columns, "height": rows, "timestamp": timestamp,
        }  # fmt: skip
        if title:
            head["title"] = title
        head["env"] = env or {"TERM": "xterm-256color"}
        return json.dumps(head, ensure_ascii=False) + "\n"

    def output(self, at: float, data: bytes | memoryview, code: str = OUTPUT) -> str:
        """A line for bytes of output (or input); empty while a character is not complete."""
        text = self._decoders[code].decode(bytes(data))
        return self._line(at, code, text) if text else ""

    def resize(self, at: float, columns: int, rows: int) -> str:
        """A line for a new size; empty when it is the present one."""
        if (columns, rows) == self._size:
            return ""
        self._size = columns, rows
        return self._line(at, RESIZE, f"{columns}x{rows}")

    @staticmethod
    def _line(at: float, code: str, data: str) -> str:
        return json.dumps([round(at, 6), code, data], ensure_ascii=False) + "\n"


def read(lines: Iterable[str], name: str) -> Recording:
    """Read a recording of version 1 or 2 (3 is told apart by its relative times).

    A last line that was cut off is left out: whoever recorded may have died.  Raises
    InvalidRequest, naming the file and the line.
    """
    source = iter(lines)
    try:
        head = json.loads(next(source, ""))
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("version") not in (2, 3):
        raise InvalidRequest(
            f"{name} is no recording that can be played: its first line is not an asciicast header",
            hint="boxy record BOX FILE makes one; asciinema records and converts others",
        )
    relative = head["version"] == 3
    term = head.get("term") if relative else head
    term = term if isinstance(term, dict) else {}
    columns, rows = _size(term.get("cols", term.get("width")), term.get("rows", term.get("height")))
    recording = Recording(columns, rows, str(head.get("title") or ""), [])
    recording.events = list(_events(source, name, relative=relative))
    limit = head.get("idle_time_limit")
    if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0:
        return recording.shortened(float(limit))
    return recording


def _events(lines: Iterator[str], name: str, *, relative: bool) -> Iterator[Event]:
    latest = 0.0
    for number, line in enumerate(lines, start=2):
        if not line.strip() or line.startswith("#"):
            continue
        event = _event(line)
        if event is None:
            if not line.endswith("\n"):
                return
            raise InvalidRequest(
                f"{name}: line {number} is not an event of a recording",
                hint="the file may be damaged; what comes before can be kept: head -n "
                f"{number - 1} {name}",
            )
        latest = event.at = latest + event.at if relative else max(latest, event.at)
        if event.code in (OUTPUT, INPUT, RESIZE, MARK):
            yield event


def _event(line: str) -> Event | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not (isinstance(value, list) and len(value) >= 3):
        return None
    at, code, data = value[:3]
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 1e9:
        return None
    return Event(float(at), code, data) if isinstance(code, str) and isinstance(data, str) else None


def _size(columns: Any, rows: Any) -> tuple[int, int]:
    """A size within bounds; 80 by 24 for what is none."""
    try:
        sides = [int(side) for side in (columns, rows)]
    except (TypeError, ValueError):
        return 80, 24
    if not all(1 <= side <= MOST_CELLS for side in sides):
        return 80, 24
    return sides[0], sides[1]
