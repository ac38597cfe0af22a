"""What came from a box can never act on the operator's terminal."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.text import LineFilter, escape, escape_lines

any_text = st.text(st.characters(), max_size=200)


def harmless(text: str) -> bool:
    return all(char.isprintable() or char in "\u200c\u200d" for char in text)


@given(any_text)
def test_an_escaped_line_is_printable_whatever_it_was(text: str) -> None:
    assert harmless(escape(text))


@given(any_text)
def test_escaped_lines_hold_only_line_ends_and_tabs_beside(text: str) -> None:
    assert harmless(escape_lines(text).replace("\n", "").replace("\t", ""))


@given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=50))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\\e[2Jb"),
        ("a\nb\t\r", "a\\nb\\t\\r"),
        ("\x07\x9b", "\\x07\\x9b"),
        ("\u202eevil", "\\u202eevil"),
        ("\udcff", "\\xff"),
        ("\U000e0001", "\\U000e0001"),
        ("gruß 日本 👩\u200d🚀", "gruß 日本 👩\u200d🚀"),
    ],
)
def test_what_acts_is_shown_instead(text: str, shown: str) -> None:
    assert escape(text) == shown


def filtered(data: bytes, cuts: list[int]) -> bytes:
    screen = LineFilter()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [data[a:b] for a, b in pairwise(edges)]
    return b"".join([*(screen.feed(part) for part in parts), screen.end()])


@given(st.binary(max_size=300))
def test_a_filtered_log_has_no_sequence_but_colours(data: bytes) -> None:
    text = filtered(data, []).decode("utf-8", "surrogateescape")
    for sequence in text.split("\x1b")[1:]:
        body = sequence[1:].lstrip("0123456789;:")
        assert sequence.startswith("[")
        assert body.startswith("m")
    rest = text.replace("\x1b", "").replace("\n", "").replace("\t", "")
    assert harmless(rest)


@given(
    st.lists(
        st.sampled_from(
            [b"\x1b[31m", b"\x1b[0m", "é日".encode(), b"x\r\n", b"\x1b[2J", b"ab", b"\n"]
        ),
        max_size=12,
    ).map(b"".join),
    st.lists(st.integers(0, 100), max_size=6),
)
def test_where_a_log_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    assert filtered(data, cuts) == filtered(data, [])


def test_a_colour_that_was_left_on_ends_with_the_log() -> None:
    assert filtered(b"\x1b[31mred", []) == b"\x1b[31mred\x1b[0m"
    assert filtered(b"\x1b[31mred\x1b[0m", []) == b"\x1b[31mred\x1b[0m"
