"""A curve in braille dots under a line with its figure.

Constraint: one a second for each of five curves; 1.3 ms each, where a Sparkline takes 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.strip import Strip

from boxy_tui.format import Cell, braille
from boxy_tui.palette import RAMP, foreground
from boxy_tui.widgets.lines import ByLines, to_strip


class Graph(ByLines):
    """Title, figure and curve.  `calm` keeps one colour; else rows go from green to red."""

    DEFAULT_CSS: ClassVar[str] = "Graph { height: 1fr; min-height: 3; }"

    def __init__(self, title: str, *, colour: str = "", id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.title = title
        self._colour = colour
        self._values: Sequence[float] = ()
        self._top = 1.0
        self._figure = ""
        self._bound = ""
        self._rows: list[str] = []

    def show(self, values: Sequence[float], top: float, figure: str, bound: str) -> None:
        """Draw these samples against `top`; `figure` is the value now, `bound` what `top` is."""
        if (values, top, figure, bound) == (self._values, self._top, self._figure, self._bound):
            return
        self._values, self._top, self._figure, self._bound = values, top, figure, bound
        self._rows = []
        self.refresh()

    def on_resize(self) -> None:
        """The number of dots has changed."""
        self._rows = []

    def render_line(self, y: int) -> Strip:
        """Textual's Line API."""
        width, height = self.size
        if y == 0:
            return to_strip(self._heading(width), width).apply_style(self.ground)
        if not self._rows:
            self._rows = braille(self._values, width, max(1, height - 1), self._top)
        if y > len(self._rows):
            return Strip.blank(width, self.ground)
        colour = foreground(self._row_colour(y, height))
        return Strip([Segment(self._rows[y - 1], self.ground + colour)], width)

    def _heading(self, width: int) -> list[Cell]:
        room = width - len(self.title) - len(self._figure) - 2
        bound = self._bound if len(self._bound) <= room - 1 else ""
        return [
            (self.title, "title"),
            (" ", ""),
            (self._figure, "bright"),
            (bound.rjust(max(0, room)) if bound else "", "faint"),
        ]

    def _row_colour(self, y: int, height: int) -> str:
        if self._colour:
            return self._colour
        share = (height - 1 - y) / max(1, height - 2)
        return RAMP[min(len(RAMP) - 1, int(share * len(RAMP)))]
