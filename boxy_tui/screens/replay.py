"""A recording on a screen of its own: the pane, and below it a bar of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from boxy_core import cast
from boxy_core.cast import Recording
from boxy_core.errors import InvalidRequest
from boxy_tui.format import Cell, plain
from boxy_tui.panes.replay import ReplayPane
from boxy_tui.terminal.pane import TerminalPane
from boxy_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

STEP, STRIDE = 5, 60
"""Seconds that an arrow key goes, and a page key."""


class TimeBar(Lines):
    """Where the playback is; a click goes there."""

    DEFAULT_CSS: ClassVar[str] = "TimeBar { dock: bottom; height: 1; }"
    UNDER = "bar"

    def __init__(self, pane: ReplayPane) -> None:
        super().__init__()
        self.pane = pane

    def _parts(self) -> tuple[str, int, str]:
        """What stands left of the bar, its width, what stands right of it."""
        pane = self.pane
        sign = "▶" if pane.playing else "■" if pane.ended else "‖"
        left = f" {sign} {_clock(pane.now)} / {_clock(pane.length)} "
        speed = f"{pane.speed:g}x"
        right = f" {speed} "
        keys = " space ← → + - q "
        if self.size.width >= 70:
            right += keys
        return left, max(4, self.size.width - len(left) - len(right)), right

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The bar."""
        left, width, right = self._parts()
        pane = self.pane
        full = round(width * pane.now / pane.length) if pane.length else width
        full = max(0, min(width, full))
        state = "badge" if pane.playing else "badge-warn"
        bar: list[Cell] = [("━" * full, "accent"), ("─" * (width - full), "faint")]
        return [(left, state), *bar, (right, "dim")]

    def on_click(self, event: events.Click) -> None:
        """Go to the place that was clicked."""
        left, width, _ = self._parts()
        if len(left) <= event.x < len(left) + width:
            self.pane.go_to((event.x - len(left) + 0.5) / width * self.pane.length)


class ReplayScreen(Screen[None], inherit_bindings=False):
    """Plays a recording."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "play_or_pause", "pause"),
        Binding("left", f"seek(-{STEP})", "back"),
        Binding("right", f"seek({STEP})", "forward"),
        Binding("pageup", f"seek(-{STRIDE})", "minute back"),
        Binding("pagedown", f"seek({STRIDE})", "minute forward"),
        Binding("home", "beginning", "start"),
        Binding("end", "ending", "end"),
        *(Binding(str(n), f"portion({n})", "tenth", show=n == 1) for n in range(10)),
        Binding("plus,equals_sign,greater_than_sign", "faster(1)", "faster", key_display="+"),
        Binding("minus,less_than_sign", "faster(-1)", "slower", key_display="-"),
        Binding("q,escape", "leave", "leave", key_display="q"),
    ]
    AUTO_FOCUS = ""

    def __init__(self, boxy: BoxyApp, recording: Recording, *, last: bool = False) -> None:
        super().__init__()
        self.boxy = boxy
        self.pane = ReplayPane(recording, boxy.scheduler)
        self._last = last

    def compose(self) -> ComposeResult:
        """The pane over the bar."""
        self.pane.can_focus = False
        yield self.pane
        yield TimeBar(self.pane)

    @on(TerminalPane.Changed)
    def _changed(self) -> None:
        self.query_one(TimeBar).repaint()

    def action_play_or_pause(self) -> None:
        """Play or pause."""
        self.pane.toggle()

    def action_seek(self, seconds: float) -> None:
        """Five seconds with an arrow key, a minute with a page key."""
        self.pane.go_to(self.pane.now + seconds)

    def action_beginning(self) -> None:
        """To its beginning."""
        self.pane.go_to(0)

    def action_ending(self) -> None:
        """To its end."""
        self.pane.go_to(self.pane.length)

    def action_portion(self, tenths: int) -> None:
        """To so many tenths of it."""
        self.pane.go_to(self.pane.length * tenths / 10)

    def action_faster(self, by: int) -> None:
        """The next speed, from a quarter to sixteen times."""
        self.pane.faster(by)

    def action_leave(self) -> None:
        """Back to where it was called from."""
        if self._last:
            self.app.exit()
        else:
            self.dismiss()


def load(path: str) -> Recording:
    """Read a recording.  Raises InvalidRequest."""
    try:
        with Path(path).expanduser().open(encoding="utf-8", errors="replace", newline="\n") as file:
            return cast.read(file, plain(path))
    except OSError as error:
        raise InvalidRequest(
            f"{plain(path)} cannot be read: {error.strerror}",
            hint="name a file that boxy record wrote",
        ) from None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
