"""Rows as rich segments: the only place where the emulator meets rich."""

from __future__ import annotations

import re

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style as RichStyle

from boxy_tui.terminal import modes as m
from boxy_tui.terminal.cells import PLAIN, Color, Style
from boxy_tui.terminal.rows import Row
from boxy_tui.terminal.screen import Screen
from boxy_tui.terminal.width import NARROW_BASES

_narrow_for_rich = re.compile(
    f"[{''.join(sorted(NARROW_BASES))}](?!\ufe0f)[\U0001f3fb-\U0001f3ff]?"
).sub
_same = re.compile(r"(.)\1*+", re.DOTALL).finditer
_ROOM = 20_000
_rich_styles: dict[Style, RichStyle] = {}


def runs(screen: Screen, row: Row) -> list[tuple[str, Style]]:
    """Stretches of one style."""
    text, clusters, styles = row.text, screen.clusters, screen.styles.styles
    simple = text.isascii()
    out = []
    for match in _same(row.style):
        part = text[match.start() : match.end()]
        out.append((part if simple else clusters.plain(part), styles[ord(match[1])]))
    return out


def segments(screen: Screen, row: Row) -> list[Segment]:
    """The row as it looks, in a reversed screen (DECSCNM) reversed to its edge."""
    parts = runs(screen, row)
    if screen.has(m.DECSCNM):
        parts.append((" " * (screen.columns - len(row.text)), PLAIN))
        parts = [(text, style._replace(reverse=not style.reverse)) for text, style in parts if text]
    return [Segment(_as_wide(text), rich_style(style)) for text, style in parts]


def _as_wide(text: str) -> str:
    """The text with a blank after what is two cells here and one for rich and most terminals."""
    return text if text.isascii() else _narrow_for_rich(r"\g<0> ", text)


def rich_style(style: Style) -> RichStyle:
    """The rich style for a cell's style. Kinds of underline all become one: rich knows no other."""
    found = _rich_styles.get(style)
    if found is None:
        if len(_rich_styles) > _ROOM:
            _rich_styles.clear()
        found = _rich_styles[style] = RichStyle(
            color=_rich_color(style.fg),
            bgcolor=_rich_color(style.bg),
            bold=style.bold or None,
            dim=style.dim or None,
            italic=style.italic or None,
            underline=style.underline in (1, 3, 4, 5) or None,
            underline2=style.underline == 2 or None,
            blink=style.blink or None,
            reverse=style.reverse or None,
            conceal=style.hidden or None,
            strike=style.strike or None,
            overline=style.overline or None,
            link=style.link,
        )
    return found


def _rich_color(color: Color) -> RichColor | None:
    if color is None:
        return None
    return RichColor.from_ansi(color) if isinstance(color, int) else RichColor.parse(color)
