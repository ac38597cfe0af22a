"""The terminal's own cursor: where it is put, when it is written, and that it is given back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from textual.geometry import Offset

from boxy_tui.terminal.owncursor import AS_IT_WAS, HIDE, OwnCursor, Place


class Pane:
    def __init__(self) -> None:
        self.place: Place | None = Place(Offset(3, 1), 0, False)

    def cursor_place(self) -> Place | None:
        return self.place


class Terminal:
    def __init__(self) -> None:
        self.written: list[str] = []
        self.flushed = 0

    def write(self, data: str) -> None:
        self.written.append(data)

    def flush(self) -> None:
        self.flushed += 1


def application(focused: object, *, headless: bool = False) -> Any:
    return SimpleNamespace(
        is_headless=headless, is_web=False, is_inline=False, cursor_position=Offset(0, 0),
        screen=SimpleNamespace(focused=focused), _driver=Terminal(),
    )  # fmt: skip


def test_it_stands_where_the_focused_pane_has_it_and_is_written_only_when_it_changed() -> None:
    pane = Pane()
    app = application(pane)
    own = OwnCursor(app)
    own.follow()
    own.follow()
    assert app._driver.written == ["\x1b[2;4H\x1b[0 q\x1b[?12l\x1b[?25h"]
    assert app.cursor_position == Offset(3, 1)
    pane.place = Place(Offset(4, 1), 0, False)
    own.follow()
    assert app._driver.written[1:] == ["\x1b[2;5H"]


def test_it_has_the_shape_that_the_program_asked_for() -> None:
    app = application(pane := Pane())
    own = OwnCursor(app)
    own.follow()
    pane.place = Place(Offset(3, 1), 6, False)
    own.follow()
    pane.place = Place(Offset(3, 1), 0, True)
    own.follow()
    assert "\x1b[6 q" in app._driver.written[1]
    assert "\x1b[0 q\x1b[?12h" in app._driver.written[2]


def test_a_frame_ends_at_the_new_place_and_nothing_more_is_written() -> None:
    app = application(pane := Pane())
    own = OwnCursor(app)
    own.follow()
    pane.place = Place(Offset(9, 9), 0, False)
    own.lead(pane.place)
    assert app.cursor_position == Offset(9, 9)
    own.follow()
    assert len(app._driver.written) == 1


def test_somebody_else_moved_it_meanwhile() -> None:
    app = application(Pane())
    own = OwnCursor(app)
    own.follow()
    app.cursor_position = Offset(0, 0)  # a dialog's field had it
    own.follow()
    assert app._driver.written[-1] == "\x1b[2;4H"


def test_it_is_hidden_and_given_back_as_it_was() -> None:
    app = application(Pane())
    own = OwnCursor(app)
    own.follow()
    app.screen.focused = object()
    own.follow()
    own.leave()
    assert app._driver.written[1:] == [HIDE]
    app.screen.focused = Pane()
    own.follow()
    own.leave()
    assert app._driver.written[-1] == AS_IT_WAS


def test_without_a_terminal_of_the_users_own_nothing_is_written() -> None:
    app = application(Pane(), headless=True)
    own = OwnCursor(app)
    own.follow()
    own.leave()
    assert not own.usable
    assert app._driver.written == []
