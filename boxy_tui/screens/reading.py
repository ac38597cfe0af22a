"""Screens for reading: a box's log, followed live, and everything known of a box or an image."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from boxy_core.errors import BoxyError
from boxy_core.protocol import STDERR
from boxy_core.text import LineFilter, escape_lines
from boxy_tui.format import Cell, plain
from boxy_tui.later import later
from boxy_tui.palette import colour
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.lines import Lines
from boxy_tui.widgets.textview import Line, TextView

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

TAIL = 5000
"""Lines asked for when a log is opened."""
GATHER = 0.03
"""Seconds for which lines are gathered before they are shown."""
_UNSEEN = re.compile(
    r"\x1b\[[0-?]*+[ -/]*+[@-ln-~]|\x1b\][^\x07\x1b]*+(?:\x07|\x1b\\)?|\x1b[ -/]*+[0-Z\\^-~]"
)
"""Control sequences other than SGR: CSI, OSC, and escapes of two or three characters (ECMA-48)."""
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)(?:\.(\d{3}))?\S*) ?")


class Caption(Lines):
    """The line above the text."""

    DEFAULT_CSS: ClassVar[str] = "Caption { dock: top; height: 1; }"
    UNDER = "bar"

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[Cell] = []

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The line as the screen set it."""
        return self.cells


class ReadingScreen(Screen[None]):
    """Text with a caption, a search and the keys."""

    AUTO_FOCUS = "TextView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "search"),
        Binding("n", "step(-1)", "older"),
        Binding("N", "step(1)", "newer"),
        Binding("escape,q", "leave", "back", key_display="esc"),
    ]
    FOLLOWS: ClassVar[bool] = False

    def __init__(self, boxy: BoxyApp, title: str, what: str) -> None:
        super().__init__()
        self.boxy = boxy
        self.heading = title
        self.what = what
        self.note = ""
        self.view = TextView(following=self.FOLLOWS)

    def compose(self) -> ComposeResult:
        """Caption, text, search field, keys."""
        yield Caption()
        yield self.view
        yield Input(placeholder="search", id="search", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """The search field comes when asked for."""
        self.query_one("#search").display = False
        self.caption()

    @on(TextView.Moved)
    def caption(self) -> None:
        """Say what is shown and where one is."""
        view, line = self.view, self.query_one(Caption)
        cells: list[Cell] = [(f" {self.what} ", "badge"), (f" {plain(self.heading)} ", "bright")]
        if self.note:
            cells.append((f" {self.note} ", "warn"))
        if view.needle:
            at = f"{view.at + 1}/{len(view.hits)}" if view.hits else "not found"
            cells.append((f" /{plain(view.needle)} {at} ", "warn"))
        cells += self.more()
        if view.lines:
            cells.append((f" {view.place}", "dim"))
        line.cells = cells
        line.repaint()

    def more(self) -> list[Cell]:
        """Further cells of the caption."""
        return []

    def action_search(self) -> None:
        """Ask what to search for."""
        field = self.query_one("#search", Input)
        field.display = True
        field.value = ""
        field.focus()

    @on(Input.Changed, "#search")
    def _typed(self, message: Input.Changed) -> None:
        self.view.search(message.value)

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self.query_one("#search").display = False
        self.view.focus()
        self.caption()

    def action_step(self, by: int) -> None:
        """The next place that was found."""
        self.view.step(by)

    def action_leave(self) -> None:
        """Close the search, or the screen."""
        if self.query_one("#search").display:
            self.view.search("")
            self._searched()
        elif self.view.needle:
            self.view.search("")
            self.caption()
        else:
            self.dismiss()


class LogsScreen(ReadingScreen):
    """A box's log, live."""

    FOLLOWS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "follow"),
        Binding("t", "times", "times"),
    ]

    def __init__(self, boxy: BoxyApp, box_id: str, name: str) -> None:
        super().__init__(boxy, name, "log")
        self._box_id = box_id

    def on_mount(self) -> None:
        """Read the log for as long as the screen is there."""
        super().on_mount()
        self.run_worker(later(self._read), exclusive=True)

    def more(self) -> list[Cell]:
        """Whether it follows."""
        held: Cell = (" following ", "ok") if self.view.following else (" held ", "paused")
        return [held] if self.view.lines else [held, (" nothing was written yet ", "dim")]

    def action_follow(self) -> None:
        """Stay at the end, or no longer."""
        self.view.follow(not self.view.following)

    def action_times(self) -> None:
        """Show when each line was written."""
        self.view.heads = not self.view.heads
        self.view.refresh()

    async def _read(self) -> None:
        query = {"follow": 1, "tail": TAIL, "timestamps": 1}
        cutter = LogCutter()
        waiting: list[Line] = []
        path = f"/boxes/{self._box_id}/logs"
        try:
            async with self.boxy.client.stream("GET", path, query=query) as answer:
                shower = asyncio.create_task(self._show(waiting))
                try:
                    async for kind, payload in answer.frames():
                        waiting.extend(cutter.feed(kind, payload))
                        if len(waiting) > TAIL:
                            await asyncio.sleep(2 * GATHER)  # let them be shown first
                finally:
                    shower.cancel()
            waiting.extend(cutter.rest())
            self.note = "the box has ended"
        except BoxyError as error:
            self.note = plain(error.message)
        self.view.add(waiting)
        self.caption()

    async def _show(self, waiting: list[Line]) -> None:
        while True:
            if waiting:
                batch, waiting[:] = waiting[:], []
                self.view.add(batch)
            await asyncio.sleep(GATHER)


class LogCutter:
    """Cuts log frames into lines, one stream at a time, and makes them safe to show.  Pure."""

    def __init__(self) -> None:
        self._pending: dict[int, bytes] = {}

    def feed(self, kind: int, payload: bytes) -> list[Line]:
        """The lines that are complete now."""
        *whole, rest = (self._pending.get(kind, b"") + payload).split(b"\n")
        if len(rest) > 1 << 16:
            whole, rest = [*whole, rest], b""
        self._pending[kind] = rest
        return [_log_line(kind, line) for line in whole]

    def rest(self) -> list[Line]:
        """What came without a line end."""
        pending, self._pending = self._pending, {}
        return [_log_line(kind, line) for kind, line in pending.items() if line]


def _log_line(kind: int, raw: bytes) -> Line:
    text = raw.decode("utf-8", "surrogateescape").rstrip("\r")
    stamp = _STAMP.match(text)
    head = ""
    if stamp is not None:
        head = f"{stamp[2]}.{stamp[3] or '000'}"
        text = text[stamp.end() :]
    text = _as_drawn(text)
    safe = LineFilter()
    data = text.encode("utf-8", "surrogateescape")
    clean = (safe.feed(data) + safe.end()).decode("utf-8", "replace")
    return Line(clean, head, "warn" if kind == STDERR else "text")


def _as_drawn(text: str) -> str:
    """The line as a terminal would have left it, as far as one line can tell.

    Cursor movements, titles and modes are dropped, colours are kept; what was drawn over by a
    carriage return or rubbed out by backspaces does not show.
    """
    text = _UNSEEN.sub("", text)
    if "\r" in text:
        text = text.rpartition("\r")[2]
    if "\b" not in text:
        return text
    shown: list[str] = []
    for char in text:
        if char == "\b":
            del shown[-1:]
        elif char != "\x07":
            shown.append(char)
    return "".join(shown)


class InspectScreen(ReadingScreen):
    """A record of the daemon, as JSON with colours."""

    def __init__(self, boxy: BoxyApp, title: str, path: str) -> None:
        super().__init__(boxy, title, "inspect")
        self._path = path

    def on_mount(self) -> None:
        """Ask once."""
        super().on_mount()
        self.run_worker(later(self._read), exclusive=True)

    async def _read(self) -> None:
        try:
            record = await self.boxy.client.request("GET", self._path)
        except BoxyError as error:
            self.note = plain(error.message)
            self.caption()
        else:
            self.view.replace(json_lines(record))


_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)')


def json_lines(record: Any) -> Iterator[Line]:
    """JSON, indented, with colours as SGR sequences."""
    for line in json.dumps(record, indent=2, ensure_ascii=True).splitlines():
        yield Line(_TOKENS.sub(_coloured, escape_lines(line)))


def _coloured(match: re.Match[str]) -> str:
    text, colon, number, word = match.groups()
    if colon:
        return f"{_sgr('blue')}{text}\x1b[0m{colon}"
    if text:
        return f"{_sgr('green')}{text}\x1b[0m"
    return f"{_sgr('orange')}{number or word}\x1b[0m"


def _sgr(name: str) -> str:
    """The sequence for text in a colour of the set in use."""
    red, green, blue = bytes.fromhex(colour(name)[1:])
    return f"\x1b[38;2;{red};{green};{blue}m"
