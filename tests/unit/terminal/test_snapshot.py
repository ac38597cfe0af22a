"""A snapshot draws the very same terminal on a fresh one."""

from __future__ import annotations

from hypothesis import example, given

from boxy_tui.terminal.emulator import Emulator
from tests.unit.terminal.streams import meaningful, sizes, state


def redrawn(term: Emulator, history: int = 0) -> Emulator:
    copy = Emulator(term.columns, term.lines)
    copy.feed(term.snapshot(history))
    return copy


@given(meaningful, sizes)
@example("\x1b[?1049h🇫\x1b[1;2H🇷".encode(), (10, 3))
@example(b"\x1b[41m\x1b[2J\x1b[5;10r\x1b[?6habc", (12, 8))
def test_a_snapshot_draws_the_same_screen(data: bytes, size: tuple[int, int]) -> None:
    term = Emulator(*size)
    term.feed(data)
    assert state(redrawn(term)) == state(term)


@given(meaningful, meaningful)
def test_what_follows_a_snapshot_goes_on_as_if_nothing_had_been(first: bytes, then: bytes) -> None:
    term = Emulator(12, 6)
    term.feed(first)
    copy = redrawn(term)
    # Not part of the picture: the character that REP repeats, and a single shift.
    for one in (term, copy):
        one.feed(b"\x1b7\x1b(B\x0f\x1b8")
        one.screen.last_drawn = ""
        one.screen.single_pending = False
        one.screen._refuss()
        one.feed(then)
    assert state(copy) == state(term)


def test_the_primary_screen_comes_along_under_the_alternate_one() -> None:
    term = Emulator(20, 4)
    term.feed(b"$ vi\r\n\x1b[?1049h\x1b[2J\x1b[Hediting\x1b[?1000h\x1b[?1006h")
    copy = redrawn(term)
    assert copy.alternate
    assert copy.modes == term.modes
    copy.feed(b"\x1b[?1049l")
    term.feed(b"\x1b[?1049l")
    assert state(copy) == state(term)


def test_history_comes_along_when_asked_for() -> None:
    term = Emulator(20, 3)
    term.feed(b"".join(b"line %d\r\n" % i for i in range(20)))
    assert redrawn(term).history_lines() == []
    assert redrawn(term, 5).history_lines() == [f"line {i}" for i in range(13, 18)]
    assert redrawn(term, 5).display == term.display


def test_a_wrapped_line_stays_one_line() -> None:
    term = Emulator(10, 4)
    term.feed(b"a line of more than ten")
    copy = redrawn(term)
    copy.resize(30, 4)
    assert copy.display[0].rstrip() == "a line of more than ten"


def test_a_snapshot_is_small() -> None:
    term = Emulator(80, 24)
    term.feed(b"".join(b"\x1b[32mline %d\x1b[m of the screen\r\n" % i for i in range(5000)))
    assert len(term.snapshot()) < 3000


def test_a_cell_that_had_no_room_to_become_wide_hides_nothing_where_there_is_room() -> None:
    term = Emulator(10, 3)
    term.feed("123456789❤\ufe0f".encode())  # narrow, in the last column
    term.resize(12, 3)
    term.feed(b"XY")
    copy = redrawn(term)
    assert term.display[0].replace("\ufe0f", "") == "123456789❤XY"
    assert copy.display[0] == "123456789❤XY"
