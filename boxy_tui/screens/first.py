"""The parts of the first screen: its tables with their keys, tabs, banner, the newest events.

Constraint: none of them knows the screen; what a key does is the screen's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from boxy_tui.folding import fold
from boxy_tui.format import Cell, event_line
from boxy_tui.widgets.lines import Lines
from boxy_tui.widgets.table import Table

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp


class BoxTable(Table):
    """The boxes, with the keys for them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "screen.attach", "attach"),
        Binding("e", "screen.shell", "shell"),
        Binding("E", "screen.exec", "exec"),
        Binding("l", "screen.logs", "logs"),
        Binding("i,y", "screen.inspect", "inspect", key_display="i"),
        Binding("x", "screen.explain", "explain"),
        Binding("t", "screen.trace", "trace"),
        Binding("f", "screen.files", "files"),
        Binding("c", "screen.changes", "diff"),
        Binding("enter", "screen.open", "open"),
        Binding("s", "screen.stop", "stop"),
        Binding("S", "screen.start", "start"),
        Binding("r", "screen.restart", "restart"),
        Binding("p", "screen.pause", "pause"),
        Binding("k,ctrl+k", "screen.kill", "kill", key_display="k"),
        Binding("u", "screen.limits", "limits"),
        Binding("w", "screen.web", "web"),
        Binding("W", "screen.ports", "ports"),
        Binding("d,delete,ctrl+d", "screen.remove", "remove", key_display="d"),
        Binding("space", "screen.mark", "mark"),
        Binding("o", "screen.order", "order"),
    ]


class ImageTable(Table):
    """The images, with the keys for them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.run_box", "run it"),
        Binding("u", "screen.prepare", "unpack"),
        Binding("i", "screen.inspect_image", "inspect"),
        Binding("b", "screen.browse", "registry"),
        Binding("d,delete,ctrl+d", "screen.remove_image", "remove", key_display="d"),
    ]


class FilterField(Input):
    """The filter, with the keys that end it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,down", "submit", "keep it", key_display="↵"),
        Binding("escape", "screen.clear", "clear it"),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="filter: words, !not", id="filter", compact=True)


class Tabs(Lines):
    """One line: which table is shown, the filter, the order, the marks."""

    DEFAULT_CSS: ClassVar[str] = "Tabs { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[Cell] = []

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The line as the screen set it."""
        return self.cells


class Banner(Lines):
    """What is wrong with the link to the daemon; not there when all is well."""

    DEFAULT_CSS: ClassVar[str] = "Banner { height: auto; display: none; }"
    UNDER = "surface"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[Cell]] = []

    def say(self, words: list[list[Cell]]) -> None:
        """Show these lines, broken between words where they are long, or nothing."""
        width = self.app.size.width - 1
        rows = [part for line in words for part in fold(line, width, 3)]
        changed = len(rows) != len(self.rows)
        self.rows = rows
        self.display = bool(rows)
        if changed:
            self.styles.height = len(rows) or "auto"
        self.repaint()

    def line_cells(self, y: int) -> Sequence[Cell]:
        """One line of the message."""
        return self.rows[y] if y < len(self.rows) else []


class Events(Lines):
    """The newest events, newest first; only where the screen is tall."""

    DEFAULT_CSS: ClassVar[str] = "Events { height: 9; display: none; background: $surface; }"

    def __init__(self, app: BoxyApp) -> None:
        super().__init__(id="events")
        self._boxy = app

    def line_cells(self, y: int) -> Sequence[Cell]:
        """A title, then one event a line."""
        if y == 0:
            return [(" EVENTS", "title")]
        events = self._boxy.state.events
        if y > len(events):
            return []
        event = events[-y]
        return event_line(event, self._boxy.local_time(event.time))
