"""A table that costs what its visible rows cost, on Textual's Line API.

Constraint: DataTable takes about 50 ms for any change of a cell; this takes about 6 ms a tick with
100 or 5,000 rows, since only rows on show are ever formatted.  Rows are known by keys, so that the
cursor and the marks stay with their row when the order changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from boxy_tui.format import Cell, Column, fit
from boxy_tui.widgets.lines import Lines, pad

WHEEL = 3
"""Rows for one notch of the wheel."""
GAP = "  "


class Table(Lines, can_focus=True):
    """Rows under a line of titles, with a cursor and marks.

    Args:
        columns: what is shown, see `Column`.
        row: the cells of a key's row, one for each column; called for visible rows only.
        empty: lines to show when there is no row.
    """

    DEFAULT_CSS: ClassVar[str] = "Table { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
    ]

    class Sized(Message):
        """Another number of rows is on show."""

    class Moved(Message):
        """The cursor is on another row now; `key` is "" when there is none."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> Table:
            """The table it is about."""
            return self.table

    class Chosen(Message):
        """A row was double-clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(
        self,
        columns: Sequence[Column],
        row: Callable[[str], Sequence[Cell]],
        *,
        empty: Callable[[], Sequence[Sequence[Cell]]],
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.keys: list[str] = []
        self.marks: set[str] = set()
        self._row = row
        self._empty = empty
        self._at = 0
        self._top = 0

    # ---------------------------------------------------------------- rows and cursor

    @property
    def current(self) -> str:
        """The key under the cursor, "" when the table is empty."""
        return self.keys[self._at] if self.keys else ""

    @property
    def place(self) -> str:
        """Where the cursor is, `31/300`; "" while all rows are on show, or nothing is yet."""
        count = len(self.keys) if self.size.height else 0
        return f"{self._at + 1}/{count}" if count > self._rows_on_show() else ""

    def show(self, keys: Sequence[str]) -> None:
        """Show these rows.  The cursor stays on its key; if that is gone, near its place."""
        before = self.current
        self.keys = list(keys)
        known = set(self.keys)
        self.marks &= known
        if before in known:
            self._at = self.keys.index(before)
        self._at = max(0, min(self._at, len(self.keys) - 1))
        self._scroll()
        self.repaint()
        if self.current != before:
            self.post_message(self.Moved(self, self.current))

    def go_to(self, key: str) -> None:
        """Put the cursor on a key, if it is in the table."""
        if key in self.keys:
            self._go(self.keys.index(key))

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor, and go one down."""
        if self.keys:
            self.marks ^= {self.current}
            self.action_move(1)
            self.repaint()

    def _go(self, at: int) -> None:
        at = max(0, min(at, len(self.keys) - 1))
        if at == self._at or not self.keys:
            return
        before, top = self._at, self._top
        self._at = at
        self._scroll()
        if self._top == top:
            self.repaint_lines(before - top + 1, at - top + 1)
        else:
            self.repaint()
        self.post_message(self.Moved(self, self.current))

    def _rows_on_show(self) -> int:
        return max(1, self.size.height - 1)

    def _scroll(self) -> None:
        room = self._rows_on_show()
        self._top = min(self._top, self._at)
        self._top = max(self._top, self._at - room + 1)
        self._top = max(0, min(self._top, len(self.keys) - room))

    def on_resize(self) -> None:
        """Keep the cursor in sight; what tells of `place` is told anew."""
        self._scroll()
        super().on_resize()
        self.post_message(self.Sized())

    def on_focus(self) -> None:
        """The cursor's row looks stronger with the focus."""
        self.repaint()

    def on_blur(self) -> None:
        """The cursor's row looks weaker without the focus."""
        self.repaint()

    # ---------------------------------------------------------------- lines

    def line_cells(self, y: int) -> Sequence[Cell]:
        """Titles on line 0, rows below."""
        widths = fit(self.columns, self.size.width - 2, len(GAP))
        if y == 0:
            return self._titles(widths)
        index = self._top + y - 1
        if not self.keys:
            lines = self._empty()
            return lines[y - 2] if 0 <= y - 2 < len(lines) else []
        if index >= len(self.keys):
            return []
        key = self.keys[index]
        cells: list[Cell] = [("▌" if key in self.marks else " ", "paused")]
        row = self._row(key)
        for i, width in widths:
            text, name = row[i]
            column = self.columns[i]
            cells += [(pad(text, width, right=column.right, tail=column.tail), name), (GAP, "")]
        return cells[:-1]

    def _titles(self, widths: Sequence[tuple[int, int]]) -> list[Cell]:
        cells: list[Cell] = [(" ", "")]
        for i, width in widths:
            column = self.columns[i]
            cells += [(pad(column.title, width, right=column.right), "title"), (GAP, "")]
        return cells

    def line_under(self, y: int) -> str:
        """The cursor and the marks colour whole rows."""
        index = self._top + y - 1
        if y == 0 or not 0 <= index < len(self.keys):
            return ""
        if index == self._at:
            return "cursor" if self.has_focus else "cursor-away"
        return "mark" if self.keys[index] in self.marks else ""

    # ---------------------------------------------------------------- keys and mouse

    def action_move(self, by: int) -> None:
        """Go up or down."""
        self._go(self._at + by)

    def action_page(self, by: int) -> None:
        """Go a screenful up or down."""
        self._go(self._at + by * self._rows_on_show())

    def action_edge(self, which: int) -> None:
        """Go to the first or last row."""
        self._go(0 if which < 0 else len(self.keys) - 1)

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there, a double click chooses."""
        index = self._top + event.y - 1
        if event.y > 0 and 0 <= index < len(self.keys):
            self._go(index)
            if event.chain == 2:
                self.post_message(self.Chosen(self.current))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves the cursor."""
        event.stop()
        self.action_move(WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves the cursor."""
        event.stop()
        self.action_move(-WHEEL)
