"""What a screen cell can look like: styles, pens, and the tables that number them.

A row is two strings of equal length: the characters, and one *unit* per cell (a character whose
code point is the number of a style).  So drawing, erasing and scrolling are string slices done in
C, a row of 80 cells takes about 350 bytes, and finding the runs to paint is one regular expression.

Two characters never come from a program and have a meaning of their own in a row's text:
`TAIL` (a lone surrogate, which no decoder yields) is the right half of a wide character, and those
from `CLUSTER` up (Unicode plane 16) stand for a cell that holds more than one code point.

The tables are bounded: true colour alone can name 2**48 styles.  When a table is full its owner
names what is still in use and the rest is freed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

Color: TypeAlias = int | str | None
"""None is the default colour, 0..255 the palette, "#rrggbb" true colour."""

TAIL = "\udfff"
CLUSTER = "\U00100000"
CLUSTER_ROOM = 0xFFFE
MAX_CLUSTER = 32
"""Bytes in UTF-8 kept in one cell, as in tmux; hostile text piles up combining marks."""

FIRST_SWEEP = 4096
STYLE_ROOM = 65_536
PALETTE_ROOM = 8192
"""Styles without true colour that are still numbered when the room is full."""
PATIENCE = 50_000
"""New styles that pass before a table that is full of live ones is looked through again."""
TRANSITIONS = 16_384


class Style(NamedTuple):
    """How a cell looks. `underline`: 0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed."""

    fg: Color = None
    bg: Color = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: int = 0
    blink: bool = False
    reverse: bool = False
    hidden: bool = False
    strike: bool = False
    overline: bool = False
    underline_color: Color = None
    link: str | None = None
    protected: bool = False

    def names(self) -> tuple[str, ...]:
        """The attributes that are on, under pyte's names."""
        return tuple(name for name, field in _PYTE_NAMES.items() if getattr(self, field))


_PYTE_NAMES = {
    "bold": "bold",
    "dim": "dim",
    "italics": "italic",
    "underscore": "underline",
    "blink": "blink",
    "reverse": "reverse",
    "hidden": "hidden",
    "strikethrough": "strike",
    "overline": "overline",
}

PLAIN = Style()


class Pen:
    """A style ready to draw with.

    `unit` marks a drawn cell, `blank` an erased one (only the background survives an erase; empty
    when that is the default, since then nothing need be stored).  `after` remembers which pen each
    SGR sequence leads to, so that a known sequence costs one lookup.
    """

    __slots__ = ("after", "blank", "style", "unit")

    def __init__(self, style: Style, unit: str, blank: str) -> None:
        self.style = style
        self.unit = unit
        self.blank = blank
        self.after: dict[str, Pen] = {}


class StyleTable:
    """Numbers styles and hands out pens; frees the unused ones when it grows.

    `live` returns the units still in use (rows, saved cursors); it is asked before a sweep.
    While `frozen` no sweep happens: rows that nobody can name yet are being made.
    """

    def __init__(self, live: Callable[[], set[str]]) -> None:
        self.styles: list[Style] = [PLAIN]
        self.frozen = False
        self.plain = Pen(PLAIN, "\0", "")
        self._live = live
        self._free: list[int] = []
        self._pens: dict[Style, Pen] = {PLAIN: self.plain}
        self._sweep_at = FIRST_SWEEP
        self._learnt = 0
        self._patience = 0

    def __len__(self) -> int:
        return len(self._pens)

    def style(self, unit: str) -> Style:
        """The style that a unit stands for."""
        return self.styles[ord(unit)]

    def pen(self, style: Style) -> Pen:
        """The pen for a style, made at need."""
        pen = self._pens.get(style)
        return pen if pen is not None else self._make(style)

    def learn(self, pen: Pen, sequence: str, style: Style) -> Pen:
        """Remember that `sequence` turns `pen` into the pen for `style`."""
        after = self.pen(style)
        self._learnt += 1
        if self._learnt > TRANSITIONS:
            self._learnt = 0
            for known in self._pens.values():
                known.after.clear()
        pen.after[sequence] = after
        return after

    def _make(self, style: Style) -> Pen:
        if len(self._pens) >= self._sweep_at and not self.frozen:
            self._sweep()
        if len(self._pens) >= STYLE_ROOM:
            poorer = _reduced(style)
            if poorer != style:
                return self.pen(poorer)
            if len(self._pens) >= STYLE_ROOM + PALETTE_ROOM:
                return self.plain
        blank = ""
        only_background = Style(bg=style.bg)
        if style.bg is not None and style != only_background:
            blank = self.pen(only_background).unit
        number = self._number(style)
        unit = chr(number)
        if style == only_background and style.bg is not None:
            blank = unit
        pen = self._pens[style] = Pen(style, unit, blank)
        return pen

    def _number(self, style: Style) -> int:
        if self._free:
            number = self._free.pop()
            self.styles[number] = style
            return number
        self.styles.append(style)
        return len(self.styles) - 1

    def _sweep(self) -> None:
        """Forget every style that no cell shows. Units keep their meaning, so no row is touched."""
        self._patience -= 1
        if self._patience > 0:
            return
        live = self._live()
        live.add("\0")
        live.update([pen.blank for pen in self._pens.values() if pen.unit in live])
        self._pens = {s: p for s, p in self._pens.items() if p.unit in live}
        for pen in self._pens.values():
            pen.after.clear()
        self._learnt = 0
        used = {ord(pen.unit) for pen in self._pens.values()}
        self._free = [n for n in range(len(self.styles)) if n not in used]
        self._sweep_at = min(max(FIRST_SWEEP, 2 * len(self._pens)), STYLE_ROOM)
        self._patience = PATIENCE if 2 * len(self._pens) > STYLE_ROOM else 0


def _reduced(style: Style) -> Style:
    """The style with its true colours taken to the 6x6x6 cube, for a table with no room left."""
    return style._replace(fg=_cube(style.fg), bg=_cube(style.bg), underline_color=None, link=None)


def _cube(color: Color) -> Color:
    if not isinstance(color, str):
        return color
    red, green, blue = (round(int(color[i : i + 2], 16) / 51) for i in (1, 3, 5))
    return 16 + 36 * red + 6 * green + blue


class Clusters:
    """Cells that hold several code points (combining marks, emoji sequences), one stand-in each.

    `live` yields the texts still in use; it is asked when the table is full.
    """

    def __init__(self, live: Callable[[], Iterable[str]]) -> None:
        self._live = live
        self._by_text: dict[str, str] = {}
        self._by_char: dict[str, str] = {}
        self._next = 0
        self._free: list[str] = []
        self.frozen = False

    def char(self, text: str) -> str:
        """The character that stands for `text` in a row; the first of `text` when all are taken."""
        if len(text) == 1 and text < CLUSTER:
            return text
        known = self._by_text.get(text)
        if known is not None:
            return known
        if self._next >= CLUSTER_ROOM and not self._free and not self.frozen:
            self._sweep()
        if self._free:
            stand_in = self._free.pop()
        elif self._next < CLUSTER_ROOM:
            stand_in = chr(ord(CLUSTER) + self._next)
            self._next += 1
        else:
            return text[0] if text[0] < CLUSTER else "\ufffd"
        self._by_text[text] = stand_in
        self._by_char[stand_in] = text
        return stand_in

    def text(self, char: str) -> str:
        """What a character of a row shows; empty for the tail of a wide one."""
        if char < CLUSTER:
            return "" if char == TAIL else char
        return self._by_char.get(char, "\ufffd")

    def plain(self, text: str) -> str:
        """A row's text as the user reads it."""
        if text.isascii():
            return text
        text = text.replace(TAIL, "")
        if text and max(text) >= CLUSTER:
            return "".join([c if c < CLUSTER else self._by_char.get(c, "\ufffd") for c in text])
        return text

    def _sweep(self) -> None:
        live: set[str] = set()
        for text in self._live():
            if not text.isascii():
                live.update(text)
        self._by_char = {c: t for c, t in self._by_char.items() if c in live}
        self._by_text = {t: c for c, t in self._by_char.items()}
        every = map(chr, range(ord(CLUSTER), ord(CLUSTER) + CLUSTER_ROOM))
        self._free = [c for c in every if c not in self._by_char]
