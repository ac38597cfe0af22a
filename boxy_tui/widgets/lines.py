"""Drawing by lines: cells to strips, and the base of widgets that know their own lines.

Constraint: on the hot path of every tick.  A widget keeps the cells of the lines that it shows and
repaints only those that differ (a table of 5,000 rows costs what its visible ones cost).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from boxy_tui.format import Cell
from boxy_tui.palette import style

ELLIPSIS = "…"


def pad(text: str, width: int, *, right: bool = False, tail: bool = False) -> str:
    """The text in exactly `width` cells, cut with an ellipsis when it is longer: at its end, or
    at its beginning where its `tail` says more."""
    if tail and width > 1 and len(text) > width and text.isascii():
        return ELLIPSIS + text[len(text) - width + 1 :]
    if text.isascii():
        length = len(text)
        if length == width:
            return text
        if length < width:
            return text.rjust(width) if right else text.ljust(width)
        return text[: width - 1] + ELLIPSIS if width > 1 else text[:width]
    length = cell_len(text)
    if length <= width:
        blank = " " * (width - length)
        return blank + text if right else text + blank
    return set_cell_size(text, width - 1) + ELLIPSIS if width > 1 else set_cell_size(text, width)


def to_strip(cells: Iterable[Cell], width: int, under: str = "") -> Strip:
    """A line of `width` cells; `under` is a style key that lies beneath all of them."""
    base = f"{under} " if under else ""
    segments = []
    room = width
    for text, key in cells:
        length = len(text) if text.isascii() else cell_len(text)
        if length and room:
            shown = pad(text, room) if length > room else text
            segments.append(Segment(shown, style((base + key).strip())))
            room -= min(room, length)
    if room > 0:
        segments.append(Segment(" " * room, style(under)))
    return Strip(segments, width)


class ByLines(Widget):
    """A widget on Textual's Line API, with its style at hand.

    Textual works out `rich_style` from all that lies above, 0.2 ms a time: once a frame is enough.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """Some of the lines of a frame."""
        self._ground = self.rich_style
        return super().render_lines(crop)

    @property
    def ground(self) -> Style:
        """The widget's style in this frame."""
        found: Style | None = getattr(self, "_ground", None)
        return found or self.rich_style


class Lines(ByLines):
    """A widget that is a list of lines of cells.

    A subclass gives `line_cells(y)`; `repaint` asks again for all shown lines and touches those
    that changed.
    """

    DEFAULT_CSS: ClassVar[str] = "Lines { height: auto; }"
    UNDER: ClassVar[str] = ""
    """Style key beneath every line."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._shown: list[Sequence[Cell]] = []
        self.auto_links = False

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The cells of the visible line y."""
        raise NotImplementedError

    def line_under(self, y: int) -> str:
        """Style key beneath the visible line y."""
        return self.UNDER

    def repaint(self) -> None:
        """Look at every visible line again; repaint those that are not as they were."""
        width, height = self.size
        if not width or not height or not self.is_attached:
            return
        fresh = [self._line(y) for y in range(height)]
        old = self._shown
        if len(old) != height:
            self._shown = fresh
            self.refresh()
            return
        changed = [Region(0, y, width, 1) for y in range(height) if fresh[y] != old[y]]
        self._shown = fresh
        if changed:
            self.refresh(*changed)

    def repaint_lines(self, *lines: int) -> None:
        """Look at these visible lines again, as `repaint` does at all of them."""
        width, height = self.size
        if len(self._shown) != height:
            self.repaint()
            return
        for y in lines:
            if 0 <= y < height and (fresh := self._line(y)) != self._shown[y]:
                self._shown[y] = fresh
                self.refresh(Region(0, y, width, 1))

    def _line(self, y: int) -> Sequence[Cell]:
        return [*self.line_cells(y), ("", self.line_under(y))]

    def render_line(self, y: int) -> Strip:
        """Textual's Line API: one visible line."""
        if y >= len(self._shown):
            height = self.size.height
            self._shown = [self._line(row) for row in range(height)]
            if y >= len(self._shown):
                return Strip.blank(self.size.width, self.ground)
        *cells, (_, under) = self._shown[y]
        return to_strip(cells, self.size.width, under).apply_style(self.ground)

    def on_resize(self) -> None:
        """Every line may be laid out anew."""
        self._shown = []
        self.refresh()
