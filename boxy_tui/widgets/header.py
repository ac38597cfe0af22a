"""The first line: what this is, how many boxes live, and how the host does.

Constraint: host figures come from psutil, imported late and read once in two seconds; a widget
draws them, `Host` reads them, so that tests and screenshots put their own in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from boxy_core.models import Status
from boxy_tui.format import GLYPHS, Cell, percent, plain, size, sparkline
from boxy_tui.state import Link, State
from boxy_tui.widgets.lines import Lines

TREND = 12


class Figures(NamedTuple):
    """How the host does: percent of all its CPUs, bytes, and the load of the last minute."""

    name: str
    cpu: float
    memory: int
    memory_total: int
    load: float
    cores: int


def read_host() -> Figures:
    """Ask the kernel, by psutil.  The first CPU figure is 0: it is a difference."""
    import os
    import socket

    import psutil

    memory = psutil.virtual_memory()
    return Figures(
        socket.gethostname().split(".")[0],
        psutil.cpu_percent(interval=None),
        int(memory.total - memory.available),
        int(memory.total),
        os.getloadavg()[0],
        os.cpu_count() or 1,
    )


class Header(Lines):
    """One line above everything."""

    DEFAULT_CSS: ClassVar[str] = "Header { dock: top; height: 1; }"
    UNDER = "bar"

    def __init__(self, state: State, host: Callable[[], Figures] | None) -> None:
        super().__init__()
        self._state = state
        self._read = host
        self._host: Figures | None = None
        self._trend: deque[float] = deque(maxlen=TREND)

    def tick(self) -> None:
        """Read the host's figures anew."""
        if self._read is not None:
            self._host = self._read()
            self._trend.append(self._host.cpu)
        shown = self.app.screen
        if shown is self.screen or shown.is_modal:  # for one below, Textual draws all on top anew
            self.repaint()

    def line_cells(self, y: int) -> Sequence[Cell]:
        """The line: left what is ours, right the host."""
        left = [(" boxy ", "badge"), (" ", ""), *self._link(), *self._counts()]
        right = self._host_cells() if self.size.width >= 60 else []
        used = sum(len(text) for text, _ in [*left, *right])
        while right and used > self.size.width:
            used -= len(right.pop(0)[0])
        return [*left, (" " * max(0, self.size.width - used), ""), *right]

    def _link(self) -> list[Cell]:
        state = self._state
        if state.link is Link.LIVE:
            name = self._host.name if self._host else "live"
            return [(plain(name), "bright"), ("  ", "")]
        if state.link is Link.LOST:
            return [(" daemon lost ", "badge-bad"), ("  ", "")]
        return [(" connecting ", "badge-warn"), ("  ", "")]

    def _counts(self) -> list[Cell]:
        cells: list[Cell] = []
        counts = self._state.counts()
        for status in Status:
            if count := counts.get(status):
                glyph, colour = GLYPHS[status]
                word = f" {status}" if self.size.width >= 100 else ""
                cells.append((f"{glyph} {count}{word}  ", colour))
        return cells

    def _host_cells(self) -> list[Cell]:
        host = self._host
        if host is None:
            return []
        hot = "bad" if host.cpu > 90 else "warn" if host.cpu > 60 else "ok"
        return [
            (f"{host.cores} cores  ", "dim"),
            (f"load {host.load:.2f}  ", "dim"),
            ("cpu ", "dim"),
            (sparkline(list(self._trend), TREND, 100.0), hot),
            (f" {percent(host.cpu):>4}%", "text"),
            ("  mem ", "dim"),
            (f"{size(host.memory)}/{size(host.memory_total)} ", "text"),
        ]
