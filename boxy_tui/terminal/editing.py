"""Erasing, inserting and deleting."""

from __future__ import annotations

from typing import Any

from boxy_tui.terminal.motion import Motion
from boxy_tui.terminal.rows import Row, blank_row


class Editing(Motion):
    """What changes cells without drawing. Blanks take the pen's background (BCE, as in xterm)."""

    def insert_lines(self, count: int | None = None, *_: int) -> None:
        """IL: nothing outside the region; the cursor goes to the first column."""
        y = self.cursor.y
        if self.top <= y <= self.bottom:
            self._rotate(y, self.bottom, -min(count or 1, self.bottom - y + 1))
            self.cursor.x = 0

    def delete_lines(self, count: int | None = None, *_: int) -> None:
        """DL: nothing outside the region; the cursor goes to the first column."""
        y = self.cursor.y
        if self.top <= y <= self.bottom:
            self._rotate(y, self.bottom, min(count or 1, self.bottom - y + 1))
            self.cursor.x = 0

    def insert_characters(self, count: int | None = None, *_: int) -> None:
        """ICH."""
        x = self.cursor.x
        if x < self.columns:
            count = min(count or 1, self.columns - x)
            self.grid[self.cursor.y].insert(x, count, self.columns, self.pen.blank)

    def delete_characters(self, count: int | None = None, *_: int) -> None:
        """DCH."""
        x = self.cursor.x
        if x < self.columns:
            count = min(count or 1, self.columns - x)
            self.grid[self.cursor.y].delete(x, count, self.columns, self.pen.blank)

    def erase_characters(self, count: int | None = None, *_: int) -> None:
        """ECH."""
        x = self.cursor.x
        if x < self.columns:
            self._erase(self.cursor.y, x, min(x + (count or 1), self.columns))

    def erase_in_line(self, how: int = 0, *_: int, private: bool = False) -> None:
        """EL: 0 to the end, 1 from the start, 2 all; `private` (DECSEL) spares protected cells.

        In a pending wrap there is nothing right of the cursor: ls, top and others count on it.
        """
        x, y, columns = self.cursor.x, self.cursor.y, self.columns
        start = x if how == 0 else 0
        end = min(x + 1, columns) if how == 1 else columns
        if how > 2 or start >= columns:
            return
        if private:
            self._erase_unprotected(y, start, end)
        else:
            self._erase(y, start, end)

    def erase_in_display(self, how: int = 0, *_: Any, private: bool = False, **__: Any) -> None:
        """ED: 0 to the end, 1 from the start, 2 all, 3 the scrollback.

        A whole primary screen is scrolled away rather than wiped, as tmux does, so that `clear`
        loses nothing.
        """
        y = self.cursor.y
        if how == 3:
            self.history.clear()
        elif private and how <= 2:
            self._erase_display_unprotected(how)
        elif how == 2 or (how == 0 and y == 0 and self.cursor.x == 0):
            self._scroll_away()
            self._wipe(0, self.lines)
        elif how == 0:
            self.erase_in_line(0)
            self._wipe(y + 1, self.lines)
        elif how == 1:
            self.erase_in_line(1)
            self._wipe(0, y)

    def full_reset(self) -> None:
        """RIS: as a new terminal; what was on the screen goes to the scrollback, as in tmux."""
        self._scroll_away()
        self.reset()

    def _scroll_away(self) -> None:
        if self.alternate:
            return
        used = [y for y, row in enumerate(self.grid) if row.text]
        if used:
            for row in self.grid[: used[-1] + 1]:
                self.history.push(row)
        self.history.seal()

    def _wipe(self, first: int, end: int) -> None:
        blank, columns = self.pen.blank, self.columns
        self.grid[first:end] = [blank_row(columns, blank) for _ in range(end - first)]

    def _erase(self, y: int, start: int, end: int) -> None:
        if start == 0 and end >= self.columns:
            self.grid[y] = blank_row(self.columns, self.pen.blank)
        else:
            self.grid[y].erase(start, end, self.columns, self.pen.blank)

    def _erase_display_unprotected(self, how: int) -> None:
        y = self.cursor.y
        first, end = {0: (y + 1, self.lines), 1: (0, y), 2: (0, self.lines)}[how]
        if how != 2:
            self.erase_in_line(how, private=True)
        for i in range(first, end):
            self._erase_unprotected(i, 0, self.columns)

    def _erase_unprotected(self, y: int, start: int, end: int) -> None:
        """DECSEL: only the characters go; what DECSCA protected stays, and so do the colours."""
        row: Row = self.grid[y]
        styles = self.styles.styles
        for x in range(start, min(end, len(row.text))):
            unit = row.style[x]
            if not styles[ord(unit)].protected:
                row.put(x, " ", unit)

    def alignment_display(self) -> None:
        """DECALN: fill the screen with E."""
        self._region(0, self.lines - 1)
        self._set_origin(False)
        self.cursor.x = self.cursor.y = 0
        columns = self.columns
        self.grid[:] = [Row("E" * columns, "\0" * columns) for _ in range(self.lines)]
