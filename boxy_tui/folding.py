"""Lines that are longer than the screen: broken between words.  Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from boxy_tui.format import Cell

_PIECES = re.compile(r"\s+|\S+")


def fold(cells: Sequence[Cell], width: int, indent: int = 0) -> list[list[Cell]]:
    """A line in as many lines of `width` as its words need; those after the first begin with
    `indent` blanks.  A word that is longer than a line is cut into pieces."""
    width = max(width, indent + 1)
    lines: list[list[Cell]] = [[]]
    used = start = 0

    def begin() -> int:
        lines.append([(" " * indent, "")] if indent else [])
        return indent

    for text, key in cells:
        for piece in _PIECES.findall(text):
            blank, rest = piece.isspace(), piece
            if used + cell_len(rest) > width and used > start:
                used = start = begin()
            if blank and used == start and len(lines) > 1:
                continue
            while used + cell_len(rest) > width:
                count = _fitting(rest, width - used)
                lines[-1].append((rest[:count], key))
                rest = rest[count:]
                used = start = begin()
            if rest:
                lines[-1].append((rest, key))
                used += cell_len(rest)
    return lines


def _fitting(text: str, width: int) -> int:
    """How many of the characters fit, at least one."""
    taken = 0
    for count, sign in enumerate(text):
        taken += cell_len(sign)
        if taken > width:
            return max(1, count)
    return len(text)
