"""What scrolls past faster than anyone can look is not parsed.

In a piece of output that is nothing but text, line ends, tabs, colours and erase-in-line, only the
last screenful decides what the screen shows; all that the part before leaves behind is the pen, and
rows of scrollback.  So the pen is folded, the bytes are put into the scrollback unparsed
(`Unparsed`), and only the last screenful is drawn.  The test is one regular expression, at several
hundred MB/s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pyte import modes as mo

from boxy_tui.terminal.cells import Pen
from boxy_tui.terminal.rows import Row, blank_row

if TYPE_CHECKING:
    from boxy_tui.terminal.parser import Parser
    from boxy_tui.terminal.screen import Screen

SMALLEST = 2048
"""Bytes under which looking is not worth it."""

_plain_part = re.compile(b"(?:[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]++|\x1b\\[[0-9;:]*+[mK])*+").match
_colors = re.compile(b"\x1b(\\[[0-9;:]*m)").findall


class Unparsed:
    """Scrollback that is still bytes, with the state it began in."""

    def __init__(self, screen: Screen, data: bytes, lines: int) -> None:
        self._screen = screen
        self._grid = screen.grid
        self._x, self._y = screen.cursor.x, screen.cursor.y
        self._style = screen.pen.style
        self._tabstops = set(screen.tabstops)
        self._size = screen.columns, screen.lines
        self._data = data
        self.at_least = lines + self._y
        self.bytes = len(data)

    def held(self) -> list[Row]:
        """The rows that were on the screen when it began."""
        return self._grid

    def rows(self) -> list[Row]:
        """Parse it on a screen of its own that shares the tables."""
        from boxy_tui.terminal.parser import Parser
        from boxy_tui.terminal.screen import Screen

        main = self._screen
        columns, lines = self._size
        scratch = Screen(columns, lines, main.history.limit)
        scratch.styles, scratch.clusters = main.styles, main.clusters
        scratch.grid, scratch.pen = self._grid, main.styles.pen(self._style)
        scratch.cursor.x, scratch.cursor.y = self._x, self._y
        scratch.tabstops = self._tabstops
        was = main.styles.frozen
        main.styles.frozen = main.clusters.frozen = True
        Parser(scratch).feed(self._data)
        main.styles.frozen = main.clusters.frozen = was
        return [*scratch.history.recent, *scratch.grid[: scratch.cursor.y]]


def skip(screen: Screen, parser: Parser, data: bytes) -> bytes:
    """Set aside what need not be parsed of `data`. Returns the bytes still to be fed."""
    lines = screen.lines
    if data.count(b"\r\n") < 2 * lines or not _calm(screen, parser):
        return data
    match = _plain_part(data)
    end = data.rfind(b"\r\n", 0, match.end() if match else 0) + 2
    shown = data[:end].rsplit(b"\r\n", lines + 1)
    cut = len(shown[0]) + 2
    head = data[:cut]
    feeds = head.count(b"\n")
    if len(shown) < lines + 2 or feeds < lines:
        return data
    _set_aside(screen, head, feeds)
    _show(screen, parser, data[cut:end])
    return data[end:]


def _calm(screen: Screen, parser: Parser) -> bool:
    """Whether nothing is in force that would make text mean something else."""
    return (
        parser.at_rest
        and not screen.alternate
        and screen.margins is None
        and not screen.fussy
        and screen.autowrap
        and mo.LNM not in screen.mode
    )


def _set_aside(screen: Screen, head: bytes, feeds: int) -> None:
    pen = fold(screen, head)
    surplus = feeds - screen.history.limit - screen.lines
    if surplus > screen.lines:
        head, feeds = _forget(screen, head, surplus)
    screen.history.defer(Unparsed(screen, head, feeds))
    screen.pen = pen
    screen.grid = [Row() for _ in range(screen.lines - 1)]
    screen.grid.append(blank_row(screen.columns, pen.blank))
    screen.cursor.x, screen.cursor.y = 0, screen.lines - 1


def _forget(screen: Screen, head: bytes, surplus: int) -> tuple[bytes, int]:
    """Drop what would not even stay in the scrollback. Returns the rest and its line feeds."""
    parts = head.rsplit(b"\r\n", screen.history.limit + screen.lines)
    start = len(parts[0]) + 2
    if len(parts) == 1 or start > len(head):
        return head, head.count(b"\n")
    dropped, kept = head[:start], head[start:]
    screen.pen = fold(screen, dropped)
    screen.grid = [Row() for _ in range(screen.lines)]
    screen.cursor.x = screen.cursor.y = 0
    screen.history.total += surplus
    return kept, kept.count(b"\n")


def fold(screen: Screen, data: bytes) -> Pen:
    """The pen after all colour sequences of `data`: the last occurrence of each decides."""
    start = max(data.rfind(b"\x1b[0m"), data.rfind(b"\x1b[m"), 0)
    last_first = dict.fromkeys(reversed(_colors(data, start)))
    before = screen.pen
    for sequence in reversed(list(last_first)):
        screen.learn_sgr(sequence.decode("ascii"))
    pen, screen.pen = screen.pen, before
    return pen


def _show(screen: Screen, parser: Parser, data: bytes) -> None:
    """Draw the last screenful; the blank rows it pushes out are not history."""
    history = screen.history
    before = history.total
    parser.feed(data)
    blanks = screen.lines - 1
    pushed = history.total - before
    for _ in range(blanks - max(0, pushed - history.limit)):
        if history.recent:
            history.recent.popleft()
    history.total -= blanks
