"""A terminal that a box's program left in a mess is put right; others are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_cli.modes import ALWAYS, ModeTracker, strip_queries

VIM = b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l\x1b[?1000;1006h text"


def undo(*chunks: bytes, always: bool = False) -> bytes:
    tracker = ModeTracker()
    for chunk in chunks:
        tracker.feed(memoryview(chunk))
    return tracker.undo(always=always)


def test_a_full_screen_program_is_undone_with_the_alternate_screen_last() -> None:
    back = undo(VIM)
    for part in (
        b"\x1b[?1l",
        b"\x1b>",
        b"\x1b[?2004l",
        b"\x1b[?25h",
        b"\x1b[?1000l",
        b"\x1b[?1006l",
    ):
        assert part in back
    assert back.endswith(b"\x1b[?1049l")


@pytest.mark.parametrize("cut", range(1, len(VIM)))
def test_a_cut_sequence_is_seen(cut: int) -> None:
    assert undo(VIM[:cut], VIM[cut:]) == undo(VIM)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain \x1b[31mred\x1b[0m",
        b"\x1b[?25l\x1b[?25h",
        b"\x1b[?1049h\x1b[?1049l",
        VIM + b"\x1bc",
    ],
)
def test_what_a_program_put_back_itself_is_left_alone(data: bytes) -> None:
    assert undo(data) == b""
    assert undo(data, always=True) == ALWAYS


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_output_is_harmless_to_the_tracker(chunks: list[bytes]) -> None:
    assert undo(*chunks, always=True).startswith(ALWAYS)


@pytest.mark.parametrize(
    "query",
    [b"\x1b[c", b"\x1b[>0c", b"\x1b[=c", b"\x1b[6n", b"\x1b[?6n", b"\x1b[?2026$p", b"\x1b[>q",
     b"\x1b[?u", b"\x1b[18t", b"\x1b]11;?\x07", b"\x1b]10;?\x1b\\", b"\x1b]52;c;?\x07",
     b"\x1bP$qm\x1b\\", b"\x1bZ", b"\x05"],
)  # fmt: skip
def test_history_asks_the_terminal_nothing(query: bytes) -> None:
    assert strip_queries(b"a" + query + b"b") == b"ab"


@pytest.mark.parametrize(
    "data",
    [b"\x1b[31m", b"\x1b[?25l", b"\x1b]0;title\x07", b"\x1b[2J", b"\x1b[10;20r", b"\x1b[5n"[:3]],
)
def test_what_only_draws_stays_in_the_history(data: bytes) -> None:
    assert strip_queries(data) == data
