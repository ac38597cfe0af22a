"""A flood that is set aside leaves the same terminal as one that is parsed byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxy_tui.terminal import flood
from boxy_tui.terminal.emulator import Emulator
from tests.unit.terminal.streams import meaningful, state

_lines = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "",
                "a line",
                "\x1b[31mred",
                "\x1b[0mplain \x1b[1mbold",
                "\x1b[44mblue\x1b[K",
                "a\tb",
                "x" * 45,
                "日本語" * 9,
                "\x1b[38;2;1;2;3mtrue",
                "\x1b[mreset",
                "one\rtwo",
                "e\u0301",
                "\x1b[7m\x1b[22m",
                "bare\nfeed",
            ]
        )
    ),
    min_size=30,
    max_size=90,
).map(lambda lines: "".join(line + "\r\n" for line in lines).encode())


def both(history: int, pieces: list[bytes]) -> tuple[Emulator, Emulator]:
    quick, slow = Emulator(20, 5, history=history), Emulator(20, 5, history=history)
    slow.watching = True
    for piece in pieces:
        data = flood.skip(quick.screen, quick.parser, piece)
        quick.parser.feed(data)
        slow.feed(piece)
    return quick, slow


@given(meaningful, _lines, st.one_of(_lines, meaningful), st.sampled_from([0, 3, 40, 1000]))
def test_screen_and_history_are_the_same(
    before: bytes, flooded: bytes, after: bytes, history: int
) -> None:
    quick, slow = both(history, [before, flooded, after])
    assert state(quick) == state(slow)
    assert quick.history_lines() == slow.history_lines()
    assert [quick.line_segments(n) for n in range(quick.first_line, quick.end_line)] == [
        slow.line_segments(n) for n in range(slow.first_line, slow.end_line)
    ]


@given(_lines, _lines)
def test_lines_keep_their_numbers(first: bytes, second: bytes) -> None:
    quick, slow = both(1000, [first, second])
    quick.history_lines()
    assert (quick.first_line, quick.base_line) == (slow.first_line, slow.base_line)


def test_nearly_all_of_a_flood_is_set_aside() -> None:
    term = Emulator(80, 24)
    data = b"".join(b"line %d of a flood\r\n" % i for i in range(10_000))
    rest = flood.skip(term.screen, term.parser, data)
    assert len(rest) == 0
    assert len(term.screen.history.recent) <= 26
    assert term.history_size == 5000
    assert term.history_lines()[-1] == "line 9976 of a flood"
    assert term.display[22].rstrip() == "line 9999 of a flood"


def test_what_is_set_aside_stays_within_bounds() -> None:
    term = Emulator(80, 24, history=100)
    for _ in range(50):
        term.feed(b"".join(b"%060d\r\n" % i for i in range(1000)))
    held = sum(piece.bytes for _rows, piece in term.screen.history._older)
    assert held < 200_000
    assert term.history_size == 100


def test_a_flood_of_many_megabytes_keeps_only_what_history_can_hold() -> None:
    term = Emulator(80, 24, history=100)
    term.feed(b"\x1b[31m" + b"".join(b"line %07d\r\n" % i for i in range(400_000)))
    assert sum(piece.bytes for _rows, piece in term.screen.history._older) < 5000
    assert term.history_lines() == [f"line {i:07}" for i in range(399_877, 399_977)]
    assert term.runs(0)[0][1].fg == 1


def test_output_that_moves_the_cursor_is_not_set_aside() -> None:
    term = Emulator(80, 24)
    data = b"a\x1b[5;5Hb\r\n" * 500
    assert flood.skip(term.screen, term.parser, data) == data
