"""The terminal emulator: bytes in, a screen out. Pure: no widget, no clock, no file, no thread.

    term = Emulator(80, 24, reply=send_to_program)
    term.feed(b"...")                    # any bytes, any cut; never raises
    for y in term.take_dirty():          # rows that look different since the last call
        draw(y, term.segments(y))        # list[rich.segment.Segment], cached with the row
    term.cursor.x, term.cursor.y, term.cursor.hidden, term.cursor_shape
    term.modes                           # what the keyboard and mouse encoders need (keys.Modes)
    term.synchronized                    # hold the repaint while true (at most 150 ms)
    term.resize(cols, rows)

Lines are numbered: `term.first_line` is the oldest line of the scrollback, `term.base_line` the top
row of the screen, `term.end_line` one past the last; numbers stay with their rows as they scroll (a
resize changes them).  `line_segments(n)`, `line_text(n)`, `search(...)` and `selection(...)` take
or give them.
Looking at the scrollback parses what was set aside in it (`flood.py`); set `term.watching` while a
view is scrolled back or a selection is open, so that nothing is set aside and numbers stay exact.

The reference is tmux, and xterm where tmux is silent.  `screen` is a `pyte.Screen`, `parser` a
`pyte.ByteStream`; see `grid.py` and `parser.py` for why they replace so much of pyte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pyte.screens import Cursor

from boxy_tui.terminal import flood, paint
from boxy_tui.terminal import modes as m
from boxy_tui.terminal.cells import Color, Style
from boxy_tui.terminal.find import Match, Point, find, selected_text
from boxy_tui.terminal.keys import Modes
from boxy_tui.terminal.parser import Parser
from boxy_tui.terminal.rows import Row
from boxy_tui.terminal.screen import MAX_COLUMNS, MAX_LINES, Screen
from boxy_tui.terminal.snapshot import snapshot

if TYPE_CHECKING:
    from rich.segment import Segment

HISTORY = 5000
"""Rows of scrollback kept, about 350 bytes each at 80 columns."""

SHAPES = ("block", "block", "block", "underline", "underline", "bar", "bar")


class Emulator:
    """A terminal; see the module's docstring.

    `reply` gets the bytes that the terminal answers to the program.  `on_clipboard(selection,
    text)` is asked when the program wants to set the clipboard, or to read it (text is None);
    `on_bell` is called for BEL.  All are called from within `feed`.
    """

    def __init__(
        self,
        columns: int,
        lines: int,
        *,
        history: int = HISTORY,
        reply: Callable[[bytes], None] | None = None,
        on_clipboard: Callable[[str, str | None], None] | None = None,
        on_bell: Callable[[], None] | None = None,
    ) -> None:
        columns = max(1, min(columns, MAX_COLUMNS))
        lines = max(1, min(lines, MAX_LINES))
        self.screen = Screen(columns, lines, history)
        self.screen.on_clipboard = on_clipboard
        self.screen.on_bell = on_bell
        if reply is not None:
            answer = reply
            self.screen.write = lambda text: answer(text.encode("utf-8", "replace"))
        self.parser = Parser(self.screen)
        self.watching = False
        self._seen: list[object] = []

    # -- in ----------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what the program wrote."""
        if len(data) >= flood.SMALLEST and not self.watching:
            data = flood.skip(self.screen, self.parser, data)
        self.parser.feed(data)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size in cells."""
        self.screen.resize(max(1, lines), max(1, columns))
        self._seen = []

    # -- the screen --------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        """Width in cells."""
        return self.screen.columns

    @property
    def lines(self) -> int:
        """Height in cells."""
        return self.screen.lines

    @property
    def display(self) -> list[str]:
        """The rows as plain text."""
        return self.screen.display

    @property
    def cursor(self) -> Cursor:
        """`x` (equal to `columns` in a pending wrap), `y`, `hidden`."""
        return self.screen.cursor

    @property
    def cursor_shape(self) -> str:
        """One of "block", "underline" and "bar"."""
        return SHAPES[self.screen.cursor_style]

    @property
    def cursor_blinks(self) -> bool:
        """Whether the program asked for a blinking cursor."""
        style = self.screen.cursor_style
        return style % 2 == 1 or (style == 0 and self.screen.has(m.BLINK))

    @property
    def title(self) -> str:
        """The window title that the program set."""
        return self.screen.title

    @property
    def alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self.screen.alternate

    @property
    def synchronized(self) -> bool:
        """Whether the program is in the midst of a frame (mode 2026)."""
        return self.screen.has(m.SYNCHRONIZED)

    @property
    def modes(self) -> Modes:
        """The modes that decide what keys, mouse, paste and focus send."""
        screen = self.screen
        mouse = next((mode for mode in reversed(m.MOUSE) if screen.has(mode)), 0)
        return Modes(
            application_cursor=screen.has(m.DECCKM),
            application_keypad=screen.has(m.DECNKM),
            bracketed_paste=screen.has(m.PASTE),
            focus=screen.has(m.FOCUS),
            mouse=mouse,
            mouse_sgr=screen.has(m.MOUSE_SGR),
            mouse_urxvt=screen.has(m.MOUSE_URXVT),
            mouse_utf8=screen.has(m.MOUSE_UTF8),
            alternate_scroll=screen.alternate and screen.has(m.ALTERNATE_SCROLL),
            newline=m.LNM in screen.mode,
            kitty=screen.kitty,
            modify_other_keys=screen.modify_other_keys,
        )

    def cells(self, y: int) -> Iterator[tuple[str, Color, Color, tuple[str, ...]]]:
        """Each cell of a row: text (empty for a wide one's right half), colours, attributes."""
        for text, style in self.screen.row_cells(self.screen.grid[y]):
            yield text, style.fg, style.bg, style.names()

    # -- painting ----------------------------------------------------------------------------------

    def take_dirty(self) -> list[int]:
        """The rows that look different since the last call (the cursor is the caller's affair)."""
        seen = self._seen
        now: list[object] = [self._segments(row) for row in self.screen.grid]
        self._seen = now
        if len(seen) != len(now):
            return list(range(len(now)))
        return [y for y, (a, b) in enumerate(zip(seen, now, strict=True)) if a is not b and a != b]

    def segments(self, y: int) -> list[Segment]:
        """A row of the screen as it looks; blanks at its end may be missing."""
        return self._segments(self.screen.grid[y])

    def runs(self, y: int) -> list[tuple[str, Style]]:
        """A row of the screen as text and style, without rich."""
        return paint.runs(self.screen, self.screen.grid[y])

    def _segments(self, row: Row) -> list[Segment]:
        found = row.runs
        if found is None:
            found = row.runs = paint.segments(self.screen, row)
        assert isinstance(found, list)
        return found

    # -- lines, with the scrollback ----------------------------------------------------------------

    @property
    def history_size(self) -> int:
        """Rows of scrollback."""
        return len(self.screen.history)

    @property
    def first_line(self) -> int:
        """The number of the oldest line."""
        return self.base_line - self.history_size

    @property
    def base_line(self) -> int:
        """The number of the screen's top row."""
        return self.screen.history.total

    @property
    def end_line(self) -> int:
        """One past the number of the screen's last row."""
        return self.base_line + self.screen.lines

    def _line(self, number: int) -> Row | None:
        index = number - self.base_line
        if 0 <= index < self.screen.lines:
            return self.screen.grid[index]
        if -self.history_size <= index < 0:
            return self.screen.history[index]
        return None

    def line_segments(self, number: int) -> list[Segment]:
        """A line as it looks; empty when there is none of that number (any more)."""
        row = self._line(number)
        return [] if row is None else self._segments(row)

    def line_text(self, number: int) -> str:
        """A line's text without the blanks at its end."""
        row = self._line(number)
        return "" if row is None else self.screen.row_text(row).rstrip()

    def history_lines(self) -> list[str]:
        """The scrollback as text, oldest first."""
        return [self.screen.row_text(row) for row in self.screen.history]

    def search(self, text: str, *, regex: bool = False, ignore_case: bool = True) -> list[Match]:
        """Where `text` occurs, oldest first, across wrapped lines.

        Raises `re.error` for a regular expression that is none.
        """
        first = self.first_line
        rows = [*self.screen.history, *self.screen.grid]
        return find(self.screen, rows, first, text, regex=regex, ignore_case=ignore_case)

    def selection(self, start: Point, end: Point, *, block: bool = False) -> str:
        """The text from one (line, column) to another, both included, in either order.

        Wrapped lines come out as one; `block` takes a rectangle.
        """
        return selected_text(self.screen, self._line, start, end, block)

    # -- state -------------------------------------------------------------------------------------

    def snapshot(self, history: int = 0) -> bytes:
        """Bytes that draw this very state on a fresh emulator of the same size.

        What the parser has half read is not in it: see `unfinished`.
        """
        return snapshot(self.screen, history)

    @property
    def unfinished(self) -> int | None:
        """Bytes fed last that have no effect yet (a sequence cut in two); None: not known."""
        return self.parser.unfinished


def make_screen(cols: int, rows: int) -> Emulator:
    """An emulator of `cols` by `rows` cells, with no one to answer to."""
    return Emulator(cols, rows)
