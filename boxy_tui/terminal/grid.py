"""The cells of the screen: drawing text, wrapping, scrolling.

`Grid` is the first of a short line of classes that together make a `pyte.Screen`:
Grid (cells) <- Motion (cursor, tabs) <- Editing (erase, insert, delete) <- Modes (modes, alternate
screen, save and restore) <- Reports (answers, OSC, DCS) <- Screen (size, the face).  The handlers
bear pyte's names, so pyte's own stream can drive them too; rows are `rows.Row` instead of pyte's
dictionaries of cells, which is where the speed and the small memory come from.

`cursor.x == columns` means that the last column was just written and the next character wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import pyte
from pyte import modes as mo
from pyte.screens import Char, Cursor

from boxy_tui.terminal.cells import CLUSTER, MAX_CLUSTER, TAIL, Clusters, Pen, Style, StyleTable
from boxy_tui.terminal.rows import Row, blank_row
from boxy_tui.terminal.scrollback import Scrollback
from boxy_tui.terminal.width import (
    FIRST_JOINING,
    VS16,
    WIDTH,
    ZWJ,
    is_modifier,
    is_narrow,
    is_regional,
    is_simple,
    pieces,
    takes_skin_tone,
    widen,
)

Charset = dict[int, str]


def _nothing(_data: str) -> None:
    return None


class Grid(pyte.Screen):
    """Rows of cells, a pen, a cursor; see the module's docstring.

    `grid` is the visible rows, `top` and `bottom` the first and last row of the scroll region,
    `joiners` whether any cell may end in a zero-width joiner.
    """

    def __init__(self, columns: int, lines: int, history: int) -> None:
        # Not pyte's own __init__: it builds the dictionaries that `grid` stands in for.
        self.columns = columns
        self.lines = lines
        self.savepoints = []
        self.dirty = set()
        self.history = Scrollback(history)
        self.styles = StyleTable(self._live_units)
        self.clusters = Clusters(self._live_texts)
        self.write: Callable[[str], None] = _nothing
        self.reset()

    def reset(self) -> None:
        """RIS: the state of a new terminal; the scrollback stays."""
        self.grid: list[Row] = [Row() for _ in range(self.lines)]
        self.primary: list[Row] = self.grid
        self.alternate = False
        self.top, self.bottom = 0, self.lines - 1
        self.margins = None
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.autowrap = True
        self.origin = False
        self.insert = False
        self.pen: Pen = self.styles.plain
        self.cursor = Cursor(0, 0)
        self.last_drawn = ""
        self.joiners = False
        self.charset = 0
        self.sets: list[Charset | None] = [None, None, None, None]
        self.active_set: Charset | None = None
        self.single: Charset | None = None
        self.single_pending = False
        self.fussy = False

    # -- what is in use, for the tables -----------------------------------------------------------

    def _all_rows(self) -> Iterator[Row]:
        other = self.primary if self.alternate else ()
        return chain(self.grid, other, self.history.known())

    def _held_pens(self) -> Iterable[Pen]:
        return (self.pen,)

    def _live_units(self) -> set[str]:
        live = {unit for pen in self._held_pens() for unit in (pen.unit, pen.blank) if unit}
        for row in self._all_rows():
            live.update(row.style)
        return live

    def _live_texts(self) -> Iterator[str]:
        return (row.text for row in self._all_rows())

    # -- pyte's view -------------------------------------------------------------------------------

    @property
    def buffer(self) -> list[list[Char]]:  # type: ignore[override]
        """The cells as pyte has them; slow, for those who know pyte."""
        return [self._chars(row) for row in self.grid]

    def _chars(self, row: Row) -> list[Char]:
        out = []
        for text, style in self.row_cells(row):
            fg, bg = _pyte_color(style.fg), _pyte_color(style.bg)
            flags = (style.bold, style.italic, bool(style.underline))
            out.append(Char(text, fg, bg, *flags, style.strike, style.reverse, style.blink))
        return out

    def row_cells(self, row: Row) -> Iterator[tuple[str, Style]]:
        """Each cell's text (empty for the right half of a wide one) and style."""
        missing = self.columns - len(row.text)
        for char, unit in zip(row.text, row.style, strict=True):
            yield self.clusters.text(char), self.styles.styles[ord(unit)]
        for _ in range(missing):
            yield " ", self.styles.plain.style

    @property
    def display(self) -> list[str]:
        """The rows as text, blanks included."""
        return [self.row_text(row) + " " * (self.columns - len(row.text)) for row in self.grid]

    def row_text(self, row: Row) -> str:
        """A row's text without what was never written."""
        return self.clusters.plain(row.text)

    # -- drawing -----------------------------------------------------------------------------------

    def draw(self, data: str) -> None:
        """Write printable text at the cursor."""
        if self.fussy:
            self._draw_fussy(data)
        elif data.isascii():
            self.put(data)
        else:
            self._draw_any(data)

    def put(self, data: str) -> None:
        """Write text that is one character per cell already (wide ones followed by `TAIL`)."""
        cursor = self.cursor
        x = cursor.x
        count = len(data)
        end = x + count
        if end > self.columns:
            self._put_wrapping(data)
            return
        row = self.grid[cursor.y]
        text = row.text
        have = len(text)
        unit = self.pen.unit
        if x == have:
            row.text = text + data
            row.style += unit if count == 1 else unit * count
        elif x < have and (
            text.isascii() or (text[x] != TAIL and (end >= have or text[end] != TAIL))
        ):
            row.text = f"{text[:x]}{data}{text[end:]}"
            style = row.style
            row.style = f"{style[:x]}{unit * count}{style[end:]}"
        else:
            row.put(x, data, unit * count)
        row.runs = None
        cursor.x = end
        self.last_drawn = data

    def _put_wrapping(self, data: str) -> None:
        columns = self.columns
        if not self.autowrap:
            self._put_clipped(data)
            return
        start, count = 0, len(data)
        cursor = self.cursor
        while start < count:
            if cursor.x >= columns:
                self._wrap()
            end = min(count, start + columns - cursor.x)
            if end < count and data[end] == TAIL:
                end -= 1
            if end == start:
                if columns < 2:  # a wide character cannot be shown at all
                    start += 2
                    continue
                cursor.x = columns
            else:
                self.put(data[start:end])
            start = end

    def _put_clipped(self, data: str) -> None:
        """No autowrap: what does not fit piles up in the last column."""
        last = self.columns - 1
        cursor = self.cursor
        cursor.x = min(cursor.x, last)
        room = last - cursor.x
        head, rest = data[:room], data[room:]
        if rest[:1] == TAIL:
            head, rest = head[:-1] + " ", rest[1:]
        narrow = rest if TAIL not in rest else [c for c in rest if c != TAIL and WIDTH[c] == 1]
        if head:
            self.put(head)
        if narrow and cursor.x <= last:
            self.put(narrow[-1])
        cursor.x = min(cursor.x, last)

    def _wrap(self) -> None:
        """Go on in the next row; one that scrolls in is blank in the default style, as in tmux."""
        self.grid[self.cursor.y].wrapped = True
        self.cursor.x = 0
        self._down("")

    def _draw_any(self, data: str) -> None:
        """Text beyond ASCII."""
        if not (self.joiners and self._previous_joins()):
            if is_narrow(data):
                self.put(data)
                return
            if is_simple(data):
                self.put(widen(data))
                return
        for piece in pieces(data):
            if is_simple(piece) and not (self.joiners and self._previous_joins()):
                self.put(piece if is_narrow(piece) else widen(piece))
            else:
                for char in piece:
                    self._draw_one(char)

    def _previous_joins(self) -> bool:
        """Whether the cell before the cursor ends in a joiner, so that what follows joins it."""
        x = self.cursor.x
        text = self.grid[self.cursor.y].text[x - 2 : x] if x > 1 else ""
        text = text or (self.grid[self.cursor.y].text[:x])
        if text.isascii() or max(text) < CLUSTER:
            return False
        return self.clusters.text(text.rstrip(TAIL)[-1:]).endswith(ZWJ)

    def _draw_one(self, char: str) -> None:
        """One character that may be of no width, wide, or part of the cell before it."""
        width = WIDTH[char]
        may_join = width == 0 or char >= FIRST_JOINING or self.joiners
        if char < "\x7f":
            self.put(char)
        elif width < 0 or (may_join and self._joined(char, width)) or width == 0:
            return
        else:
            char = self.clusters.char(char)
            self.put(char + TAIL if width == 2 else char)

    def _joined(self, char: str, width: int) -> bool:
        """Add `char` to the cell before the cursor if it belongs there, as tmux does."""
        cursor = self.cursor
        row = self.grid[cursor.y]
        row.pad(min(cursor.x, self.columns))
        x = min(cursor.x, self.columns) - 1
        if x > 0 and row.text[x] == TAIL:
            x -= 1
        if x < 0:
            return False
        before = self.clusters.text(row.text[x]) or " "
        flag = is_regional(char) and len(before) == 1 and is_regional(before)
        skin = is_modifier(char) and takes_skin_tone(before)
        if not (width == 0 or flag or skin or before.endswith(ZWJ)):
            return False
        if len((before + char).encode("utf-8", "replace")) > MAX_CLUSTER:
            return False
        self.joiners = self.joiners or char == ZWJ
        text = row.text
        row.text = f"{text[:x]}{self.clusters.char(before + char)}{text[x + 1 :]}"
        row.runs = None
        if (flag or char == VS16) and cursor.x - x == 1 and x + 1 < self.columns:
            self._widen_cell(row, x)
        return True

    def _widen_cell(self, row: Row, x: int) -> None:
        """The cell before the cursor turned out to be wide: it takes the one at the cursor too."""
        if row.text[x + 1 : x + 2] != TAIL:
            row.pad(x + 1)
            row.unlink(x + 2)
            row.text = f"{row.text[: x + 1]}{TAIL}{row.text[x + 2 :]}"
            row.style = f"{row.style[: x + 1]}{row.style[x]}{row.style[x + 2 :]}"
        self.cursor.x = x + 2

    def _draw_fussy(self, data: str) -> None:
        """Another character set is in use, insert mode is on, or autowrap is off."""
        if self.single_pending:
            self.single_pending = False
            self._refuss()
            first, self.single = self.single, None
            self.draw(data[0].translate(first) if first else data[0])
            data = data[1:]
            if not data:
                return
        if self.active_set is not None:
            data = data.translate(self.active_set)
        if self.insert:
            for char in data:
                self._insert_one(char)
        elif data.isascii():
            self.put(data)
        else:
            self._draw_any(data)
        if not self.autowrap:
            self.cursor.x = min(self.cursor.x, self.columns - 1)

    def _insert_one(self, char: str) -> None:
        width = WIDTH[char]
        if width > 0:
            cursor = self.cursor
            if cursor.x + width > self.columns and self.autowrap:
                self._wrap()
            row = self.grid[cursor.y]
            row.insert(min(cursor.x, self.columns - 1), width, self.columns, "")
        self._draw_any(char)

    def _refuss(self) -> None:
        """Decide whether drawing needs more than `put`."""
        special = self.insert or self.single_pending or not self.autowrap
        self.fussy = special or self.active_set is not None

    def repeat(self, count: int | None = None, *_: int) -> None:
        """REP: the last drawn character again, to the end of the row at most (as in tmux)."""
        char = self.last_drawn.rstrip(TAIL)[-1:]
        count = min(count or 1, self.columns - self.cursor.x)
        if count > 0 and char and char < CLUSTER:
            wide = TAIL if WIDTH[char] == 2 else ""
            self.put((char + wide) * count)

    # -- scrolling ---------------------------------------------------------------------------------

    def index(self) -> None:
        """IND: down one row, scrolling at the bottom of the region."""
        self._down(self.pen.blank)

    def _down(self, blank: str) -> None:
        cursor = self.cursor
        y = cursor.y
        if y == self.bottom:
            grid = self.grid
            row = grid.pop(self.top)
            if not self.alternate:
                self.history.push(row)
            grid.insert(y, blank_row(self.columns, blank) if blank else Row())
        elif y < self.lines - 1:
            cursor.y = y + 1

    def reverse_index(self) -> None:
        """RI: up one row, scrolling at the top of the region."""
        if self.cursor.y == self.top:
            self.scroll_down(1)
        elif self.cursor.y > 0:
            self.cursor.y -= 1

    def linefeed(self) -> None:
        """LF, VT, FF."""
        self.index()
        if mo.LNM in self.mode:
            self.cursor.x = 0

    def next_line(self) -> None:
        """NEL: the start of the next row."""
        self.cursor.x = 0
        self.index()

    def scroll_up(self, count: int | None = None, *_: int) -> None:
        """SU: the region's rows move up into the scrollback, also from below other rows (tmux)."""
        count = min(count or 1, self.bottom - self.top + 1)
        if not self.alternate:
            for row in self.grid[self.top : self.top + count]:
                self.history.push(row)
        self._rotate(self.top, self.bottom, count)

    def scroll_down(self, count: int | None = None, *_: int) -> None:
        """SD: the region's rows move down."""
        self._rotate(self.top, self.bottom, -min(count or 1, self.bottom - self.top + 1))

    def _rotate(self, top: int, bottom: int, count: int) -> None:
        """Move the rows top..bottom up by `count` (down if negative); blank ones come in."""
        grid = self.grid
        fresh = [blank_row(self.columns, self.pen.blank) for _ in range(abs(count))]
        if count > 0:
            grid[top : bottom + 1] = grid[top + count : bottom + 1] + fresh
        else:
            grid[top : bottom + 1] = fresh + grid[top : bottom + 1 + count]

    def debug(self, *args: Any, **kwargs: Any) -> None:
        """What pyte's own stream calls for an unknown sequence."""


_PYTE_NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
_PYTE_COLORS = (*_PYTE_NAMES, *(f"bright{name}" for name in _PYTE_NAMES))


def _pyte_color(color: int | str | None) -> str:
    if color is None:
        return "default"
    if isinstance(color, str):
        return color[1:]
    return _PYTE_COLORS[color] if color < 16 else pyte.graphics.FG_BG_256[color]
