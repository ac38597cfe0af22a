"""Lines by number: scrollback, search, selection; and the tables that keep them small."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len
from wcwidth import wcwidth

from boxy_tui.terminal import cells, width
from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.find import Match, Point


def numbered(count: int, history: int = 100) -> Emulator:
    term = Emulator(20, 4, history=history)
    term.feed(b"".join(b"line %d\r\n" % i for i in range(count)))
    return term


def test_lines_keep_their_numbers_as_they_scroll() -> None:
    term = numbered(10)
    number = term.base_line
    assert term.line_text(number) == "line 7"
    term.feed(b"more\r\nand more\r\n")
    assert term.line_text(number) == "line 7"
    assert term.line_text(term.base_line) == "line 9"
    assert term.line_text(term.end_line) == ""


def test_the_scrollback_is_bounded() -> None:
    term = numbered(1000, history=50)
    assert term.history_size == 50
    assert term.line_text(term.first_line) == "line 947"
    assert term.line_text(term.first_line - 1) == ""


def test_search_finds_text_across_a_wrap_and_after_wide_characters() -> None:
    term = Emulator(10, 4)
    term.feed("日本 needle\r\nxx NEEDLE".encode())
    assert term.search("needle") == [
        Match(Point(0, 5), Point(1, 1)),
        Match(Point(2, 3), Point(2, 9)),
    ]
    assert len(term.search("needle", ignore_case=False)) == 1
    assert term.search("n.e+dle", regex=True) == term.search("needle")
    assert term.search("") == []
    with pytest.raises(re.error):
        term.search("(", regex=True)


def test_search_reaches_what_was_set_aside_unparsed() -> None:
    term = Emulator(20, 4)
    term.feed(b"".join(b"line \x1b[31m%d\x1b[m here\r\n" % i for i in range(3000)))
    found = term.search("line 1234 ")
    assert [term.line_text(match.start.line) for match in found] == ["line 1234 here"]


def test_selection_joins_wrapped_lines_and_drops_blanks() -> None:
    term = Emulator(10, 5)
    term.feed(b"abcdefghijklm   \r\nsecond\r\nthird")
    assert term.selection(Point(0, 2), Point(2, 3)) == "cdefghijklm\nseco"
    assert term.selection(Point(2, 3), Point(0, 2)) == "cdefghijklm\nseco"
    assert term.selection(Point(2, 1), Point(3, 2), block=True) == "ec\nhi"


def test_selection_takes_wide_characters_whole() -> None:
    term = Emulator(10, 2)
    term.feed("a日b".encode())
    assert term.selection(Point(0, 2), Point(0, 2)) == "日"
    assert term.selection(Point(0, 1), Point(0, 1)) == "日"


def test_only_rows_that_changed_are_dirty() -> None:
    term = numbered(3)
    assert term.take_dirty() == [0, 1, 2, 3]
    assert term.take_dirty() == []
    term.feed(b"\x1b[2;1HX")
    assert term.take_dirty() == [1]
    term.feed(b"\x1b[2;1HX")
    assert term.take_dirty() == []


def test_true_colour_does_not_fill_the_memory() -> None:
    term = Emulator(80, 24, history=100)
    for step in range(200):
        term.feed(b"".join(b"\x1b[38;2;%d;%d;%dmx" % (step, i, i ^ step) for i in range(250)))
    assert len(term.screen.styles) < 20_000
    assert len(term.screen.styles.styles) < 20_000
    last = list(term.screen.row_cells(term.screen.grid[term.cursor.y]))[term.cursor.x - 1]
    assert last[1].fg == "#c7f93e"


def test_styles_in_use_survive_a_sweep() -> None:
    term = Emulator(80, 4, history=10)
    term.feed(b"\x1b[38;2;1;2;3;44mkept\x1b7\r\n")
    before = term.runs(0)
    for i in range(10_000):
        term.feed(b"\x1b[2;1H\x1b[38;2;9;%d;%dmx" % (i // 256, i % 256))
    assert term.runs(0) == before
    term.feed(b"\x1b8\x1b[4G!")
    assert term.runs(0) == [("kep", before[0][1]), ("!", before[0][1])] or term.runs(0) == [
        ("kep!", before[0][1])
    ]


def test_a_full_style_table_falls_back_to_the_palette() -> None:
    looks: list[int] = []

    def live() -> set[str]:
        looks.append(len(looks))
        return {chr(n) for n in range(0x20000)}

    table = cells.StyleTable(live)
    for i in range(cells.STYLE_ROOM + 1000):
        table.pen(cells.Style(fg=f"#{i:06x}"))
    assert len(table) <= cells.STYLE_ROOM + cells.PALETTE_ROOM
    assert table.pen(cells.Style(fg="#ff0000", bold=True)).style == cells.Style(fg=196, bold=True)
    assert len(looks) < 10


def test_a_full_cluster_table_frees_what_is_not_shown() -> None:
    shown = [""]
    table = cells.Clusters(lambda: shown)
    shown[0] = kept = table.char("e\u0301")
    for i in range(cells.CLUSTER_ROOM + 100):
        table.char(chr(0x4E00 + i % 20_000) + chr(0x300 + i // 20_000))
    assert table.text(kept) == "e\u0301"
    assert table.text(table.char("a\u0302")) == "a\u0302"


@pytest.mark.parametrize(("chars", "cells_each"), [(width.NARROW, 1), (width.WIDE, 2)])
def test_the_classes_of_simple_characters_have_the_width_that_wcwidth_says(
    chars: str, cells_each: int
) -> None:
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x30000)]))
    simple = re.findall(f"[{chars}]", everything)
    assert len(simple) > 90
    assert [c for c in simple if wcwidth(c) != cells_each] == []


@pytest.mark.parametrize("text", ["✌x", "☝\ufe0fx", "🕵🏽x", "日本é👩\u200d💻x", "🇫🇷x"])
def test_what_is_painted_is_as_wide_as_the_cells(text: str) -> None:
    term = Emulator(20, 1)
    term.feed(text.encode())
    painted = "".join(segment.text for segment in term.segments(0))
    assert cell_len(painted) == term.cursor.x
