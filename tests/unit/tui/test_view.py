"""Looking back in a pane."""

from __future__ import annotations

from boxy_tui.panes.view import View
from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.find import Point


def filled(lines: int = 50) -> View:
    term = Emulator(20, 5)
    term.feed("\r\n".join(f"line {n}" for n in range(lines)).encode())
    return View(term)


def shown(view: View) -> list[str]:
    first = view.first_shown()
    return [view.emulator.line_text(first + y) for y in range(view.emulator.lines)]


def test_it_follows_the_screen_until_it_is_scrolled() -> None:
    view = filled()
    assert view.top is None
    view.scroll(-3)
    assert shown(view)[0] == "line 42"


def test_a_view_scrolled_back_stands_still_while_output_goes_on() -> None:
    view = filled()
    view.scroll(-3)
    before = shown(view)
    view.emulator.feed(b"\r\nmore\r\nand more")
    assert shown(view) == before


def test_scrolling_past_the_newest_line_follows_again() -> None:
    view = filled()
    view.scroll(-3)
    view.scroll(10)
    assert view.live


def test_scrolling_stops_at_the_oldest_line() -> None:
    view = filled()
    view.scroll(-1000)
    assert shown(view)[0] == "line 0"
    assert not view.scroll(-1)


def test_a_search_goes_to_the_newest_match_and_steps_to_older_ones() -> None:
    view = filled()
    assert view.search("line 1", 5) == 11
    assert view.matches[view.at].start.line == 19
    view.step(-1, 5)
    assert view.matches[view.at].start.line == 18
    assert "line 18" in shown(view)


def test_a_broken_pattern_is_searched_as_plain_text() -> None:
    term = Emulator(20, 3)
    term.feed(b"a [b c")
    assert View(term).search("[b", 3) == 1


def test_nothing_found_is_nothing_shown() -> None:
    view = filled()
    assert view.search("absent", 5) == 0
    view.step(1, 5)
    assert view.matches_on(3) == []


def test_a_selection_over_lines_is_its_text() -> None:
    view = filled(3)
    first = view.first_shown()
    view.select(Point(first, 0))
    view.extend(Point(first + 1, 5))
    assert view.selection_on(first) == (0, 20)
    assert view.selected() == "line 0\nline 1"
    assert view.selection_on(first) is None
