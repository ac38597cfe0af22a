"""The console's colours, named by what they mean: one table of styles, several sets of colours.

Constraint: `format.py` names styles by these keys and stays pure; only widgets turn a key into a
rich Style, when they draw, so that another set shows at once.  No state is told by colour alone.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from rich.color import Color
from rich.style import Style
from textual.theme import Theme


class Palette(NamedTuple):
    """One set of colours, each `#rrggbb`."""

    name: str
    title: str
    """what it is, in the command palette"""
    dark: bool
    background: str
    surface: str
    panel: str
    line: str
    faint: str
    dim: str
    text: str
    bright: str
    accent: str
    blue: str
    green: str
    lime: str
    yellow: str
    orange: str
    red: str
    magenta: str
    cursor: str
    """beneath the row that keys are about"""
    mark: str
    """beneath the rows that are marked"""
    field: str
    """beneath what one types"""


DARK = Palette(
    name="dark", title="dark", dark=True,
    background="#0f131a", surface="#161b24", panel="#1f2733", line="#323d4d",
    faint="#4b5768", dim="#7d8ba0", text="#c5cfdd", bright="#eef3fa",
    accent="#5fd0c5", blue="#7ab0f5", green="#8fce72", lime="#b5cc66", yellow="#e6bd63",
    orange="#f0975f", red="#f2707f", magenta="#c39af0", cursor="#26405a", mark="#3a2f57",
    field="#1f2733",
)  # fmt: skip
"""Contrast is kept for terminals of 256 colours."""
LIGHT = Palette(
    name="light", title="light, for bright rooms", dark=False,
    background="#fbfaf7", surface="#f2f0ee", panel="#e4e2df", line="#c9c4b6",
    faint="#8d8778", dim="#686253", text="#2b2a26", bright="#000000",
    accent="#00665e", blue="#1d4f9e", green="#276b12", lime="#4f6d00", yellow="#795400",
    orange="#a34200", red="#b3152b", magenta="#6f35a8", cursor="#c5dcf2", mark="#eed4f6",
    field="#e4e2df",
)  # fmt: skip
"""Text has a contrast of at least 4.5 to each of its grounds (WCAG 2, 1.4.3), hints of 3.  Grounds
are so near to grey that they stay so in 256 colours (over SSH), and do not become yellow."""
SIXTEEN = Palette(
    name="16", title="16 colours, for plain terminals", dark=True,
    background="#000000", surface="#000000", panel="#000080", line="#6c6c6c",
    faint="#808080", dim="#c0c0c0", text="#c0c0c0", bright="#ffffff",
    accent="#00ffff", blue="#00ffff", green="#55ff55", lime="#55ff55", yellow="#ffff00",
    orange="#ffff00", red="#ff5555", magenta="#ff00ff", cursor="#000080", mark="#800080",
    field="#000000",
)  # fmt: skip
"""Each becomes one of a terminal's own colours (ECMA-48 SGR 30-37, and 90-97 for the bright ones),
the nearest by Rich's measure: that takes #ff0000 for the dark red, and #808080 for the white."""
GREY = DARK._replace(
    name="grey", title="no colours", panel="#303030", faint="#808080", dim="#a8a8a8",
    cursor="#525252", mark="#444444",
    field="#303030",
)  # fmt: skip
"""For NO_COLOR (no-color.org): Textual makes greys of all; what stands out does by lightness."""
PALETTES = {palette.name: palette for palette in (DARK, LIGHT, SIXTEEN, GREY)}

_STYLES: dict[str, tuple[str, str, bool]] = {
    "": ("text", "", False),
    "text": ("text", "", False),
    "bright": ("bright", "", True),
    "name": ("bright", "", False),
    "dim": ("dim", "", False),
    "faint": ("faint", "", False),
    "line": ("line", "", False),
    "title": ("dim", "", True),
    "accent": ("accent", "", False),
    "accent-bold": ("accent", "", True),
    "key": ("yellow", "", True),
    "ok": ("green", "", False),
    "warn": ("yellow", "", False),
    "bad": ("red", "", False),
    "busy": ("blue", "", False),
    "paused": ("magenta", "", False),
    "blue": ("blue", "", False),
    "orange": ("orange", "", False),
    "badge": ("background", "accent", True),
    "badge-warn": ("background", "yellow", True),
    "badge-bad": ("background", "red", True),
    "tab": ("dim", "panel", False),
    "tab-on": ("background", "blue", True),
    "match": ("background", "yellow", False),
    "match-on": ("background", "orange", True),
    "cursor": ("", "cursor", False),
    "cursor-away": ("", "panel", False),
    "mark": ("", "mark", False),
    "bar": ("", "panel", False),
    "surface": ("", "surface", False),
}
"""style key -> colour of the text, of the ground, bold"""

RAMP = ("green", "green", "lime", "yellow", "orange", "red")
"""From calm to full; graphs colour their rows by it."""


class _Now:
    """The set in use: one for the whole console, as for a terminal."""

    palette = DARK


def use(name: str) -> Palette:
    """Draw with this set from now on; an unknown name is the dark one."""
    _Now.palette = PALETTES.get(name, DARK)
    style.cache_clear()
    foreground.cache_clear()
    return _Now.palette


def colour(name: str) -> str:
    """`#rrggbb` of a colour by its name, in the set in use."""
    found: str = getattr(_Now.palette, name)
    return found


@cache
def style(key: str) -> Style:
    """The style behind a key; several keys joined by spaces add up (`"cursor name"`)."""
    if " " in key:
        return Style.combine([style(part) for part in key.split()])
    text, ground, bold = _STYLES[key]
    return Style(
        color=colour(text) if text else None,
        bgcolor=colour(ground) if ground else None,
        bold=bold or None,
    )


@cache
def foreground(name: str) -> Style:
    """Plain text in one colour, by its name."""
    return Style.from_color(Color.parse(colour(name)))


def theme(palette: Palette) -> Theme:
    """The set for Textual's own widgets and the style sheet."""
    p = palette
    return Theme(
        name=f"boxy-{p.name}", primary=p.blue, secondary=p.magenta, accent=p.accent,
        foreground=p.text, background=p.background, surface=p.surface, panel=p.panel,
        success=p.green, warning=p.yellow, error=p.red, dark=p.dark,
        variables={
            "line": p.line,
            "dim": p.dim,
            "faint": p.faint,
            "field": p.field,
            "hint": p.line if p.field == p.background else p.dim,
            "row-cursor": p.cursor,
            "input-cursor-background": p.accent,
            "input-selection-background": p.mark,
            "border": p.line,
            "scrollbar": p.line,
            "scrollbar-hover": p.faint,
            "scrollbar-active": p.dim,
            "scrollbar-background": p.surface,
            "scrollbar-corner-color": p.surface,
        },
    )  # fmt: skip
