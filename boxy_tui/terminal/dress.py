"""Segments of a row as a strip that Textual shows.  Pure.

Constraint: a screenful of rows is made anew in every frame of a flood, and a Strip is dear to make
(it brings seven caches), so everything is done on the way to one.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

WORN = 20_000
"""Styles remembered: a program with true colours has no end of them."""


class Dress:
    """Puts rows on the widget's own style, `base`; `colours`: whether with the terminal's own."""

    def __init__(self) -> None:
        self.base = Style.null()
        self.colours = True
        self._worn: dict[Style | None, Style] = {}

    def wear(self, base: Style) -> bool:
        """Rows have this style under their own from here on.  True: it is another than before."""
        other = base != self.base
        if other or len(self._worn) > WORN:
            self.base, self._worn = base, {}
        return other

    def strip(self, segments: list[Segment], columns: int) -> Strip:
        """A strip of so many cells, cut or filled with blanks."""
        worn, length, dressed = self._worn, 0, []
        for text, own, _ in segments:
            found = worn.get(own)
            if found is None:
                own_style = own if self.colours or own is None else without_palette(own)
                found = worn[own] = self.base + own_style if own_style else self.base
            dressed.append(Segment(text, found))
            length += len(text) if text.isascii() else cell_len(text)
        if length < columns:
            dressed.append(Segment(" " * (columns - length), self.base))
        strip = Strip(dressed, max(length, columns))
        return strip.crop(0, columns) if length > columns else strip


def without_palette(style: Style) -> Style:
    """The style without colours of the terminal's palette, which nobody knows how light they are:
    Textual makes greys of all colours for NO_COLOR, and of these nearly black.  What had a ground
    of its own stands out in reverse."""
    front, ground = (
        color if color is not None and color.triplet is not None else None
        for color in (style.color, style.bgcolor)
    )
    turned = style.bgcolor is not None and not style.bgcolor.is_default and ground is None
    kept = style.without_color + Style.from_color(front, ground)
    return kept + Style(reverse=not style.reverse) if turned else kept


def over(strip: Strip, start: int, end: int, over: Style) -> Strip:
    """The strip with a style laid over the cells start..end-1; a wide character counts whole."""
    length = strip.cell_length
    start, end = max(0, min(start, length)), max(0, min(end, length))
    if start >= end:
        return strip
    last = strip.crop(end - 1, end + 1).text
    if last and cell_len(last[0]) == 2:
        end = min(length, end + 1)
    middle = [Segment(t, (own or Style.null()) + over) for t, own, _ in strip.crop(start, end)]
    return Strip([*strip.crop(0, start), *middle, *strip.crop(end, length)], length)
