"""What the console looks like, pixel for pixel.  Clock, host and daemon stand still.

After a wanted change: `pytest tests/tui/test_snapshots.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from boxy_core import protocol as wire
from boxy_tui.app import BoxyApp
from boxy_tui.widgets.header import Figures
from tests.tui.conftest import Console, make_daemon
from tests.tui.fake_daemon import NOW, FakeDaemon, Session, make_box

Snap = Callable[..., bool]
HOST = Figures("myhost", 37.5, 3 << 30, 8 << 30, 0.42, 2)
PROMPT = b"\x1b[1;32mweb\x1b[0m:\x1b[1;34m/\x1b[0m# "


class Pictured(BoxyApp):
    """The console, taking its daemon along when the picture is taken."""

    def __init__(self, daemon: FakeDaemon) -> None:
        super().__init__(str(daemon.path), clock=lambda: NOW, host=lambda: HOST, zone=time.gmtime)
        self.animation_level = "none"
        self._daemon = daemon

    async def on_unmount(self) -> None:
        await self._daemon.__aexit__()


@pytest.fixture(autouse=True)
def _the_host_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a scene takes, its header has one look at the host."""
    monkeypatch.setattr("boxy_tui.screens.main.HOST_EVERY", 3600.0)


def greet(session: Session) -> None:
    session.say(PROMPT + b"ls\r\nbin  etc  home  lib\r\n" + PROMPT)
    session.frame(wire.REPLAY_END)


def scene(
    path: Path, act: Callable[[Console, FakeDaemon], Awaitable[None]]
) -> tuple[BoxyApp, Callable[[Pilot[Any]], Awaitable[None]]]:
    """An application, and what happens in it before the picture is taken."""
    daemon = make_daemon(path)
    app = Pictured(daemon)

    async def before(pilot: Pilot[Any]) -> None:
        daemon.on_session = greet
        daemon.logs[make_box("web").id] = [
            (1, b"".join(b"2026-11-23T18:53:%02d.5Z GET /%d\n" % (n, n) for n in range(40)))
        ]
        await daemon.start()
        ui = Console(app, pilot)
        app.feed.retry()
        await ui.until(lambda: app.state.link == "live")
        await ui.select("web")
        await ui.until(lambda: len(app.state.samples.get(make_box("web").id, ())) >= 120)
        daemon.tick(20)
        await ui.until(lambda: len(app.state.samples.get(make_box("web").id, ())) >= 140)
        await act(ui, daemon)
        await ui.settled()

    return app, before


async def nothing(_ui: Console, _daemon: FakeDaemon) -> None:
    pass


async def marks(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("space", "slash")
    await ui.type("e")
    await ui.press("enter", "o")


async def images(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("tab")
    await ui.shows("DESCRIPTION")


async def registry(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("tab", "b")
    await ui.shows("as ada")
    await ui.press("enter")
    await ui.shows("tools")
    await ui.press("enter")
    await ui.shows("latest")
    await ui.press("down", "p")
    await ui.shows("downloading 50 %")


async def form(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("n")
    await ui.type("sleep 60")
    await ui.press("tab", "tab")
    await ui.type("lots")
    await ui.press("enter")
    await ui.shows("is not a size")
    await ui.press(*["tab"] * 7)
    await ui.shows("back  ↵ run")  # the bar follows the focus, one frame later


async def removal(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("d")
    await ui.shows("y yes")


async def pane(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("a")
    await ui.in_pane()
    await ui.shows("bin  etc")


async def split(ui: Console, daemon: FakeDaemon) -> None:
    await pane(ui, daemon)
    await ui.press("ctrl+right_square_bracket", "c")
    await ui.until(lambda: len(daemon.sessions) == 2 and ui.pane.life == "live")
    await ui.press("ctrl+right_square_bracket", "z")
    await ui.shows("1 nginx", "2 shell")
    await ui.press("ctrl+right_square_bracket")


async def log(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("l")
    await ui.shows("GET /39")
    await ui.press("t", "slash")
    await ui.type("/2")
    await ui.press("enter")


async def help_(ui: Console, _daemon: FakeDaemon) -> None:
    await ui.press("question_mark")
    await ui.shows("esc back")


SCENES: list[tuple[str, Callable[[Console, FakeDaemon], Awaitable[None]], tuple[int, int]]] = [
    ("small", nothing, (80, 24)),
    ("wide", nothing, (160, 45)),
    ("marks", marks, (80, 24)),
    ("images", images, (80, 24)),
    ("registry", registry, (100, 24)),
    ("form", form, (80, 24)),
    ("removal", removal, (80, 24)),
    ("pane", pane, (80, 24)),
    ("split", split, (160, 45)),
    ("log", log, (80, 24)),
    ("help", help_, (100, 30)),
]


@pytest.mark.parametrize(("name", "act", "size"), SCENES, ids=[scene[0] for scene in SCENES])
def test_it_looks_as_it_should(
    name: str,
    act: Callable[[Console, FakeDaemon], Awaitable[None]],
    size: tuple[int, int],
    snap_compare: Snap,
    tmp_path: Path,
) -> None:
    app, before = scene(tmp_path / "s", act)
    assert snap_compare(app, run_before=before, terminal_size=size), name
