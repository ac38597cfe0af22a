"""The terminal pane: a widget on the emulator.  Keys go out as bytes, bytes come in as a screen.

Constraint: the hottest widget of the console.  `feed` never parses; the common frame clock calls
`parse_some`, only rows that changed are repainted, and a program's synchronised update (mode 2026)
is shown whole.  It knows no network: a subclass gives `send`, `resized` and `pause`.  Textual calls
an `on_…` of every class of a widget, so what a subclass does otherwise are methods without `on_`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.filter import ANSIToTruecolor, DimFilter, LineFilter
from textual.geometry import Offset, Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from boxy_tui.palette import colour, style
from boxy_tui.panes.backlog import Backlog
from boxy_tui.panes.scheduler import BUDGET
from boxy_tui.panes.view import View
from boxy_tui.terminal.dress import Dress, over
from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.find import Point
from boxy_tui.terminal.keys import (
    WHEEL_DOWN,
    WHEEL_LEFT,
    WHEEL_RIGHT,
    WHEEL_UP,
    encode_focus,
    encode_key,
    encode_mouse,
    encode_paste,
)
from boxy_tui.terminal.owncursor import OwnCursor, Place

if TYPE_CHECKING:
    from boxy_tui.panes.scheduler import Scheduler

HISTORY = 10_000
"""Rows of scrollback, about 350 bytes each at 80 columns."""
HOLD = 0.15
"""Seconds that a synchronised update may hold the repaint."""
FLOOD = 16 << 10
"""Bytes parsed at once that are a flood."""
FLOOD_FRAME = 1 / 30
"""Seconds between two frames of it: drawing costs more than parsing, and keys wait for both."""
WHEEL_ROWS = {WHEEL_UP: -3, WHEEL_DOWN: 3}
SMALLEST, LARGEST = 16 << 10, 1 << 20
"""Bounds of what is parsed between two looks at the clock, in bytes."""
REVERSE = Style(reverse=True)
AWAY = Style(underline=True)
SELECTED = Style(reverse=True)


class TerminalPane(Widget, can_focus=True):
    """A screen with a program behind it; see the module's docstring."""

    DEFAULT_CSS: ClassVar[str] = "TerminalPane { width: 1fr; height: 1fr; }"

    class Changed(Message):
        """Title, scroll position or state changed: whoever shows them should look again."""

        def __init__(self, pane: TerminalPane) -> None:
            super().__init__()
            self.pane = pane

        def can_replace(self, message: Message) -> bool:
            """Many in a row are one."""
            return isinstance(message, TerminalPane.Changed) and message.pane is self.pane

    def __init__(self, scheduler: Scheduler, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.auto_links = False
        self.scheduled = False
        self.replaying = False
        self.offered = ""
        """What the program would put on the clipboard (OSC 52), if the user lets it."""
        self.emulator = self._new_emulator(80, 24)
        self.view = View(self.emulator)
        self._scheduler = scheduler
        self._backlog = Backlog()
        self._strips: list[Strip | None] = []
        self._cursor: tuple[int, int] | None = None
        self._held_since = 0.0
        self._painted = 0.0
        self._paint_timer: Timer | None = None
        self._title = ""
        self._buttons = 0
        self._piece = SMALLEST
        self._drawn = Size(0, 0)
        self._dress = Dress()

    def _new_emulator(self, columns: int, lines: int) -> Emulator:
        term = Emulator(
            columns,
            lines,
            history=HISTORY,
            reply=self._reply,
            on_clipboard=self._clipboard,
            on_bell=self._bell,
        )
        text, ground = colour("text"), colour("background")
        term.screen.colors = Color.parse(text).rgb, Color.parse(ground).rgb
        return term

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, but for those that would turn palette colours and dim text into true colours:
        a program's colours are those of the user's own terminal."""
        return [
            line_filter
            for line_filter in super().get_line_filters()
            if not isinstance(line_filter, ANSIToTruecolor | DimFilter)
        ]

    # ---------------------------------------------------------------- for subclasses

    def send(self, data: bytes) -> None:
        """Bytes for the program."""

    def resized(self, rows: int, columns: int) -> None:
        """The pane has another size."""

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the program."""

    # ---------------------------------------------------------------- bytes in

    @property
    def urgent(self) -> bool:
        """Whether the frame clock should serve this pane first."""
        return self.has_focus

    @property
    def backlog(self) -> int:
        """Bytes received and not parsed yet."""
        return self._backlog.size

    def feed(self, data: bytes) -> None:
        """Take what the program wrote; it is parsed in one of the next frames."""
        if self._backlog.add(data):
            self.pause(True)
        self._scheduler.add(self, self._backlog.size)

    def mark(self, deed: Callable[[], None]) -> None:
        """Do this when everything that was fed so far is on the screen."""
        self._backlog.mark(deed)
        self._scheduler.add(self, self._backlog.size)

    def parse_some(self, deadline: float) -> bool:
        """Parse until the deadline, at least one piece.  True when something is left."""
        backlog = self._backlog
        parsed = 0
        while (item := backlog.take(self._piece)) is not None:
            if isinstance(item, bytes):
                self._parse(item)
                parsed += len(item)
            else:
                item()
            if perf_counter() > deadline:
                break
        if backlog.drained():
            self.pause(False)
        self._paint_in_time(parsed)
        return bool(backlog)

    def _paint_in_time(self, parsed: int) -> None:
        """Show what was parsed; of a flood only so many frames a second, the last one always."""
        wait = self._painted + FLOOD_FRAME - perf_counter()
        if parsed < FLOOD or wait <= 0:
            self._after_parsing()
        elif self._paint_timer is None:
            self._paint_timer = self.set_timer(wait, self._after_parsing)

    def _parse(self, data: bytes) -> None:
        """Feed the emulator, and learn how much it takes in a frame: log lines go at twenty times
        the speed of a full-screen program, and a flood is only seen in large pieces."""
        start = perf_counter()
        self.emulator.feed(data)
        took = max(perf_counter() - start, 1e-5)
        if len(data) >= SMALLEST:
            fitting = int(len(data) * BUDGET / took)
            self._piece = max(SMALLEST, min(LARGEST, fitting, 4 * self._piece))

    def _after_parsing(self) -> None:
        now = self._painted = perf_counter()
        if self._paint_timer is not None:
            self._paint_timer.stop()
            self._paint_timer = None
        if self.emulator.synchronized:
            self._held_since = self._held_since or now
            if now - self._held_since < HOLD:
                self.set_timer(HOLD, self._after_parsing)
                return
        self._held_since = 0.0
        self._repaint()
        if self.emulator.title != self._title:
            self._title = self.emulator.title
            self.post_message(self.Changed(self))

    def restart(self, columns: int = 0, lines: int = 0) -> None:
        """A fresh screen (what comes next is a replay of the old one)."""
        old = self.emulator
        self.emulator = self._new_emulator(columns or old.columns, lines or old.lines)
        self.view = View(self.emulator)
        self.repaint_all()

    def resize_emulator(self, columns: int, lines: int) -> None:
        """Give the screen the size that the session has; it may differ from the widget's."""
        if (columns, lines) != (self.emulator.columns, self.emulator.lines):
            self.emulator.resize(columns, lines)
            self.view.follow()
            self.repaint_all()

    def _reply(self, data: bytes) -> None:
        if not self.replaying:
            self.send(data)

    def _clipboard(self, _selection: str, text: str | None) -> None:
        """OSC 52. Nothing is done unasked: see `offered`; a wish to read the clipboard is refused
        without an answer, as terminals do."""
        if text and not self.replaying:
            self.offered = text
            self.post_message(self.Changed(self))

    def take_offer(self) -> int:
        """Put on the user's clipboard what the program offers; how many characters."""
        text, self.offered = self.offered, ""
        if text:
            self.app.copy_to_clipboard(text)
        self.post_message(self.Changed(self))
        return len(text)

    def _bell(self) -> None:
        if not self.replaying and self.has_focus:
            self.app.bell()

    # ---------------------------------------------------------------- painting

    def _repaint(self) -> None:
        term = self.emulator
        dirty = set(term.take_dirty())
        self._move_cursor(dirty)
        if not dirty or not self.view.live:
            return
        offset = self._offset()
        if len(dirty) > term.lines // 2 or offset:
            self.repaint_all()
            return
        width = self.size.width
        for y in dirty:
            if y < len(self._strips):
                self._strips[y] = None
        self.refresh(*(Region(0, y, width, 1) for y in dirty))

    def _move_cursor(self, dirty: set[int]) -> None:
        """Where the cursor is a cell that we draw, the rows that it left and came to are dirty."""
        cursor, before = self.emulator.cursor, self._cursor
        at = (min(cursor.x, self.emulator.columns - 1), cursor.y)
        self._cursor = None if cursor.hidden else at
        own = self._own_cursor()
        if own is None:
            if self._cursor != before:
                dirty.update(place[1] for place in (self._cursor, before) if place is not None)
        elif dirty:
            own.lead(self.cursor_place())
        else:
            own.follow()

    def repaint_all(self) -> None:
        """Draw every row anew."""
        self._strips = [None] * self.size.height
        self.refresh()

    def _offset(self) -> int:
        """The screen's row on the widget's first line; not 0 if the session is taller than us."""
        height = self._drawn.height
        surplus = self.emulator.lines - height
        if surplus <= 0:
            return 0
        return max(0, min(surplus, self.emulator.cursor.y - height + 1))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Rows straight from the cache where CSS has nothing to add to them, as in a pane alone:
        Textual's way by `StylesCache` costs as much as all the rest of a frame."""
        size = self._drawn = self.size  # which Textual finds by a walk through its tree
        self._dress.colours = not self.app.no_color
        if self._dress.wear(self.rich_style):
            self._strips = [None] * size.height
        whole = crop.x == 0 and crop.width == size.width and size == self.outer_size
        if not whole or self.opacity != 1.0 or self.get_line_filters():
            return super().render_lines(crop)
        return [self.render_line(y) for y in crop.line_range]

    def render_line(self, y: int) -> Strip:
        """Textual's Line API: one row, from the cache if it has not changed."""
        if y < len(self._strips) and (known := self._strips[y]) is not None:
            return known
        strip = self._row(y)
        if y < len(self._strips):
            self._strips[y] = strip
        return strip

    def _row(self, y: int) -> Strip:
        term, width = self.emulator, self._drawn.width
        row = y + self._offset()
        if row >= term.lines:
            return Strip([Segment("·" * width, self._dress.base + style("faint"))], width)
        line = self.view.first_shown() + row
        segments = term.segments(row) if self.view.live else term.line_segments(line)
        strip = self._dress.strip(segments, min(width, term.columns))
        if self.view.looks:
            strip = self._marked(strip, line)
        if self.view.live and self._cursor is not None and self._cursor[1] == row:
            strip = self._with_cursor(strip, self._cursor[0])
        if term.columns < width:
            blank = Segment("·" * (width - term.columns), self._dress.base + style("faint"))
            return Strip([*strip, blank], width)
        return strip

    def _marked(self, strip: Strip, line: int) -> Strip:
        """With what was searched for and selected."""
        for start, end, present in self.view.matches_on(line):
            strip = over(strip, start, end, style("match-on" if present else "match"))
        if (chosen := self.view.selection_on(line)) is not None:
            strip = over(strip, *chosen, SELECTED)
        caret = self.view.caret
        if caret is not None and caret.line == line:
            strip = over(strip, caret.column, caret.column + 1, style("match-on"))
        return strip

    def _own_cursor(self) -> OwnCursor | None:
        """The terminal's own cursor, if it stands for the program's."""
        own: OwnCursor | None = getattr(self.app, "own_cursor", None)
        return own if own is not None and self.has_focus and own.usable else None

    def cursor_place(self) -> Place | None:
        """See `owncursor.HasCursor`."""
        if self._cursor is None or not self.view.live:
            return None
        x, y = self._cursor[0], self._cursor[1] - self._offset()
        if not (0 <= x < self._drawn.width and 0 <= y < self._drawn.height):
            return None
        term = self.emulator
        style = term.screen.cursor_style
        return Place(self.region.offset + Offset(x, y), style, style == 0 and term.cursor_blinks)

    def _with_cursor(self, strip: Strip, x: int) -> Strip:
        if not self.has_focus:
            return over(strip, x, x + 1, AWAY)
        if self._own_cursor() is not None:
            return strip
        shape = self.emulator.cursor_shape
        return over(strip, x, x + 1, AWAY if shape == "underline" else REVERSE)

    # ---------------------------------------------------------------- size and focus

    def on_resize(self) -> None:
        """The program follows the pane's size."""
        width, height = self._drawn = self.size
        if width and height:
            self.fit(width, height)
            self.repaint_all()

    def fit(self, columns: int, lines: int) -> None:
        """The widget has that size now."""
        self.resize_emulator(columns, lines)
        self.resized(lines, columns)

    def on_focus(self) -> None:
        """Tell the program, if it asked to know, and show the cursor."""
        self._focus_moved(True)

    def on_blur(self) -> None:
        """The same, the other way round."""
        self._focus_moved(False)

    def _focus_moved(self, focused: bool) -> None:
        if data := encode_focus(focused, self.emulator.modes):
            self.send(data)
        self.repaint_all()
        self.post_message(self.Changed(self))

    # ---------------------------------------------------------------- keys and paste

    def type_key(self, event: events.Key) -> None:
        """Send a key to the program; looking back ends."""
        data = encode_key(event.key, event.character, self.emulator.modes)
        if data:
            self.type_bytes(data)

    def type_bytes(self, data: bytes) -> None:
        """Send what was typed or pasted."""
        if not self.view.live:
            self.leave_view()
        self.send(data)

    def on_paste(self, event: events.Paste) -> None:
        """A paste goes to the program in brackets, if it knows them."""
        event.stop()
        self.type_bytes(encode_paste(event.text, self.emulator.modes))

    # ---------------------------------------------------------------- looking back

    def scroll_view(self, rows: int) -> None:
        """Look further back (negative) or forward."""
        self.view.scroll(rows)
        self.view_changed()

    def leave_view(self) -> None:
        """Show the screen again."""
        self.view.follow()
        self.view_changed()

    def view_changed(self) -> None:
        """Draw the view, and have its place shown."""
        self.repaint_all()
        self.post_message(self.Changed(self))

    # ---------------------------------------------------------------- mouse

    def _mouse(self, kind: str, button: int, event: events.MouseEvent) -> bool:
        modes = self.emulator.modes
        if event.shift or not (modes.mouse or button >= WHEEL_UP):
            return False
        held = 2 * event.meta + 4 * event.ctrl
        y = event.y + self._offset()
        data = encode_mouse(kind, button, event.x, y, modes, modifiers=held)
        if data and self.view.live:
            self.send(data)
        return bool(data) or bool(modes.mouse)

    def _point(self, event: events.MouseEvent) -> Point:
        column = max(0, min(event.x, self.emulator.columns - 1))
        return Point(self.view.first_shown() + self._offset() + event.y, column)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """For the program if it wants the mouse (not with shift); else a selection begins."""
        event.stop()
        self.focus()
        self.capture_mouse()
        self._buttons = event.button
        if not self._mouse("press", event.button - 1, event) and event.button == 1:
            self.view.select(self._point(event))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Dragging, or bare motion for programs that asked for it."""
        if self.view.anchor is not None:
            self.view.extend(self._point(event))
            self.repaint_all()
        else:
            self._mouse("move", (self._buttons or 4) - 1, event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """The end of a drag: what was selected is copied."""
        event.stop()
        self.release_mouse()
        button, self._buttons = self._buttons, 0
        if self.view.anchor is None:
            self._mouse("release", button - 1, event)
            return
        if text := self.view.selected():
            self.app.copy_to_clipboard(text)
            self.notify(f"{len(text)} characters copied", timeout=2)
        self.repaint_all()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.turn_wheel(WHEEL_UP, event)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel, the other way."""
        event.stop()
        self.turn_wheel(WHEEL_DOWN, event)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """The wheel, tilted."""
        event.stop()
        self.turn_wheel(WHEEL_LEFT, event)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """The wheel, tilted the other way."""
        event.stop()
        self.turn_wheel(WHEEL_RIGHT, event)

    def turn_wheel(self, way: int, event: events.MouseEvent) -> None:
        """For the program, or to look back."""
        if self.view.live and self._mouse("press", way, event):
            return
        if way in WHEEL_ROWS:
            self.scroll_view(WHEEL_ROWS[way])
