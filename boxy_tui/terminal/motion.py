"""Moving the cursor, and tab stops."""

from __future__ import annotations

from pyte import modes as mo
from pyte.screens import Margins

from boxy_tui.terminal.grid import Grid


class Motion(Grid):
    """Cursor movement (ECMA-48 8.3, DEC STD 070). A count of 0 means 1, as on every VT."""

    def reset(self) -> None:
        """See `Grid.reset`."""
        super().reset()
        self.tabstops = set(range(8, self.columns, 8))

    def _unpend(self) -> None:
        """Forget a pending wrap."""
        self.cursor.x = min(self.cursor.x, self.columns - 1)

    def carriage_return(self) -> None:
        """CR."""
        self.cursor.x = 0

    def backspace(self) -> None:
        """BS; in a pending wrap it moves off the last column, as in xterm.

        At the start of a row that goes on from the one above it goes to that one's end, as in tmux.
        """
        cursor = self.cursor
        if cursor.x == 0 and cursor.y > 0 and self.grid[cursor.y - 1].wrapped:
            cursor.y -= 1
            cursor.x = self.columns - 1
        else:
            cursor.x = max(0, min(cursor.x, self.columns - 1) - 1)

    def cursor_up(self, count: int | None = None, *_: int) -> None:
        """CUU: stops at the region's top when it starts inside."""
        self._unpend()
        y = self.cursor.y
        self.cursor.y = max(y - (count or 1), self.top if y >= self.top else 0)

    def cursor_down(self, count: int | None = None, *_: int) -> None:
        """CUD, VPR: stops at the region's bottom when it starts inside."""
        self._unpend()
        y = self.cursor.y
        self.cursor.y = min(y + (count or 1), self.bottom if y <= self.bottom else self.lines - 1)

    def cursor_up1(self, count: int | None = None, *_: int) -> None:
        """CPL."""
        self.cursor_up(count)
        self.cursor.x = 0

    def cursor_down1(self, count: int | None = None, *_: int) -> None:
        """CNL."""
        self.cursor_down(count)
        self.cursor.x = 0

    def cursor_forward(self, count: int | None = None, *_: int) -> None:
        """CUF, HPR."""
        self.cursor.x = min(self.cursor.x + (count or 1), self.columns - 1)

    def cursor_back(self, count: int | None = None, *_: int) -> None:
        """CUB."""
        self.cursor.x = max(min(self.cursor.x, self.columns - 1) - (count or 1), 0)

    def cursor_position(self, line: int | None = None, column: int | None = None, *_: int) -> None:
        """CUP, HVP: counted from the region's top in origin mode."""
        cursor = self.cursor
        y = (line or 1) - 1
        if self.origin:
            cursor.y = min(y + self.top, self.bottom)
        else:
            cursor.y = y if y < self.lines else self.lines - 1
        x = (column or 1) - 1
        cursor.x = x if x < self.columns else self.columns - 1

    def cursor_to_column(self, column: int | None = None, *_: int) -> None:
        """CHA, HPA."""
        self.cursor.x = min((column or 1) - 1, self.columns - 1)

    def cursor_to_line(self, line: int | None = None, *_: int) -> None:
        """VPA."""
        self._unpend()
        y = (line or 1) - 1
        self.cursor.y = min(y + self.top, self.bottom) if self.origin else min(y, self.lines - 1)

    def set_margins(self, top: int | None = None, bottom: int | None = None, *_: int) -> None:
        """DECSTBM: the scroll region; one of less than two rows is ignored.

        The cursor goes to the screen's corner, also in origin mode (as in tmux).
        """
        first = (top or 1) - 1
        last = min(bottom or self.lines, self.lines) - 1
        if first < last:
            self._region(first, last)
            self.cursor.x = self.cursor.y = 0

    def _region(self, first: int, last: int) -> None:
        self.top, self.bottom = first, last
        whole = first == 0 and last == self.lines - 1
        self.margins = None if whole else Margins(first, last)

    def _set_origin(self, on: bool) -> None:
        """DECOM, without what it does to the cursor."""
        self.origin = on
        self.mode.discard(mo.DECOM)
        if on:
            self.mode.add(mo.DECOM)

    # -- tabs --------------------------------------------------------------------------------------

    def tab(self) -> None:
        """HT; a pending wrap stays pending."""
        x, last = self.cursor.x, self.columns - 1
        if x >= last:
            return
        x += 1
        stops = self.tabstops
        while x < last and x not in stops:
            x += 1
        self.cursor.x = x

    def cursor_tab(self, count: int | None = None, *_: int) -> None:
        """CHT."""
        for _i in range(min(count or 1, self.columns)):
            self.tab()

    def cursor_back_tab(self, count: int | None = None, *_: int) -> None:
        """CBT."""
        x = min(self.cursor.x, self.columns - 1)
        for _i in range(min(count or 1, self.columns)):
            x = max((stop for stop in self.tabstops if stop < x), default=0)
        self.cursor.x = x

    def set_tab_stop(self) -> None:
        """HTS."""
        self.tabstops.add(min(self.cursor.x, self.columns - 1))

    def clear_tab_stop(self, how: int = 0, *_: int) -> None:
        """TBC: 0 this one, 3 all."""
        if how == 0:
            self.tabstops.discard(min(self.cursor.x, self.columns - 1))
        elif how == 3:
            self.tabstops = set()
