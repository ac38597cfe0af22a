"""Long lines are broken between words, and lose nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from boxy_tui.folding import fold


def texts(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert fold([("a ", "x"), ("b", "y")], 10) == [[("a", "x"), (" ", "x"), ("b", "y")]]


def test_later_lines_are_indented() -> None:
    lines = fold([("error   ", "bad"), ("no space left on the device", "text")], 20, 8)
    assert texts(lines) == ["error   no space", "        left on the", "        device"]


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert texts(fold([("/a/very/long/path", "")], 6)) == ["/a/ver", "y/long", "/path"]


def test_wide_signs_count_twice() -> None:
    assert texts(fold([("日本語", "")], 4)) == ["日本", "語"]


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(1, 40), st.integers(0, 10))
def test_nothing_is_lost_and_nothing_is_too_wide(parts: list[str], width: int, indent: int) -> None:
    lines = fold([(part, "") for part in parts], width, indent)
    joined = "".join("".join(text for text, _ in line) for line in lines)
    assert "".join(joined.split()) == "".join("".join(parts).split())
    for line in lines:
        if len(line) > 2:
            assert sum(cell_len(text) for text, _ in line) <= max(width, indent + 2)
