"""What sequences do to the screen. Each case: bytes in, rows and cursor out, as tmux shows them."""

from __future__ import annotations

from typing import Any

import pytest

from boxy_tui.terminal.cells import PLAIN
from boxy_tui.terminal.emulator import Emulator

Case = tuple[str, bytes, list[str], tuple[int, int]]

CASES: list[Case] = [
    ("wrap", b"abcdefghijkl", ["abcdefghij", "kl"], (2, 1)),
    ("the wrap waits", b"abcdefghij", ["abcdefghij"], (10, 0)),
    ("a pending wrap is undone by CR", b"abcdefghij\rX", ["Xbcdefghij"], (1, 0)),
    ("no autowrap", b"\x1b[?7labcdefghijkl", ["abcdefghil"], (9, 0)),
    ("line feed keeps the column", b"ab\nc", ["ab", "  c"], (3, 1)),
    ("new line mode", b"\x1b[20hab\nc", ["ab", "c"], (1, 1)),
    ("scroll", b"1\r\n2\r\n3\r\n4\r\n5", ["2", "3", "4", "5"], (1, 3)),
    ("region", b"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n", ["1", "3", "", "4"], (0, 2)),
    ("reverse index", b"1\r\n2\x1b[H\x1bM", ["", "1", "2"], (0, 0)),
    ("origin mode", b"\x1b[2;3r\x1b[?6hA\x1b[9;9HB", ["", "A", "        B"], (9, 2)),
    ("insert lines", b"1\r\n2\r\n3\x1b[2;1H\x1b[L", ["1", "", "2", "3"], (0, 1)),
    ("delete lines", b"1\r\n2\r\n3\x1b[1;1H\x1b[M", ["2", "3"], (0, 0)),
    ("insert characters", b"abc\x1b[2G\x1b[2@", ["a  bc"], (1, 0)),
    ("delete characters", b"abcde\x1b[2G\x1b[2P", ["ade"], (1, 0)),
    ("erase characters", b"abcde\x1b[2G\x1b[2X", ["a  de"], (1, 0)),
    ("insert mode", b"abc\r\x1b[4hXY", ["XYabc"], (2, 0)),
    ("erase to the end", b"abcde\x1b[3G\x1b[K", ["ab"], (2, 0)),
    ("erase from the start", b"abcde\x1b[3G\x1b[1K", ["   de"], (2, 0)),
    ("erase the line", b"abcde\x1b[3G\x1b[2K", [""], (2, 0)),
    ("erase below", b"1\r\n22\r\n3\x1b[2;2H\x1b[J", ["1", "2"], (1, 1)),
    ("erase above", b"1\r\n22\r\n3\x1b[2;1H\x1b[1J", ["", " 2", "3"], (0, 1)),
    ("nothing to erase in a pending wrap", b"abcdefghij\x1b[K", ["abcdefghij"], (10, 0)),
    ("repeat", b"ab\x1b[3b", ["abbbb"], (5, 0)),
    ("repeat a wide one", "日\x1b[2b".encode(), ["日日日"], (6, 0)),
    ("repeat to the margin", b"ab\x1b[99bc\x1b[2b", ["ab" + "b" * 8, "ccc"], (3, 1)),
    ("tabs", b"\ta\x1b[3g\r\x1b[5G\x1bH\r\tb", ["    b   a"], (5, 0)),
    ("back tab", b"\x1b[10G\x1b[Zx", ["        x"], (9, 0)),
    ("line drawing", b"\x1b(0lqk\x1b(Bq", ["┌─┐q"], (4, 0)),
    ("shift out", b"\x1b)0a\x0eq\x0fq", ["a─q"], (3, 0)),
    ("single shift", b"\x1b*0\x1bNqq", ["─q"], (2, 0)),
    ("save and restore", b"\x1b[2;3H\x1b7\x1b[Hx\x1b8y", ["x", "  y"], (3, 1)),
    ("back over a wrap", b"abcdefghijkl\b\b\bX", ["abcdefghiX", "kl"], (10, 0)),
    ("a region sends the cursor home", b"\x1b[2;3r\x1b[?6h\x1b[2;4rx", ["x"], (1, 0)),
    ("a skin tone joins a hand", "👍🏽x".encode(), ["👍🏽x"], (3, 0)),
    ("a skin tone joins nothing else", "日🏽x".encode(), ["日🏽x"], (5, 0)),
    ("a narrow emoji that takes a skin tone is wide", "✌x".encode(), ["✌x"], (3, 0)),
    ("the Hangul filler is nothing", "a\u3164b".encode(), ["ab"], (2, 0)),
    ("alignment", b"\x1b#8", ["E" * 10] * 4, (0, 0)),
    ("a control inside a sequence acts at once", b"ab\x1b[\b1mc", ["ac"], (2, 0)),
    ("CAN aborts", b"\x1b[3\x181", ["1"], (1, 0)),
    ("ESC starts anew", b"\x1b[3\x1b[2Cx", ["  x"], (3, 0)),
    (
        "strings are not shown",
        b"\x1bPabc\x1b\\1\x1b_x\x1b\\2\x1b^y\x1b\\3\x1bkz\x1b\\4",
        ["1234"],
        (4, 0),
    ),
    ("C1 is not recognised in UTF-8", "a\x9b1mb".encode(), ["a1mb"], (4, 0)),
    ("bad UTF-8", b"a\xffb", ["a\ufffdb"], (3, 0)),
    ("wide characters wrap whole", "aaaaaaaaa日".encode(), ["aaaaaaaaa", "日"], (2, 1)),
    ("half a wide one is blanked", "日本\x1b[2Gx".encode(), [" x本"], (2, 0)),
    ("a combining mark", "e\u0301x".encode(), ["e\u0301x"], (2, 0)),
    ("a mark at the edge", "abcdefghie\u0301".encode(), ["abcdefghie\u0301"], (10, 0)),
    ("a family", "👨\u200d👩x".encode(), ["👨\u200d👩x"], (3, 0)),
    ("a flag", "🇫🇷x".encode(), ["🇫🇷x"], (3, 0)),
    ("a skin tone", "👍🏽x".encode(), ["👍🏽x"], (3, 0)),
    ("an emoji by selector", "☂\ufe0fx".encode(), ["☂\ufe0fx"], (3, 0)),
    ("reset", b"\x1b[2;3r\x1b[?6h\x1b[31mabc\x1bcx", ["x"], (1, 0)),
]


@pytest.mark.parametrize(("name", "data", "rows", "cursor"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("cut", [None, 1])
def test_the_screen_after(
    name: str, data: bytes, rows: list[str], cursor: tuple[int, int], cut: int | None
) -> None:
    term = Emulator(10, 4)
    for at in range(0, len(data), cut or len(data)):
        term.feed(data[at : at + (cut or len(data))])
    shown = [row.rstrip() for row in term.display]
    assert shown == rows + [""] * (4 - len(rows)), name
    assert (term.cursor.x, term.cursor.y) == cursor


@pytest.mark.parametrize(
    ("parameters", "changes"),
    [
        ("1", {"bold": True}),
        ("1;22", {}),
        ("2;3;9", {"dim": True, "italic": True, "strike": True}),
        ("4", {"underline": 1}),
        ("21", {"underline": 2}),
        ("4:3", {"underline": 3}),
        ("4:0", {}),
        ("5;7;8;53", {"blink": True, "reverse": True, "hidden": True, "overline": True}),
        ("31;42", {"fg": 1, "bg": 2}),
        ("95;106", {"fg": 13, "bg": 14}),
        ("38;5;200", {"fg": 200}),
        ("38;5;300", {}),
        ("48;2;1;2;255", {"bg": "#0102ff"}),
        ("38:2::1:2:3", {"fg": "#010203"}),
        ("38:2:1:2:3", {"fg": "#010203"}),
        ("48:5:9", {"bg": 9}),
        ("58:2::1:2:3;4", {"underline_color": "#010203", "underline": 1}),
        ("1;;31", {"fg": 1}),
        ("1;38", {"bold": True}),
        ("38;2;1", {}),
        ("999", {}),
        ("31;39;1;0", {}),
    ],
)
def test_attributes(parameters: str, changes: dict[str, Any]) -> None:
    term = Emulator(10, 2)
    term.feed(f"\x1b[{parameters}mx".encode())
    assert term.runs(0) == [("x", PLAIN._replace(**changes))]


def test_an_erase_takes_the_background_and_nothing_else() -> None:
    term = Emulator(4, 2)
    term.feed(b"\x1b[1;4;31;44m\x1b[K")
    assert term.runs(0) == [("    ", PLAIN._replace(bg=4))]


def test_a_row_that_a_wrap_scrolls_in_is_plain_and_one_from_a_line_feed_is_coloured() -> None:
    term = Emulator(4, 2)
    term.feed(b"\x1b[2;1H\x1b[44mabcdef")
    assert [bg for _t, _f, bg, _n in term.cells(1)] == [4, 4, None, None]
    term.feed(b"\n")
    assert [bg for _t, _f, bg, _n in term.cells(1)] == [4, 4, 4, 4]


def test_the_half_of_a_wide_character_that_is_drawn_over_is_plain() -> None:
    term = Emulator(4, 1)
    term.feed("\x1b[7m日\x1b[2Gx".encode())
    assert [names for _t, _f, _b, names in term.cells(0)] == [(), ("reverse",), (), ()]


def test_rows_that_leave_a_region_below_others_are_kept() -> None:
    term = Emulator(8, 4)
    term.feed(b"head\r\n1\r\n2\x1b[2;3r\x1b[3;1H\n3")
    assert [row.rstrip() for row in term.display] == ["head", "2", "3", ""]
    assert term.history_lines() == ["1"]


def test_the_alternate_screen_comes_and_goes() -> None:
    term = Emulator(10, 3)
    term.feed(b"shell\x1b[?1049h\x1b[Hvim\r\n\n\n\n")
    assert term.alternate
    assert term.history_lines() == []
    term.feed(b"\x1b[?1049l$")
    assert term.display[0].rstrip() == "shell$"
    assert not term.alternate


def test_clearing_the_screen_keeps_it_in_the_scrollback() -> None:
    term = Emulator(10, 3)
    term.feed(b"one\r\ntwo\x1b[H\x1b[2Jthree")
    assert term.history_lines() == ["one", "two"]
    term.resize(10, 5)
    assert [row.rstrip() for row in term.display] == ["three", "", "", "", ""]
    term.feed(b"\x1b[3J")
    assert term.history_lines() == []


def test_selective_erase_spares_what_is_protected() -> None:
    term = Emulator(10, 2)
    term.feed(b'a\x1b[1"qKEEP\x1b[0"qb\x1b[?2K')
    assert term.display[0].rstrip() == " KEEP"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"\x1b[c", b"\x1b[?62;22c"),
        (b"\x1b[>c", b"\x1b[>1;10;0c"),
        (b"\x1b[5n", b"\x1b[0n"),
        (b"\x1b[3;4H\x1b[6n", b"\x1b[3;4R"),
        (b"\x1b[2;4r\x1b[?6h\x1b[2;1H\x1b[6n", b"\x1b[2;1R"),
        (b"0123456789\x1b[6n", b"\x1b[1;10R"),
        (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
        (b"\x1b[?2026h\x1b[?2026$p", b"\x1b[?2026;1$y"),
        (b"\x1b[?1049h\x1b[?1049$p", b"\x1b[?1049;1$y"),
        (b"\x1b[?9999$p", b"\x1b[?9999;0$y"),
        (b"\x1b[4$p", b"\x1b[4;2$y"),
        (b"\x1b[18t", b"\x1b[8;5;10t"),
        (b"\x1b[21t", b""),
        (b"\x1b]11;?\x07", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
        (b"\x1b]10;?\x1b\\", b"\x1b]10;rgb:e5e5/e5e5/e5e5\x1b\\"),
        (b"\x1b[1;31m\x1bP$qm\x1b\\", b"\x1bP1$r0;1;38;5;1m\x1b\\"),
        (b"\x1bP$qr\x1b\\", b"\x1bP1$r1;5r\x1b\\"),
        (b"\x1bP$qzz\x1b\\", b"\x1bP0$r\x1b\\"),
        (b"\x1bP+q544e\x1b\\", b"\x1bP0+r\x1b\\"),
        (b"\x1b[>0q", b"\x1bP>|boxy\x1b\\"),
    ],
)
def test_answers(asked: bytes, answer: bytes) -> None:
    replies: list[bytes] = []
    Emulator(10, 5, reply=replies.append).feed(asked)
    assert b"".join(replies) == answer


def test_titles_links_bell_and_cursor_shapes() -> None:
    rings: list[None] = []
    term = Emulator(20, 3, on_bell=lambda: rings.append(None))
    term.feed(b"\x1b]2;a\x1b]0;name \xc3\xa9\x1b\\\x07\x1b]8;id=1;http://x\x07link\x1b]8;;\x07.")
    assert term.title == "name é"
    assert len(rings) == 1
    assert [(text, style.link) for text, style in term.runs(0)] == [
        ("link", "http://x"),
        (".", None),
    ]
    assert (term.cursor_shape, term.cursor_blinks) == ("block", False)
    term.feed(b"\x1b[5 q")
    assert (term.cursor_shape, term.cursor_blinks) == ("bar", True)
    term.feed(b"\x1b[?25l")
    assert term.cursor.hidden


def test_the_clipboard_is_asked_for_and_never_taken() -> None:
    asked: list[tuple[str, str | None]] = []
    replies: list[bytes] = []
    term = Emulator(
        20, 3, reply=replies.append, on_clipboard=lambda where, text: asked.append((where, text))
    )
    term.feed(b"\x1b]52;c;aGVsbG8=\x07\x1b]52;c;?\x07\x1b]52;c;!!\x07")
    assert asked == [("c", "hello"), ("c", None)]
    assert replies == []


def test_synchronized_output_is_told() -> None:
    term = Emulator(20, 3)
    term.feed(b"\x1b[?2026h")
    assert term.synchronized
    term.feed(b"\x1b[?2026l")
    assert not term.synchronized
