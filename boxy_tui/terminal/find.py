"""Finding text in lines, and the text of a selection. Lines are numbered as in `emulator.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from boxy_tui.terminal.cells import CLUSTER, TAIL
from boxy_tui.terminal.rows import Row
from boxy_tui.terminal.screen import Screen


class Point(NamedTuple):
    """A cell: the number of its line and its column."""

    line: int
    column: int


class Match(NamedTuple):
    """Where something was found; `end` is one past its last cell (on the last line)."""

    start: Point
    end: Point


def find(
    screen: Screen, rows: list[Row], first: int, text: str, *, regex: bool, ignore_case: bool
) -> list[Match]:
    """Every occurrence; lines that wrapped are searched as one. `first` numbers rows[0]."""
    if not text:
        return []
    pattern = re.compile(text if regex else re.escape(text), re.IGNORECASE if ignore_case else 0)
    out: list[Match] = []
    start = 0
    for i, row in enumerate(rows):
        if row.wrapped and i + 1 < len(rows):
            continue
        line = rows[start : i + 1]
        shown, places = _line(screen, line, first + start)
        for hit in pattern.finditer(shown):
            if hit.end() > hit.start():
                end = places[hit.end() - 1]
                out.append(Match(places[hit.start()], Point(end.line, end.column + 1)))
        start = i + 1
    return out


class _Places:
    """Maps an offset in the text of joined rows to a cell."""

    def __init__(self, rows: list[Row], first: int, cells: list[int] | None) -> None:
        self._rows, self._first, self._cells = rows, first, cells

    def __getitem__(self, offset: int) -> Point:
        cell = self._cells[offset] if self._cells is not None else offset
        line = self._first
        for row in self._rows:
            if cell < len(row.text):
                break
            cell -= len(row.text)
            line += 1
        return Point(line, cell)


def _line(screen: Screen, rows: list[Row], first: int) -> tuple[str, _Places]:
    text = rows[0].text if len(rows) == 1 else "".join([row.text for row in rows])
    if text.isascii() or (TAIL not in text and max(text) < CLUSTER):
        return text, _Places(rows, first, None)
    shown: list[str] = []
    cells: list[int] = []
    for i, char in enumerate(text):
        part = screen.clusters.text(char)
        shown.append(part)
        cells.extend([i] * len(part))
    return "".join(shown), _Places(rows, first, cells)


def selected_text(
    screen: Screen,
    line_of: Callable[[int], Row | None],
    start: Point,
    end: Point,
    block: bool,
) -> str:
    """See `Emulator.selection`."""
    start, end = sorted((start, end))
    left, right = sorted((start[1], end[1]))
    out: list[str] = []
    for number in range(start[0], end[0] + 1):
        row = line_of(number)
        if row is None:
            continue
        first = left if block else start[1] if number == start[0] else 0
        last = right if block else end[1] if number == end[0] else len(row.text)
        text = screen.clusters.plain(_cells(row, first, last + 1))
        goes_on = row.wrapped and not block and number < end[0]
        out.append(text if goes_on else text.rstrip() + ("\n" if number < end[0] else ""))
    return "".join(out)


def _cells(row: Row, first: int, end: int) -> str:
    """The text of cells, with a wide character whole when either half is in."""
    text = row.text
    if 0 < first < len(text) and text[first] == TAIL:
        first -= 1
    return text[max(0, first) : end]
