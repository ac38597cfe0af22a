"""The panes of one box: tabs, or all side by side; one line below says where one is.

Constraint: the screen is installed, not made anew, so leaving and re-entering loses nothing: its
panes go on parsing while another screen is shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen

from boxy_core.errors import BoxyError
from boxy_core.models import ALIVE
from boxy_core.recorder import default_name
from boxy_tui.format import GLYPHS, Cell, plain, size
from boxy_tui.panes.link import Target, left_behind
from boxy_tui.panes.session import PREFIX_KEYS, SCROLL_KEYS, SIDES, Life, Mode, SessionPane
from boxy_tui.terminal.pane import TerminalPane
from boxy_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

_MAIN = ("main", "start")
"""kinds of target that show the box's main terminal"""


def recordings() -> Path:
    """The folder for recordings (XDG).  Raises BoxyError."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    folder = Path(base) / "boxy" / "recordings"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BoxyError(f"{folder} cannot be made: {error.strerror}") from None
    return folder


class StatusLine(Lines):
    """The line below the panes: box, tabs, and what the keys do now."""

    DEFAULT_CSS: ClassVar[str] = "StatusLine { dock: bottom; height: 1; }"
    UNDER = "bar"

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[Cell] = []

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The line as the screen set it."""
        return self.cells


class PanesScreen(Screen[None], inherit_bindings=False):
    """All panes on one box."""

    DEFAULT_CSS: ClassVar[str] = """
    PanesScreen { layout: vertical; }
    PanesScreen #grid { layout: grid; grid-size-columns: 1; width: 1fr; height: 1fr; }
    PanesScreen.-split SessionPane { border: round $line; border-title-color: $dim; }
    PanesScreen.-split SessionPane:focus { border: round $accent; border-title-color: $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = ""

    def __init__(self, boxy: BoxyApp, first: Target) -> None:
        super().__init__()
        self.boxy = boxy
        self.box_id = first.box_id
        self.panes: list[SessionPane] = []
        self.at = 0
        self.zoomed = True
        self._first = [first]
        self._looking = True
        """what an earlier console left is asked for; what is wanted meanwhile waits in `_first`"""

    def compose(self) -> ComposeResult:
        """The panes over the line."""
        yield Container(id="grid")
        yield StatusLine()

    async def on_mount(self) -> None:
        """Show the box's main pane first, then what was left, then what was asked for."""
        left = await left_behind(self.boxy.client, self.box_id)
        self._looking = False
        waiting, self._first = self._first, []
        if waiting and waiting[0].kind in _MAIN:
            await self.add(waiting[0])
        for target in left:
            await self.add(target)
        for target in waiting:  # a main one that is there is only gone to
            await self.show(target)

    def on_screen_resume(self) -> None:
        """Back again: the pane that had the keyboard has it."""
        self._arrange()

    # ---------------------------------------------------------------- panes come and go

    async def show(self, target: Target) -> None:
        """Go to the pane of this target; a main one that is there already is entered again."""
        if self._looking:
            self._first.append(target)
            return
        if target.kind in _MAIN:
            for i, pane in enumerate(self.panes):
                if pane.target.kind in _MAIN:
                    self.at = i
                    if not pane.alive:
                        pane.again(target)
                    self._arrange()
                    return
        await self.add(target)

    async def add(self, target: Target) -> None:
        """A new pane, in front."""
        if not self.query("#grid"):
            return  # the console ends just now
        pane = SessionPane(self.boxy.client, target, self.boxy.scheduler)
        self.panes.append(pane)
        self.at = len(self.panes) - 1
        await self.query_one("#grid").mount(pane)
        self._arrange()

    async def close_pane(self, pane: SessionPane) -> None:
        """Take a pane away; without panes the screen is left."""
        if pane not in self.panes:
            return
        self.panes.remove(pane)
        self.at = min(self.at, len(self.panes) - 1)
        pane.shut()
        if self.panes:
            await pane.remove()
            self._arrange()
        else:
            self.boxy.leave_panes(self, gone=True)

    @property
    def current(self) -> SessionPane | None:
        """The pane that has the keyboard."""
        return self.panes[self.at] if self.panes else None

    @property
    def _split(self) -> bool:
        """Whether all panes are shown."""
        return not self.zoomed and len(self.panes) > 1

    @property
    def _columns(self) -> int:
        """How many panes stand side by side."""
        wide = self.size.width >= 2 * 60
        return 2 if self._split and (wide or len(self.panes) > 3) else 1

    def _arrange(self) -> None:
        split, columns = self._split, self._columns
        self.set_class(split, "-split")
        grid = self.query_one("#grid")
        grid.styles.grid_size_columns = columns
        for i, pane in enumerate(self.panes):
            pane.display = split or i == self.at
            last = split and i == len(self.panes) - 1
            pane.styles.column_span = columns - i % columns if last else 1  # the row is full
            pane.border_title = f" {i + 1} {plain(pane.target.title)} " if split else None
        if self.current is not None:
            self.current.focus()
        self.draw()

    # ---------------------------------------------------------------- the line below

    @on(TerminalPane.Changed)
    def _pane_changed(self, message: TerminalPane.Changed) -> None:
        if isinstance(message.pane, SessionPane) and message.pane.has_focus:
            self.at = self.panes.index(message.pane) if message.pane in self.panes else self.at
        self.draw()

    def draw(self) -> None:
        """Say where one is."""
        line = next(iter(self.query(StatusLine)), None)
        if line is None or not self.is_mounted:
            return  # not yet, or no longer
        pane = self.current
        mode = pane.mode if pane else Mode.PROGRAM
        if pane is None or mode is Mode.PROGRAM:
            left, right = self._tabs(), self._hint(pane)
        elif mode is Mode.PREFIX:
            left, right = self._prefix_menu(), []
        else:
            left, right = self._scroll_menu(pane), []
        used = sum(len(text) for text, _ in [*left, *right])
        gap = max(0, self.size.width - used)
        cells = [*left, (" " * gap, ""), *right]
        if cells != line.cells:
            line.cells = cells
            line.repaint()

    def _tabs(self) -> list[Cell]:
        box = self.boxy.state.boxes.get(self.box_id)
        name = plain(box.name) if box else "removed"
        glyph: Cell = GLYPHS[box.status] if box else ("×", "bad")
        cells: list[Cell] = [(f" {name} ", "badge"), (f" {glyph[0]} ", glyph[1])]
        for i, pane in enumerate(self.panes):
            sign = {Life.ENDED: "†", Life.BROKEN: "!"}.get(pane.life, "")
            word = plain(pane.target.title)[:16]
            cells += [(f" {i + 1} {word}{sign} ", "tab-on" if i == self.at else "tab"), (" ", "")]
        return cells

    def _hint(self, pane: SessionPane | None) -> list[Cell]:
        cells: list[Cell] = []
        if self.boxy.state.trouble is not None:
            cells.append((" daemon lost ", "badge-bad"))
        if pane is None:
            return cells
        if pane.life in (Life.NEW, Life.CONNECTING):
            return [*cells, (" connecting … ", "busy")]
        if not pane.alive:
            keys: list[Cell] = [("↵", "key"), (" again ", "text"), ("x", "key"),
                                (" close ", "text"), ("d", "key"), (" leave ", "text")]  # fmt: skip
            return [*cells, (f" {pane.words} ", "warn"), *keys]
        if pane.offered:
            count = len(pane.offered)
            cells += [(f" {count} characters to copy ", "warn"), (" ctrl+] y", "key")]
        if pane.recorder is not None:
            cells.append((" ● rec ", "badge-bad"))
        if pane.missed:
            cells.append((f" flood: {size(pane.missed)} not shown ", "dim"))
        if pane.viewers > 1:
            cells.append((f" {pane.viewers} viewers ", "paused"))
        title = plain(pane.emulator.title)
        if title and self.size.width >= 100:
            cells.append((f" {title[:40]} ", "dim"))
        return [*cells, (" ctrl+]", "key"), (" keys ", "dim")]

    def _prefix_menu(self) -> list[Cell]:
        """The keys after the prefix; where there is no room for all, `?` is there to show them."""
        cells: list[Cell] = [(" ctrl+] ", "badge-warn"), (" ", "")]
        *shown, last = sorted(PREFIX_KEYS.values(), key=lambda entry: entry[1] == "help")
        shown.append(("1-9", "go", ""))
        room = self.size.width - 9 - 4 - len(last[0] + last[1])
        for key, word, _ in shown:
            written = key.replace("ctrl+", "^")
            room -= len(written) + len(word) + 2
            if room < 0:
                break
            cells += [(written, "key"), (f" {word} ", "text")]
        return [*cells, (last[0], "key"), (f" {last[1]}", "text")]

    def _scroll_menu(self, pane: SessionPane) -> list[Cell]:
        if pane.mode is Mode.SEARCH:
            return [(" search ", "badge-warn"), (" /", "key"), (plain(pane.needle), "bright"),
                    ("▏", "accent"), ("  ↵", "key"), (" find  ", "text"), ("esc", "key"),
                    (" back", "text")]  # fmt: skip
        view = pane.view
        place = f" -{view.back()}/{pane.emulator.history_size} "
        cells: list[Cell] = [(" scroll ", "badge-warn"), (place, "bright")]
        if view.needle:
            at = f"{view.at + 1}/{len(view.matches)}" if view.matches else "none"
            cells.append((f" {plain(view.needle)} {at} ", "warn"))
        cells += [(" ↑ ↓ pgup pgdn", "key"), (" move ", "text")]
        for name in ("g", "G", "slash", "n", "N", "v", "q"):
            key, word, _ = SCROLL_KEYS[name]
            cells += [(key, "key"), (f" {word} ", "text")]
        return cells

    # ---------------------------------------------------------------- commands

    @on(SessionPane.Command)
    async def _command(self, message: SessionPane.Command) -> None:
        name, pane = message.name, message.pane
        if name.isdecimal():
            self._go(int(name) - 1)
        elif name == "leave":
            self.boxy.leave_panes(self)
        elif name in ("next", "prev"):
            self._go((self.at + (1 if name == "next" else -1)) % max(1, len(self.panes)))
        elif name == "zoom":
            self.zoomed = not self.zoomed
            self._arrange()
        elif name in ("shell", "split"):
            self.zoomed = self.zoomed and name != "split"
            self._new_shell()
        elif name in SIDES:
            self._beside(*SIDES[name])
        elif name == "record":
            self._record(pane)
        elif name == "close":
            await self.close_pane(pane)
        elif name == "again":
            self._again(pane)
        elif name == "help":
            self.boxy.action_help()

    def _go(self, at: int) -> None:
        if 0 <= at < len(self.panes):
            self.at = at
            self._arrange()

    def _beside(self, columns: int, rows: int) -> None:
        """Go to the pane on a side; without one there, or when one is alone, stay."""
        if not self._split:
            return
        across, (row, column) = self._columns, divmod(self.at, self._columns)
        if 0 <= column + columns < across and row + rows >= 0:
            at = (row + rows) * across + column + columns
            below = rows > 0 and row < (len(self.panes) - 1) // across
            self._go(min(at, len(self.panes) - 1) if below else at)

    def _record(self, pane: SessionPane) -> None:
        """Begin a recording, or end it."""
        if (done := pane.end_recording()) is not None:
            self.boxy.say(done.trouble or f"Recorded into {done.path}",
                          f"boxy replay {done.path} plays it.", bad=bool(done.trouble))  # fmt: skip
            return
        box = self.boxy.state.boxes.get(self.box_id)
        name = plain(box.name) if box else self.box_id[:12]
        try:
            folder = recordings()
            pane.record(
                str(folder / default_name(name, time.time())), f"{name}: {pane.target.title}"
            )
        except BoxyError as error:
            self.boxy.complain(error)
        else:
            assert pane.recorder is not None
            self.boxy.say(f"Recording into {pane.recorder.path}", "ctrl+] R ends it.")

    def _new_shell(self) -> None:
        box = self.boxy.state.boxes.get(self.box_id)
        if box is not None and box.status in ALIVE:
            self.boxy.open_shell(box)
        else:
            self.boxy.say("The box is not running.", "Enter starts it again.")

    def _again(self, pane: SessionPane) -> None:
        box = self.boxy.state.boxes.get(self.box_id)
        if box is None:
            self.boxy.say("The box is gone.", "x closes the pane.")
        elif pane.target.kind not in _MAIN and box.status not in ALIVE:
            self.boxy.say(f"{plain(box.name)} is not running.", "Start it first: ctrl+] d, then S.")
        elif pane.target.kind == "exec":
            pane.again(pane.target)
        elif pane.target.kind == "session":
            pane.again(self.boxy.shell_target(box))
        else:
            pane.again(self.boxy.main_target(box))
