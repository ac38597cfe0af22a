"""Lines of text to read: logs and inspect.  Follow, search, scroll, wrap-free.

Constraint: up to 20,000 lines, of which only the visible ones are ever styled; text has passed
`escape` before it comes here.  Colours that a program wrote (SGR) are kept, nothing else is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import ClassVar

from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from boxy_tui.palette import style
from boxy_tui.terminal.dress import without_palette
from boxy_tui.widgets.lines import ELLIPSIS

KEPT = 20_000
SIDE = 8


class Line:
    """One line: `head` a dim part before it (a time), `text` with SGR sequences at most."""

    __slots__ = ("head", "plain", "rich", "text", "tone")

    def __init__(self, text: str, head: str = "", tone: str = "text") -> None:
        self.text = text
        self.head = head
        self.tone = tone
        self.rich: Text | None = None
        self.plain = Text.from_ansi(text).plain if "\x1b" in text else text

    def styled(self) -> Text:
        """The text with its colours, made when first seen."""
        if self.rich is None:
            if "\x1b" in self.text:
                self.rich = next(iter(AnsiDecoder().decode(self.text)), Text())
            else:
                self.rich = Text(self.text)
        return self.rich


class TextView(Widget, can_focus=True):
    """Shows lines; follows the end while `following`."""

    DEFAULT_CSS: ClassVar[str] = "TextView { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
        Binding("pageup,b", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("g,home", "top", "first"),
        Binding("G,end", "bottom", "last"),
        Binding("left", "side(-1)", "left"),
        Binding("right", "side(1)", "right"),
    ]

    class Moved(Message):
        """The place, the search or the following changed."""

    def __init__(self, *, following: bool, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.auto_links = False
        self.lines: deque[Line] = deque(maxlen=KEPT)
        self.following = following
        self.heads = False
        self.needle = ""
        self.hits: list[int] = []
        self.at = -1
        self._top = 0
        self._left = 0

    # ---------------------------------------------------------------- text comes

    def add(self, lines: Iterable[Line]) -> None:
        """Add lines at the end; what is beyond 20,000 falls off the front."""
        before = len(self.lines)
        added = 0
        for line in lines:
            self.lines.append(line)
            added += 1
        lost = before + added - len(self.lines)
        if lost:
            self._top = max(0, self._top - lost)
        if self.needle:
            self._find()
        if self.following:
            self._top = self._last_top()
        self.refresh()
        self.post_message(self.Moved())

    def replace(self, lines: Iterable[Line]) -> None:
        """Show these lines instead."""
        self.lines.clear()
        self._top = 0
        self.add(lines)

    def renew(self, lines: Iterable[Line]) -> None:
        """Show these lines instead, at the same place: the same text a moment later."""
        top = self._top
        self.lines.clear()
        self._top = 0
        self.add(lines)
        self._go(top)

    # ---------------------------------------------------------------- place

    @property
    def place(self) -> str:
        """Where one is: `120-143/5000`."""
        last = min(len(self.lines), self._top + self.size.height)
        return f"{min(self._top + 1, last)}-{last}/{len(self.lines)}"

    def _in_sight(self) -> list[Line]:
        return list(islice(self.lines, self._top, self._top + self.size.height))

    def _last_top(self) -> int:
        return max(0, len(self.lines) - self.size.height)

    def _go(self, top: int) -> None:
        self._top = max(0, min(top, self._last_top()))
        self.refresh()
        self.post_message(self.Moved())

    def action_scroll(self, by: int) -> None:
        """Go up (which ends the following) or down."""
        if by < 0:
            self.following = False
        self._go(self._top + by)

    def action_page(self, by: int) -> None:
        """Go a screenful up or down."""
        self.action_scroll(by * max(1, self.size.height - 1))

    def action_side(self, by: int) -> None:
        """Go left or right in long lines."""
        longest = max((cell_len(line.plain) for line in self._in_sight()), default=0)
        self._left = max(0, min(self._left + by * SIDE, longest - SIDE))
        self.refresh()

    def action_top(self) -> None:
        """Go to the first line."""
        self.following = False
        self._go(0)

    def action_bottom(self) -> None:
        """Go to the last line."""
        self._go(self._last_top())

    def follow(self, on: bool) -> None:
        """Stay at the end from now on, or no longer."""
        self.following = on
        self._go(self._last_top() if on else self._top)

    def on_resize(self) -> None:
        """Stay where one was."""
        self._top = self._last_top() if self.following else min(self._top, self._last_top())
        self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_scroll(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self.action_scroll(3)

    # ---------------------------------------------------------------- search

    def search(self, needle: str) -> int:
        """Mark every line with the needle, and go to the last one shown or before; their number."""
        self.needle = needle.lower()
        self._find()
        if self.hits:
            below = [i for i, hit in enumerate(self.hits) if hit < self._top + self.size.height]
            self.at = (below[-1] if below else 0) + 1
            self.step(-1)
        self.refresh()
        return len(self.hits)

    def _find(self) -> None:
        self.hits = (
            [i for i, line in enumerate(self.lines) if self.needle in line.plain.lower()]
            if self.needle
            else []
        )

    def step(self, by: int) -> None:
        """Go to the next hit, or the one before."""
        if self.hits:
            self.at = (self.at + by) % len(self.hits)
            self.following = False
            line = self.hits[self.at]
            if not self._top <= line < self._top + self.size.height:
                self._go(line - self.size.height // 2)
        self.refresh()
        self.post_message(self.Moved())

    # ---------------------------------------------------------------- drawing

    def render_line(self, y: int) -> Strip:
        """Textual's Line API."""
        width, index = self.size.width, self._top + y
        if index >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        line = self.lines[index]
        segments: list[Segment] = [Segment(" ")]
        if self.heads and line.head:
            segments.append(Segment(line.head + " ", style("faint")))
        body = self._body(line, index)
        room = width - sum(cell_len(segment.text) for segment in segments)
        strip = self._cut(Strip(body), room)
        whole = Strip([*segments, *strip]).adjust_cell_length(width)
        return whole.apply_style(self.rich_style)

    def _cut(self, strip: Strip, room: int) -> Strip:
        """What is in sight of a line; where it goes on to a side there stands a sign of it."""
        more, length = Segment(ELLIPSIS, style("faint")), strip.cell_length
        before = bool(self._left and length)
        beyond = length > self._left + room
        seen = strip.crop(self._left + before, self._left + room - beyond)
        return Strip([*[more] * before, *seen, *[more] * beyond])

    def _body(self, line: Line, index: int) -> Sequence[Segment]:
        text = line.styled().copy()
        text.style = style(line.tone)
        if self.needle:
            present = bool(self.hits) and self.at >= 0 and self.hits[self.at] == index
            shown = line.plain.lower()
            at = shown.find(self.needle)
            while at >= 0:
                end = at + len(self.needle)
                text.stylize(style("match-on" if present else "match"), at, end)
                at = shown.find(self.needle, end)
        text.expand_tabs(8)
        parts = [(t, s) for t, s, _ in text.render(self.app.console) if t != "\n"]
        if self.app.no_color:
            return [Segment(t, s and without_palette(s)) for t, s in parts]
        return [Segment(t, s) for t, s in parts]
