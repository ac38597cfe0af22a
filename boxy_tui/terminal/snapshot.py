"""The present state of a screen as bytes that draw it again on a new one.

A new viewer of a running program gets this instead of all that the program ever wrote: a few
kilobytes, whatever has gone before.  Feed it to a fresh terminal of the same size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from boxy_tui.terminal.cells import TAIL, Style
from boxy_tui.terminal.modes import ALTERNATE_SCROLL, BRITISH, DECTCEM, GRAPHICS, PRIVATE, Saved
from boxy_tui.terminal.rows import Row
from boxy_tui.terminal.screen import Screen
from boxy_tui.terminal.sgr import sgr_of
from boxy_tui.terminal.width import ZWJ, is_modifier, is_regional

_runs = re.compile(r"(.)\1*+", re.DOTALL).finditer
_LATE = (3, 6, 7, 25)
"""Private modes with an effect of their own, which are set apart from the rest."""


def snapshot(screen: Screen, history: int = 0) -> bytes:
    """Bytes that draw the screen, with its modes, and before it `history` rows of scrollback."""
    return "".join(_parts(screen, history)).encode("utf-8", "replace")


def _parts(screen: Screen, history: int) -> Iterator[str]:
    if screen.title:
        yield f"\x1b]2;{screen.title}\x1b\\"
    yield "\x1b[m"
    above = list(screen.history)[-history:] if history else []
    if screen.alternate:
        columns, lines = screen.primary_size
        primary = screen.primary if (columns, lines) == (screen.columns, screen.lines) else []
        yield from _rows(screen, [*above, *primary])
        yield from _cursors(screen, screen.alternate_cursor, False)
        yield "\x1b[?47h\x1b[m\x1b[H"
        yield from _keyboard(screen, False)
        yield from _rows(screen, screen.grid)
    else:
        yield from _rows(screen, [*above, *screen.grid])
    yield from _cursors(screen, None, screen.alternate)
    yield from _modes(screen)
    yield from _keyboard(screen, screen.alternate)
    yield from _place(screen)


def _rows(screen: Screen, rows: list[Row]) -> Iterator[str]:
    """The rows one under the other, wrapping where they wrapped."""
    joined = False
    for i, row in enumerate(rows):
        if i and not joined:
            yield "\x1b[m\r\n"
        yield from _row(screen, row)
        follows = rows[i + 1].text if i + 1 < len(rows) else ""
        full = len(row.text) + (follows[1:2] == TAIL) >= screen.columns
        joined = row.wrapped and full and bool(follows) and not _tangled(screen, rows[i + 1])
        joined = joined and not _tangled(screen, row)
    yield "\x1b[m"


def _tangled(screen: Screen, row: Row) -> bool:
    """Whether neighbouring cells would join if drawn from left to right."""
    text = screen.row_text(row)
    return not text.isascii() and any(c == ZWJ or is_regional(c) or is_modifier(c) for c in text)


def _row(screen: Screen, row: Row) -> Iterator[str]:
    if _tangled(screen, row):
        yield from _backwards(screen, row)
        return
    for match in _runs(row.style):
        yield _pen(screen.styles.style(match[1]))
        yield screen.clusters.plain(row.text[match.start() : match.end()])


def _backwards(screen: Screen, row: Row) -> Iterator[str]:
    for x in range(len(row.text) - 1, -1, -1):
        if row.text[x] != TAIL:
            yield f"\x1b[{x + 1}G{_pen(screen.styles.style(row.style[x]))}"
            yield screen.clusters.text(row.text[x])


def _pen(style: Style) -> str:
    out = sgr_of(style)
    out += f"\x1b]8;;{style.link or ''}\x1b\\"
    return out + f'\x1b[{int(style.protected)}"q'


def _cursors(screen: Screen, at_entry: Saved | None, alternate: bool) -> Iterator[str]:
    """What DECSC holds for a screen, and where the cursor stood when the other was entered."""
    saved = screen.saved(alternate)
    if saved is not None:
        yield from _state(screen, saved)
        yield "\x1b7"
    if at_entry is not None:
        yield from _state(screen, at_entry)


def _state(screen: Screen, state: Saved) -> Iterator[str]:
    yield from _charsets(state)
    yield f"\x1b[?6l\x1b[{min(state.y, screen.lines - 1) + 1};{state.x + 1}H"
    if state.x >= screen.columns:
        yield from _pend(screen, min(state.y, screen.lines - 1))
    if state.origin:
        yield f"\x1b[?6h\x1b[{state.y + 1};{state.x + 1}H"
    yield _pen(state.pen.style)


def _charsets(state: Saved) -> Iterator[str]:
    names = {id(GRAPHICS): "0", id(BRITISH): "A"}
    for slot, table in zip("()*+", state.sets, strict=True):
        yield f"\x1b{slot}{names.get(id(table), 'B')}"
    yield ("\x0f", "\x0e", "\x1bn", "\x1bo")[state.charset]


def _modes(screen: Screen) -> Iterator[str]:
    default = set(range(8, screen.columns, 8))
    if screen.tabstops != default:
        yield "\x1b[3g"
        yield from (f"\x1b[{x + 1}G\x1bH" for x in sorted(screen.tabstops))
    private = [m >> PRIVATE for m in screen.mode if m >> PRIVATE and m & 31 == 0]
    plain = [m for m in screen.mode if m < 1 << PRIVATE]
    if ALTERNATE_SCROLL not in private:
        yield f"\x1b[?{ALTERNATE_SCROLL}l"
    for number in sorted(private):
        if number not in _LATE:
            yield f"\x1b[?{number}h"
    for number in sorted(plain):
        yield f"\x1b[{number}h"
    if screen.margins is not None:
        yield f"\x1b[{screen.top + 1};{screen.bottom + 1}r"
    if screen.cursor_style:
        yield f"\x1b[{screen.cursor_style} q"
    if screen.modify_other_keys:
        yield f"\x1b[>4;{screen.modify_other_keys}m"


def _keyboard(screen: Screen, alternate: bool) -> Iterator[str]:
    for flags in screen.keyboard_stack(alternate):
        yield f"\x1b[>{flags}u"


def _place(screen: Screen) -> Iterator[str]:
    """The cursor, last: most of what goes before moves it."""
    x, y = screen.cursor.x, screen.cursor.y
    state = screen.state()
    yield f"\x1b[{y + 1};{x + 1}H"
    if x >= screen.columns:
        yield from _pend(screen, y)
    if screen.origin:
        yield f"\x1b[?6h\x1b[{y - screen.top + 1};{x + 1}H"
    yield _pen(state.pen.style)
    yield from _charsets(state)
    if not screen.autowrap:
        yield "\x1b[?7l"
    if DECTCEM << PRIVATE not in screen.mode:
        yield "\x1b[?25l"


def _pend(screen: Screen, y: int) -> Iterator[str]:
    """Draw the row's last cell again, so that the next character wraps."""
    row = screen.grid[y]
    at = screen.columns - 1
    cell, unit = " ", "\0"
    if len(row.text) > at:
        at -= row.text[at] == TAIL and at > 0
        cell, unit = row.text[at], row.style[at]
    yield f"\x1b(B\x0f\x1b[4l\x1b[{y + 1};{at + 1}H{_pen(screen.styles.style(unit))}"
    yield screen.clusters.text(cell)

