"""A scripted daemon and the console on it, with a fixed clock and no host figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from boxy_core.models import Limits, Status
from boxy_tui.app import BoxyApp
from boxy_tui.panes.session import SessionPane
from boxy_tui.screens.panes import PanesScreen
from tests.tui.fake_daemon import MIB, NOW, FakeDaemon, make_box

PATIENCE = 45.0
Kind = type[Screen[Any]]


def make_app(path: Path) -> BoxyApp:
    """The console with nothing in it that changes by itself."""
    return BoxyApp(str(path), clock=lambda: NOW, host=None, zone=time.gmtime)


def make_daemon(path: Path) -> FakeDaemon:
    """A daemon with a box in each of the usual states."""
    boxes = [
        make_box("web", limits=Limits(memory=256 * MIB, cpus=1.5), args=["nginx", "-g", "daemon"]),
        make_box("db", args=["postgres"]),
        make_box("idle", Status.PAUSED),
        make_box("batch", Status.EXITED, code=137, args=["python3", "train.py"]),
        make_box("fresh", Status.CREATED),
    ]
    return FakeDaemon(path, boxes)


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    """A running scripted daemon."""
    async with make_daemon(tmp_path / "s") as running:
        yield running


class Console:
    """The console under test."""

    def __init__(self, app: BoxyApp, pilot: Pilot[str]) -> None:
        self.app = app
        self.pilot = pilot

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        """Wait until something holds, through the frames that it takes."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"never: {what or holds}\n{self.text()}"
            await asyncio.sleep(0.01)
            await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text."""
        names = {" ": "space", "/": "slash", "-": "minus", ".": "full_stop"}
        await self.press(*[names.get(char, char) for char in text])

    def text(self) -> str:
        """What is on the screen, without colours."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)

    async def shows(self, *words: str) -> None:
        """Wait until all these words are on the screen."""
        await self.until(lambda: all(word in self.text() for word in words), f"{words} on screen")

    async def on(self, kind: Kind) -> None:
        """Wait until such a screen is on top."""
        await self.until(lambda: isinstance(self.app.screen, kind), kind.__name__)

    async def settled(self) -> None:
        """Wait until the screen stays as it is, whatever is still on its way to it."""
        seen, same = "", 0
        while same < 3:
            await asyncio.sleep(0.05)
            await self.pilot.pause()
            now = self.text()
            seen, same = now, same + 1 if now == seen else 0

    async def select(self, name: str) -> None:
        """Put the cursor on a box."""
        self.app.main.boxes.go_to(make_box(name).id)
        await self.pilot.pause()

    @property
    def pane(self) -> SessionPane:
        """The pane that has the keyboard."""
        screen = self.app.screen
        assert isinstance(screen, PanesScreen)
        assert screen.current is not None
        return screen.current

    async def in_pane(self) -> None:
        """Wait until a pane is there and connected."""
        await self.on(PanesScreen)
        await self.until(lambda: cast("PanesScreen", self.app.screen).current, "a pane")
        await self.until(lambda: self.pane.life == "live", "a connected pane")


@asynccontextmanager
async def console(path: Path, size: tuple[int, int] = (100, 30)) -> AsyncIterator[Console]:
    """Run the console on a socket."""
    app = make_app(path)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Console(app, pilot)


@pytest.fixture
async def ui(daemon: FakeDaemon) -> AsyncIterator[Console]:
    """The console, on a daemon with some boxes, all shown."""
    async with console(daemon.path) as running:
        await running.shows("web", "batch")
        yield running
