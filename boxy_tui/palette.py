"""The console's colours, named by what they mean; one place for widgets, cells and the theme.

Constraint: `format.py` names styles by these keys and stays pure; only widgets turn a key into a
rich Style.  Contrast is kept for 256-colour terminals, and no state is told by colour alone.
"""

from __future__ import annotations

from functools import cache

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

BACKGROUND = "#0f131a"
SURFACE = "#161b24"
PANEL = "#1f2733"
LINE = "#323d4d"
TEXT = "#c5cfdd"
DIM = "#7d8ba0"
FAINT = "#4b5768"
BRIGHT = "#eef3fa"
ACCENT = "#5fd0c5"
BLUE = "#7ab0f5"
GREEN = "#8fce72"
YELLOW = "#e6bd63"
RED = "#f2707f"
MAGENTA = "#c39af0"
ORANGE = "#f0975f"
CURSOR = "#26405a"
MARK = "#3a2f57"

_STYLES = {
    "": Style(color=TEXT),
    "text": Style(color=TEXT),
    "bright": Style(color=BRIGHT, bold=True),
    "name": Style(color=BRIGHT),
    "dim": Style(color=DIM),
    "faint": Style(color=FAINT),
    "line": Style(color=LINE),
    "title": Style(color=DIM, bold=True),
    "accent": Style(color=ACCENT),
    "accent-bold": Style(color=ACCENT, bold=True),
    "key": Style(color=YELLOW, bold=True),
    "ok": Style(color=GREEN),
    "warn": Style(color=YELLOW),
    "bad": Style(color=RED),
    "busy": Style(color=BLUE),
    "paused": Style(color=MAGENTA),
    "blue": Style(color=BLUE),
    "orange": Style(color=ORANGE),
    "badge": Style(color=BACKGROUND, bgcolor=ACCENT, bold=True),
    "badge-warn": Style(color=BACKGROUND, bgcolor=YELLOW, bold=True),
    "badge-bad": Style(color=BACKGROUND, bgcolor=RED, bold=True),
    "tab": Style(color=DIM, bgcolor=PANEL),
    "tab-on": Style(color=BACKGROUND, bgcolor=BLUE, bold=True),
    "match": Style(color=BACKGROUND, bgcolor=YELLOW),
    "match-on": Style(color=BACKGROUND, bgcolor=ORANGE, bold=True),
    "cursor": Style(bgcolor=CURSOR),
    "cursor-away": Style(bgcolor=PANEL),
    "mark": Style(bgcolor=MARK),
    "bar": Style(bgcolor=PANEL),
    "surface": Style(bgcolor=SURFACE),
}

RAMP = (GREEN, GREEN, "#b5cc66", YELLOW, ORANGE, RED)
"""From calm to full; graphs colour their rows by it."""

THEME = Theme(
    name="boxy",
    primary=BLUE,
    secondary=MAGENTA,
    accent=ACCENT,
    foreground=TEXT,
    background=BACKGROUND,
    surface=SURFACE,
    panel=PANEL,
    success=GREEN,
    warning=YELLOW,
    error=RED,
    dark=True,
    variables={
        "line": LINE,
        "dim": DIM,
        "faint": FAINT,
        "input-cursor-background": ACCENT,
        "input-selection-background": CURSOR,
        "border": LINE,
        "scrollbar": LINE,
        "scrollbar-hover": FAINT,
        "scrollbar-active": DIM,
        "scrollbar-background": SURFACE,
        "scrollbar-corner-color": SURFACE,
    },
)


@cache
def style(key: str) -> Style:
    """The style behind a key; several keys joined by spaces add up (`"cursor name"`)."""
    if " " in key:
        return Style.combine([style(part) for part in key.split()])
    return _STYLES[key]


@cache
def foreground(color: str) -> Style:
    """Plain text in one colour."""
    return Style.from_color(Color.parse(color))
