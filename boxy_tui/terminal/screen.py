"""The whole screen: a `pyte.Screen` with everything in it, and its size."""

from __future__ import annotations

from boxy_tui.terminal.cells import Style
from boxy_tui.terminal.reflow import reflow
from boxy_tui.terminal.reports import Reports
from boxy_tui.terminal.rows import Row

MAX_COLUMNS, MAX_LINES = 2000, 1000


class Screen(Reports):
    """The terminal's state; see `grid.Grid` for how it is made up.

    Resizing follows tmux: rows under the cursor go first, then the top ones move to the scrollback;
    growing takes rows back from it; the primary screen is reflowed, the alternate one is not, and
    the primary keeps its old size until the alternate screen is left.
    """

    primary_size: tuple[int, int]

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Change the size; at least one cell, at most `MAX_COLUMNS` by `MAX_LINES`."""
        lines = max(1, min(lines or self.lines, MAX_LINES))
        columns = max(1, min(columns or self.columns, MAX_COLUMNS))
        if (lines, columns) == (self.lines, self.columns):
            return
        if self.alternate:
            self._fit_alternate(lines, columns)
        else:
            self._fit(self.columns, lines, columns)
        if columns != self.columns:
            self.tabstops = set(range(8, columns, 8))
        self.columns, self.lines = columns, lines
        self._region(0, lines - 1)

    def _fit_alternate(self, lines: int, columns: int) -> None:
        cursor, grid = self.cursor, self.grid
        surplus = len(grid) - lines
        if surplus > 0:
            below = min(surplus, len(grid) - 1 - cursor.y)
            del grid[len(grid) - below :]
            del grid[: surplus - below]
            cursor.y -= surplus - below
        grid.extend(Row() for _ in range(lines - len(grid)))
        for row in grid:
            row.clip(columns)
        cursor.x = min(cursor.x, columns)

    def _fit(self, old_columns: int, lines: int, columns: int) -> None:
        """Bring `grid` (the primary screen) from `old_columns` to a new size."""
        cursor, grid = self.cursor, self.grid
        surplus = len(grid) - lines
        if surplus > 0:
            below = min(surplus, len(grid) - 1 - cursor.y)
            del grid[len(grid) - below :]
            for row in grid[: surplus - below]:
                self.history.push(row)
            del grid[: surplus - below]
            cursor.y -= surplus - below
        elif surplus < 0:
            back = self.history.pop(-surplus)
            grid[:0] = back
            cursor.y += len(back)
            grid.extend(Row() for _ in range(lines - len(grid)))
        if columns != old_columns:
            self._reflow(lines, columns)
        cursor.x = min(cursor.x, columns)

    def _reflow(self, lines: int, columns: int) -> None:
        cursor = self.cursor
        before = list(self.history)
        place = (cursor.x, len(before) + cursor.y)
        known = [*before, *self.grid]
        scrolled = self.history.returning
        rows, (x, row), scrolled = reflow(known, columns, place, scrolled, self._is_background)
        rows.extend(Row() for _ in range(lines - len(rows)))
        above = len(rows) - lines
        self.history.replace(rows[:above], scrolled)
        self.grid[:] = rows[above:]
        cursor.x, cursor.y = (x, row - above) if row >= above else (0, 0)

    def _is_background(self, unit: str) -> bool:
        """Whether a blank in this style is what an erase leaves."""
        style = self.styles.style(unit)
        return style == Style(bg=style.bg)

    def _fit_primary(self) -> None:
        """On leaving the alternate screen: the primary one comes to the size of now.

        The cursor goes where it stood on entering; it has to be in place while rows are reflowed.
        """
        if self.primary_size == (self.columns, self.lines) or self.alternate_cursor is None:
            return
        here = self.cursor.x, self.cursor.y
        there = self.alternate_cursor
        self.cursor.x, self.cursor.y = there.x, min(there.y, self.primary_size[1] - 1)
        self._fit(self.primary_size[0], self.lines, self.columns)
        saved = self._saved[False]
        if saved is not None and (saved.x, saved.y) == (there.x, there.y):
            self._saved[False] = saved._replace(x=self.cursor.x, y=self.cursor.y)
        self.cursor.x, self.cursor.y = here
