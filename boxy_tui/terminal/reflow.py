"""Other widths: long lines are joined and split again, as tmux does.

A line that wrapped is one line; what was never written at a row's end does not count, nor what was
only erased there: a coloured remainder is cut, not wrapped.
"""

from __future__ import annotations

from collections.abc import Callable

from boxy_tui.terminal.cells import TAIL
from boxy_tui.terminal.rows import Row

Position = tuple[int, int]
"""Column, index of a row."""


def reflow(
    rows: list[Row],
    columns: int,
    cursor: Position,
    scrolled: int,
    is_background: Callable[[str], bool],
) -> tuple[list[Row], Position, int]:
    """The rows at a new width, where the cursor went, and how many rows have scrolled out.

    `is_background(unit)`: a blank in this style may be an erased cell.  `scrolled` rows may come
    back to the screen when it grows; what wraps anew among them belongs to them, nothing else does.
    """
    out: list[Row] = []
    cursor_x, cursor_row = cursor
    new_cursor = (0, 0)
    first = 0
    while first < len(rows):
        last = first
        while rows[last].wrapped and last + 1 < len(rows):
            if not (rows[last + 1].text or rows[last + 1].wrapped):
                rows[last].wrapped = False  # it went on in a row that is not there any more
                break
            last += 1
        start = len(out)
        line = rows[first : last + 1]
        if columns < len(line[-1].text):
            keep = columns if first == last else 0
            if cursor_row == last:  # blanks left of the cursor were typed
                keep = max(keep, min(cursor_x, len(line[-1].text)))
            _cut_erased(line[-1], keep, is_background)
        if len(line) == 1 and len(line[0].text) <= columns:
            line[0].runs = None
            out.append(line[0])
        else:
            out.extend(_split(line, columns))
        if first <= cursor_row <= last:
            new_cursor = _place(line, (cursor_x, cursor_row - first), out, start)
        scrolled = _scrolled(scrolled, first, start, len(out) - start - len(line))
        first = last + 1
    return out, new_cursor, scrolled


def _scrolled(scrolled: int, first: int, start: int, more: int) -> int:
    """After the line of the rows from `first` has come to lie from `start`, `more` rows longer."""
    if more > 0:
        return scrolled + more if first <= scrolled else scrolled
    if more < 0:
        return scrolled + more if scrolled > start - more else min(scrolled, start)
    return scrolled


def _cut_erased(row: Row, keep: int, is_background: Callable[[str], bool]) -> None:
    """Cut the erased cells at the row's end; down to `keep` cells where some of them may stay."""
    used = len(row.text.rstrip(" "))
    end = len(row.text)
    while end > used and is_background(row.style[end - 1]):
        end -= 1
    end = max(end, keep) if end <= keep else end
    row.text, row.style, row.runs = row.text[:end], row.style[:end], None


def _split(line: list[Row], columns: int) -> list[Row]:
    text = "".join([row.text for row in line])
    style = "".join([row.style for row in line])
    if columns < 2 and TAIL in text:
        style = "".join([unit for char, unit in zip(text, style, strict=True) if char != TAIL])
        text = text.replace(TAIL, "")
    out: list[Row] = []
    at = 0
    while at < len(text):
        end = at + columns
        if end < len(text) and text[end] == TAIL:
            end -= 1
        out.append(Row(text[at:end], style[at:end], True))
        at = end
    out = out or [Row()]
    out[-1].wrapped = line[-1].wrapped
    return out


def _place(line: list[Row], cursor: Position, out: list[Row], start: int) -> Position:
    """Where the cursor of an old line lies in the new rows out[start:]."""
    x, row = cursor
    if x >= len(line[row].text):
        return len(out[-1].text), len(out) - 1
    offset = sum(len(r.text) for r in line[:row]) + x
    at = start
    while at < len(out) - 1 and offset >= len(out[at].text):
        offset -= len(out[at].text)
        at += 1
    return offset, at
