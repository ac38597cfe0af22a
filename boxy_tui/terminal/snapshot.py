"""The present state of a screen as bytes that draw it again on a new one.

A new viewer of a running program gets this instead of all that the program ever wrote: a few
kilobytes, whatever has gone before.  Feed it to a fresh terminal of the same size.
"""

from __future__ import annotations

import re

from boxy_tui.terminal.cells import PLAIN, TAIL, Style
from boxy_tui.terminal.modes import (
    ALTERNATE_SCROLL,
    BRITISH,
    DECTCEM,
    GRAPHICS,
    IRM,
    PRIVATE,
    Saved,
)
from boxy_tui.terminal.rows import Row
from boxy_tui.terminal.screen import Screen
from boxy_tui.terminal.sgr import sgr_of
from boxy_tui.terminal.width import VS16, ZWJ, is_modifier, is_regional

_LOOKS = Style._fields.index("link")
"""Fields of a style before this one are what SGR tells."""
_runs = re.compile(r"(.)\1*+", re.DOTALL).finditer
_LATE = (6, 7, 25)
"""Private modes with an effect of their own, which are set apart from the rest."""


def snapshot(screen: Screen, history: int = 0) -> bytes:
    """Bytes that draw the screen, with its modes, and before it `history` rows of scrollback."""
    drawing = _Drawing(screen)
    drawing.everything(history)
    return "".join(drawing.out).encode("utf-8", "replace")


class _Drawing:
    """Collects the text in `out`; keeps track of the style that the reader's pen has."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.out: list[str] = []
        self._style = PLAIN

    def everything(self, history: int) -> None:
        screen = self.screen
        if screen.title:
            self.out.append(f"\x1b]2;{screen.title}\x1b\\")
        above = list(screen.history)[-history:] if history else []
        if screen.alternate:
            same = screen.primary_size == (screen.columns, screen.lines)
            self._rows([*above, *(screen.primary if same else [])])
            self._cursors(screen.alternate_cursor, False)
            self._keyboard(False)
            self._pen(PLAIN)
            self.out.append("\x1b(B\x0f\x1b[?6;47l\x1b[?47h\x1b[H")
            self._rows(screen.grid)
        else:
            self._rows([*above, *screen.grid])
        self._cursors(None, screen.alternate)
        self._modes()
        self._keyboard(screen.alternate)
        self._place()

    # -- cells -------------------------------------------------------------------------------------

    def _pen(self, style: Style) -> None:
        before, self._style = self._style, style
        if style == before:
            return
        if style[:_LOOKS] != before[:_LOOKS]:
            self.out.append(sgr_of(style))
        if style.link != before.link:
            self.out.append(f"\x1b]8;;{style.link or ''}\x1b\\")
        if style.protected != before.protected:
            self.out.append(f'\x1b[{int(style.protected)}"q')

    def _rows(self, rows: list[Row]) -> None:
        """The rows one under the other, wrapping where they wrapped."""
        joined = False
        for i, row in enumerate(rows):
            if i and not joined:
                self._pen(PLAIN)  # else the new row would take the background
                self.out.append("\r\n")
            self._row(row)
            joined = i + 1 < len(rows) and self._joins(row, rows[i + 1])
        self._pen(PLAIN)

    def _joins(self, row: Row, follows: Row) -> bool:
        """Whether going on to draw wraps just where it wrapped."""
        if not (row.wrapped and follows.text) or self._tangled(row) or self._tangled(follows):
            return False
        return len(row.text) + (follows.text[1:2] == TAIL) >= self.screen.columns

    def _tangled(self, row: Row) -> bool:
        """Whether neighbouring cells would join if drawn from left to right."""
        if row.text.isascii():
            return False
        text = self.screen.row_text(row)
        return any(c in (ZWJ, VS16) or is_regional(c) or is_modifier(c) for c in text)

    def _row(self, row: Row) -> None:
        styles, clusters = self.screen.styles, self.screen.clusters
        units = row.style
        if units and row.text.isascii() and units == units[0] * len(units):
            self._pen(styles.style(units[0]))
            self.out.append(row.text)
            return
        if self._tangled(row):
            for x in range(len(row.text) - 1, -1, -1):
                if row.text[x] != TAIL:
                    self._pen(styles.style(row.style[x]))
                    self.out.append(f"\x1b[{x + 1}G{self._cell(row, x)}")
            return
        for match in _runs(row.style):
            self._pen(styles.style(match[1]))
            self.out.append(clusters.plain(row.text[match.start() : match.end()]))

    def _cell(self, row: Row, x: int) -> str:
        """What draws a cell alone.  One that VS16 found no room to widen stays narrow: where there
        is room now, it would take the cell after it."""
        text = self.screen.clusters.text(row.text[x])
        if x + 1 < self.screen.columns and row.text[x + 1 : x + 2] != TAIL:
            text = text.replace(VS16, "")
        return text

    # -- state -------------------------------------------------------------------------------------

    def _cursors(self, at_entry: Saved | None, alternate: bool) -> None:
        """What DECSC holds for a screen, and where the cursor stood when the other was entered."""
        screen = self.screen
        grid = screen.primary if screen.alternate and not alternate else screen.grid
        saved = screen.saved(alternate)
        if saved is not None:
            self._state(saved, grid)
            self.out.append("\x1b7\x1b[?6l")
        if at_entry is not None:
            self._state(at_entry, grid)

    def _state(self, state: Saved, grid: list[Row]) -> None:
        y = min(state.y, self.screen.lines - 1)
        if state.origin:
            self.out.append("\x1b[?6h")
        self._move(state.x, y, 0, grid)
        self._pen(state.pen.style)
        self._charsets(state)

    def _charsets(self, state: Saved) -> None:
        names = {id(GRAPHICS): "0", id(BRITISH): "A"}
        for slot, table in zip("()*+", state.sets, strict=True):
            self.out.append(f"\x1b{slot}{names.get(id(table), 'B')}")
        self.out.append(("\x0f", "\x0e", "\x1bn", "\x1bo")[state.charset])

    def _modes(self) -> None:
        screen, out = self.screen, self.out
        out.append("\x1b[?6l")
        if screen.tabstops != set(range(8, screen.columns, 8)):
            out.append("\x1b[3g")
            out.extend(f"\x1b[{x + 1}G\x1bH" for x in sorted(screen.tabstops))
        private = {m >> PRIVATE for m in screen.mode if m >> PRIVATE}
        if ALTERNATE_SCROLL not in private:
            out.append(f"\x1b[?{ALTERNATE_SCROLL}l")
        out.extend(f"\x1b[?{number}h" for number in sorted(private - {*_LATE}))
        if screen.margins is not None:
            out.append(f"\x1b[{screen.top + 1};{screen.bottom + 1}r")
        if screen.cursor_style:
            out.append(f"\x1b[{screen.cursor_style} q")
        if screen.modify_other_keys:
            out.append(f"\x1b[>4;{screen.modify_other_keys}m")

    def _keyboard(self, alternate: bool) -> None:
        self.out.extend(f"\x1b[>{flags}u" for flags in self.screen.keyboard_stack(alternate))

    def _place(self) -> None:
        """The cursor and what else most of the sequences before would upset."""
        screen = self.screen
        x, y = screen.cursor.x, screen.cursor.y
        if screen.origin:
            self.out.append("\x1b[?6h")
        self._move(x, y, screen.top if screen.origin else 0, screen.grid)
        self._pen(screen.state().pen.style)
        self._charsets(screen.state())
        plain = [mode for mode in screen.mode if mode < 1 << PRIVATE]
        self.out.extend(f"\x1b[{number}h" for number in sorted(plain, key=lambda n: n == IRM))
        if not screen.autowrap:
            self.out.append("\x1b[?7l")
        if DECTCEM << PRIVATE not in screen.mode:
            self.out.append("\x1b[?25l")

    def _move(self, x: int, y: int, top: int, grid: list[Row]) -> None:
        """To a cell; past the last column by drawing that one again, so that the next wraps.

        `top` is the row that the reader counts from, `grid` the rows it has.
        """
        self.out.append(f"\x1b[{y - top + 1};{x + 1}H")
        if x < self.screen.columns:
            return
        row = grid[y] if y < len(grid) else Row()
        at = self.screen.columns - 1
        cell, unit = " ", "\0"
        if len(row.text) > at:
            at -= row.text[at] == TAIL and at > 0
            cell, unit = row.text[at], row.style[at]
        self._pen(self.screen.styles.style(unit))
        self.out.append(f"\x1b(B\x0f\x1b[{y - top + 1};{at + 1}H{self.screen.clusters.text(cell)}")
