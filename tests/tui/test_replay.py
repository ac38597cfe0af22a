"""Recordings in the console: made in a pane, played with a bar of time."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxy_core import cast
from boxy_tui.screens.replay import ReplayScreen, load
from tests.tui.conftest import Console
from tests.tui.fake_daemon import FakeDaemon
from tests.tui.test_panes import PREFIX, attached


def write(path: Path, *events: tuple[float, str, str]) -> Path:
    writer = cast.Writer(40, 8)
    lines = [writer.header(timestamp=1)]
    for at, code, data in events:
        line = writer.resize(at, *map(int, data.split("x"))) if code == "r" else ""
        lines.append(line or writer.output(at, data.encode(), code))
    path.write_text("".join(lines))
    return path


async def test_it_plays_pauses_and_goes_anywhere(ui: Console, tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.cast", (0.0, "o", "first"), (100, "o", "\x1b[?1049h\x1b[2Jsecond"),
        (200, "r", "50x9"), (200, "o", "\x1b[?1049l\r\nthird"),
    )  # fmt: skip
    ui.app.replay(str(path))
    await ui.shows("first", "/ 3:20")
    screen = ui.app.screen
    assert isinstance(screen, ReplayScreen)
    await ui.press("space")
    await ui.until(lambda: not screen.pane.playing, "it pauses")
    assert (screen.pane.emulator.columns, screen.pane.emulator.lines) == (40, 8)
    await ui.press("5")
    await ui.shows("second", "‖ 1:40")
    assert "first" not in ui.text()
    await ui.press("end")
    await ui.shows("first", "third", "■ 3:20")
    assert (screen.pane.emulator.columns, screen.pane.emulator.lines) == (50, 9)
    await ui.press("home")
    await ui.shows("first")
    await ui.until(lambda: "third" not in ui.text())
    assert screen.pane.emulator.columns == 40
    await ui.press("plus", "plus", "right")
    await ui.shows("2x")
    assert 5 <= screen.pane.now < 6
    await ui.press("q")
    await ui.until(lambda: ui.app.screen is ui.app.main)


async def test_going_back_in_a_long_one_starts_from_a_screen_that_was_kept(
    ui: Console, tmp_path: Path
) -> None:
    line = "x" * 30 + "\r\n"
    events = [(float(i), "o", f"part {i}\r\n" + line * 8000) for i in range(12)]
    ui.app.replay(str(write(tmp_path / "x.cast", *events, (20.0, "o", "end"))))
    await ui.until(lambda: isinstance(ui.app.screen, ReplayScreen))
    screen = ui.app.screen
    assert isinstance(screen, ReplayScreen)
    await ui.press("space", "end")
    await ui.shows("end")
    kept = len(screen.pane._keys)
    assert kept > 2
    screen.pane.go_to(10.5)
    await ui.until(lambda: screen.pane._index == 11 and screen.pane._moving is None)
    assert "part 10" in "\n".join(screen.pane.emulator.history_lines())


async def test_what_cannot_be_played_is_said(ui: Console, tmp_path: Path) -> None:
    ui.app.replay(str(tmp_path / "none.cast"))
    await ui.shows("cannot be read")
    (tmp_path / "bad.cast").write_text("hello\n")
    ui.app.replay(str(tmp_path / "bad.cast"))
    await ui.shows("is no recording")


async def test_a_pane_is_recorded_from_the_screen_as_it_is(
    ui: Console, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    session = await attached(ui, daemon)
    session.say(b"\x1b[?1049hbefore")
    await ui.shows("before")
    await ui.press(PREFIX, "R")
    await ui.shows("● rec", "Recording into")
    session.say(b"\x1b[2;1Hmore")
    await ui.shows("more")
    await ui.press(PREFIX, "R")
    await ui.shows("Recorded into")
    (path,) = (tmp_path / "boxy" / "recordings").glob("web-*.cast")
    recording = load(str(path))
    assert (recording.columns, recording.rows) == (100, 29)
    shown = "".join(event.data for event in recording.events)
    assert "before" in shown
    assert "?47h" in shown or "?1049h" in shown
    assert shown.endswith("\x1b[2;1Hmore")
