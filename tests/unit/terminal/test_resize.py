"""Other sizes: reflow, and rows that come and go, as in tmux."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_tui.terminal.emulator import Emulator
from tests.unit.terminal.streams import meaningful, sizes


def rows(term: Emulator) -> list[str]:
    return [row.rstrip() for row in term.display]


def test_a_long_line_is_split_and_joined_again() -> None:
    term = Emulator(10, 4)
    term.feed(b"abcdefghijklmno\r\n$ ")
    assert rows(term) == ["abcdefghij", "klmno", "$", ""]
    term.resize(20, 4)
    assert rows(term) == ["abcdefghijklmno", "$", "", ""]
    assert (term.cursor.x, term.cursor.y) == (2, 1)
    term.resize(5, 4)
    assert term.history_lines() == ["abcde", "fghij"]
    assert rows(term) == ["klmno", "$", "", ""]
    assert (term.cursor.x, term.cursor.y) == (2, 1)
    term.resize(5, 8)
    assert rows(term)[:4] == ["abcde", "fghij", "klmno", "$"]
    assert (term.cursor.x, term.cursor.y) == (2, 3)


def test_wide_characters_are_not_cut() -> None:
    term = Emulator(10, 3)
    term.feed("日本語日本語".encode())
    term.resize(5, 5)
    assert term.history_lines() == ["日本"]
    assert rows(term) == ["語日", "本語", "", "", ""]
    term.resize(12, 6)
    assert rows(term)[0] == "日本語日本語"


def test_rows_go_to_the_scrollback_and_come_back() -> None:
    term = Emulator(10, 4)
    term.feed(b"1\r\n2\r\n3\r\n4")
    term.resize(10, 2)
    assert rows(term) == ["3", "4"]
    assert term.history_lines() == ["1", "2"]
    term.resize(10, 4)
    assert rows(term) == ["1", "2", "3", "4"]
    assert (term.cursor.x, term.cursor.y) == (1, 3)


def test_blank_rows_under_the_cursor_go_first() -> None:
    term = Emulator(10, 4)
    term.feed(b"1\r\n2")
    term.resize(10, 2)
    assert rows(term) == ["1", "2"]
    assert term.history_lines() == []


def test_what_only_wrapping_pushed_out_stays_out_when_the_screen_grows() -> None:
    term = Emulator(40, 10)
    term.feed(b"\r\n" + b"x" * 21)
    term.resize(20, 3)
    term.resize(20, 9)
    assert term.history_lines() == [""]
    assert rows(term)[:3] == ["x" * 20, "x", ""]
    assert (term.cursor.x, term.cursor.y) == (1, 1)


def test_blanks_that_were_typed_are_wrapped_like_any_text() -> None:
    term = Emulator(40, 4)
    term.feed(b"abcdefghi  ")
    term.resize(10, 4)
    assert term.history_lines() == ["abcdefghi "]
    assert (term.cursor.x, term.cursor.y) == (1, 0)


def test_the_alternate_screen_is_clipped_and_the_primary_reflowed_on_return() -> None:
    term = Emulator(10, 4)
    term.feed(b"abcdefghijklmno\r\n$ \x1b[?1049h\x1b[Hfull screen")
    term.resize(20, 4)
    term.feed(b"\x1b[?1049l")
    assert rows(term) == ["abcdefghijklmno", "$", "", ""]
    assert (term.cursor.x, term.cursor.y) == (2, 1)


def test_absurd_sizes_are_bounded() -> None:
    term = Emulator(10**9, 10**9)
    assert (term.columns, term.lines) == (2000, 1000)
    term.resize(0, -5)
    term.feed("abc日".encode())
    assert (term.columns, term.lines) == (1, 1)


@given(st.text("abc 日é", max_size=60), st.lists(sizes, max_size=5))
def test_no_text_is_lost_by_resizing(text: str, steps: list[tuple[int, int]]) -> None:
    term = Emulator(12, 8, history=1000)
    term.feed(text.encode())
    for columns, lines in steps:
        term.resize(max(2, columns), lines)
    everything = "".join(
        term.screen.row_text(row) for row in [*term.screen.history, *term.screen.grid]
    )
    assert everything.rstrip() == text.rstrip()


@given(meaningful, st.lists(sizes, max_size=4), meaningful)
def test_resizing_back_leaves_the_screen_whole(
    data: bytes, steps: list[tuple[int, int]], then: bytes
) -> None:
    term = Emulator(12, 5)
    term.feed(data)
    for size in [*steps, (12, 5)]:
        term.resize(*size)
        assert all(len(row.text) <= size[0] for row in term.screen.grid)
    term.feed(then)
    assert len(term.display) == 5
    assert 0 <= term.cursor.y < 5
