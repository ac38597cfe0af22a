"""Whatever a program writes, the emulator stands, and how the bytes are cut makes no difference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_tui.terminal.cells import TAIL
from boxy_tui.terminal.emulator import Emulator
from tests.unit.terminal.streams import meaningful, noise, sizes, state


def check(term: Emulator) -> None:
    """What must hold of every screen."""
    screen = term.screen
    assert len(screen.grid) == screen.lines
    assert 0 <= term.cursor.x <= term.columns
    assert 0 <= term.cursor.y < term.lines
    assert 0 <= screen.top <= screen.bottom < screen.lines
    for row in screen.grid:
        assert len(row.text) == len(row.style) <= term.columns
        assert not row.text.startswith(TAIL)
        assert TAIL * 2 not in row.text
    for y in range(term.lines):
        assert len(list(term.cells(y))) == term.columns
        term.segments(y)


@given(noise, sizes, sizes, noise)
def test_no_bytes_break_it_before_or_after_a_resize(
    first: bytes, size: tuple[int, int], then: tuple[int, int], second: bytes
) -> None:
    term = Emulator(*size, history=10)
    term.feed(first)
    check(term)
    term.resize(*then)
    check(term)
    term.feed(second)
    check(term)
    term.take_dirty()
    term.search("a")
    term.snapshot(5)


@given(noise, st.lists(st.integers(0, 200), max_size=6))
def test_the_same_bytes_cut_anywhere_give_the_same_screen(data: bytes, cuts: list[int]) -> None:
    whole, cut = Emulator(12, 5), Emulator(12, 5)
    whole.feed(data)
    last = 0
    for at in sorted(cuts):
        cut.feed(data[last:at])
        last = max(last, at)
    cut.feed(data[last:])
    whole.feed(b"\x1b\\\x18.")
    cut.feed(b"\x1b\\\x18.")
    assert state(cut) == state(whole)


@given(meaningful, sizes)
def test_a_row_not_reported_dirty_looks_as_it_did(data: bytes, size: tuple[int, int]) -> None:
    term = Emulator(*size)
    term.take_dirty()
    before = [list(term.segments(y)) for y in range(term.lines)]
    term.feed(data)
    after = [list(term.segments(y)) for y in range(term.lines)]
    dirty = set(term.take_dirty())
    assert {y for y in range(term.lines) if before[y] != after[y]} == dirty


def test_an_endless_string_takes_no_memory_and_ends() -> None:
    term = Emulator(20, 3)
    term.feed(b"\x1b]0;")
    for _ in range(40):
        term.feed(b"x" * 65_536)
    assert term.parser._string is not None
    assert sum(len(piece) for piece in term.parser._string[1]) <= 1 << 20
    term.feed(b"\x07ok")
    assert term.display[0].startswith("ok")
    assert term.title == ""


def test_an_endless_sequence_takes_no_memory() -> None:
    term = Emulator(20, 3)
    term.feed(b"\x1b[")
    for _ in range(100):
        term.feed(b"1;" * 1000)
    assert len(term.parser._pending) < 10_000


def test_many_strings_in_one_piece_cost_no_more_than_their_length() -> None:
    term = Emulator(20, 3)
    term.feed(b"\x1b]0;t\x07" * 100_000 + b"\x1bP" * 50_000 + b"\x1b\\done")
    assert term.display[0].startswith("done")


def test_a_cell_keeps_only_so_many_combining_marks() -> None:
    term = Emulator(20, 3)
    term.feed(("a" + "\u0301" * 10_000 + "b").encode())
    assert len(next(term.cells(0))[0]) <= 32
    assert term.cursor.x == 2
