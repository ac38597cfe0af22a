"""Look for streams that our emulator shows otherwise than tmux does, and make them short.

    BOXY_REFERENCE_TMUX=.../tmux python -m tests.support.terminal_fuzz [--family NAME] [--runs N]

Each family of sequences is drawn from separately, so that one known difference does not hide
the others.  What is meant to differ, because xterm (and the VT manuals) say otherwise than tmux, is
in the class `AsTmux`, which the hunt uses in our place: so it is told once, and hides nothing else.
"""

from __future__ import annotations

import argparse
import random
import time
import unicodedata
from collections.abc import Callable

from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.parser import Parser
from boxy_tui.terminal.screen import Screen
from tests.support.terminal_reference import Cell, Picture, Reference

SIZES = ((20, 6), (12, 4), (40, 10))
BLANK_SHOWS = {"underscore", "reverse", "strikethrough"}

Piece = Callable[[random.Random], str]


def _n(rng: random.Random, most: int = 8) -> str:
    return rng.choice(
        ["", "0", "1", "2", "3", str(rng.randrange(most + 1)), str(rng.randrange(30))]
    )


def _csi(finals: str, count: int = 1) -> Piece:
    def make(rng: random.Random) -> str:
        numbers = ";".join(_n(rng) for _ in range(rng.randrange(count + 1)))
        return f"\x1b[{numbers}{rng.choice(finals)}"

    return make


def _of(*choices: str) -> Piece:
    return lambda rng: rng.choice(choices)


def _text(rng: random.Random) -> str:
    letters = rng.choice(["abc", "XYZ", "0123456789", "lorem ipsum ", "a b"])
    return "".join(
        rng.choice(letters) for _ in range(rng.choice([1, 1, 2, 3, 5, 8, 19, 20, 21, 25]))
    )


def _place(rng: random.Random) -> str:
    return f"\x1b[{rng.randrange(1, 8)};{rng.choice([1, 2, 5, 12, 19, 20, 21, 40])}H"


def _sgr(rng: random.Random) -> str:
    parts = rng.choices(
        ["0", "1", "2", "3", "4", "5", "7", "8", "9", "21", "22", "23", "24", "25", "27", "28",
         "29", "31", "42", "93", "104", "39", "49", "38;5;99", "48;5;200", "38;2;1;2;3",
         "48;2;9;8;7", "4:3", "4:0", "38:5:7", "48:2::5:6:7", "58:5:3", "59", "", "53", "55"],
        k=rng.choice([1, 1, 1, 2, 3]),
    )  # fmt: skip
    return f"\x1b[{';'.join(parts)}m"


_color = _of("\x1b[44m", "\x1b[m", "\x1b[41;1m", "\x1b[49m", "\x1b[7m", "\x1b[48;5;99m")
_control = _of("\r", "\n", "\r\n", "\b", "\t", "\x0b", "\x0c", "\r\n\n")
_region = _of(
    "\x1b[2;4r", "\x1b[r", "\x1b[1;3r", "\x1b[3;20r", "\x1b[3;3r", "\x1b[4;2r", "\x1b[2;5r"
)
_wide = _of("日", "日本語", "한글", "a日", "😀", "日" * 11, "x" * 19 + "日")
_joining = _of(
    "e\u0301", "\u0301", "👍🏽", "👩\u200d💻", "🇫🇷", "🇫", "❤\ufe0f", "☺\ufe0f", "\u200d",
    "a\u200db",
    "👨\u200d👩\u200d👧", "1\ufe0f\u20e3", "\u0e01\u0e33", "\u0915\u094d\u0937", "\u200b", "\ufeff",
    "🏴\U000e0067\U000e007f", "\u1100\u1161", "🏽", "\U0001f3fb", "x\ufe0f", "\u00ad",
)  # fmt: skip

FAMILIES: dict[str, list[Piece]] = {
    "motion": [_text, _place, _csi("ABCDEFG`d", 1), _control],
    "wrap": [_text, _place, _control, _of("\x1b[?7l", "\x1b[?7h"), _csi("CDABGK", 1), _color],
    "erase": [_text, _place, _csi("JKX", 1), _color, _control],
    "edit": [_text, _place, _csi("@PX", 1), _color, _control, _of("\x1b[4h", "\x1b[4l")],
    "lines": [_text, _place, _csi("LMST", 1), _color, _control, _region],
    "region": [
        _text,
        _place,
        _region,
        _of("\x1b[?6h", "\x1b[?6l"),
        _csi("ABEFdHSTLMJ", 2),
        _of("\x1bD", "\x1bM", "\x1bE", "\n", "\x1b7", "\x1b8"),
        _color,
    ],
    "tabs": [
        _text,
        _of("\t", "\t\t"),
        _place,
        _of("\x1bH", "\x1b[g", "\x1b[3g", "\x1b[0g"),
        _csi("Z", 1),
        _csi("CDG", 1),
        _color,
        _of("\r", "\r\n"),
    ],
    "sgr": [_text, _sgr, _sgr, _place, _csi("K", 1)],
    "charset": [
        _of("lqk", "abc", "x"),
        _of("\x1b(0", "\x1b(B", "\x1b)0", "\x1b)B", "\x0e", "\x0f", "\x1b7", "\x1b8"),
        _place,
        _control,
    ],
    "repeat": [lambda rng: _text(rng)[:5] + _csi("b", 1)(rng), _place, _color, _control],
    "wide": [_text, _wide, _place, _control, _color],
    "wide-edit": [_text, _wide, _place, _csi("@PXK", 1), _color],
    "joining": [_of("a", "bc ", "日"), _joining, _of("\r\n", " ", "\x1b[C"), _color],
    "joining-move": [_of("a", "bc ", "日"), _joining, _joining, _place, _csi("CD", 1), _control],
    "alternate": [
        _text,
        _place,
        _of(
            "\x1b[?1049h",
            "\x1b[?1049h\x1b[H",
            "\x1b[?47h",
            "\x1b[?47l",
            "\x1b[?1047h",
            "\x1b[?1047l",
            "\x1b[?1049h\x1b[1;1Hin\x1b[?1049l",
        ),
        _color,
        _control,
        _of("\x1b7", "\x1b8"),
        _csi("JK", 1),
    ],
    "reset": [
        _text,
        _place,
        _sgr,
        _region,
        _of("\x1bc", "\x1b#8", "\x1b7", "\x1b8", "\x1b[?25l", "\x1b[?25h", "\x1b[s", "\x1b[u"),
        _control,
    ],
    "screenful": [
        _text,
        _of("\r\n", "\r\n\n\n"),
        _csi("J", 1),
        _of("\x1b[2J", "\x1b[H\x1b[J", "\x1b[3J", "\x1b[H\x1b[2J"),
    ],
    "strings": [
        _text,
        _of(
            "\x1b]0;t\x07",
            "\x1b]2;x\x1b\\",
            "\x1bPq#0\x1b\\",
            "\x1b_G\x1b\\",
            "\x1b^pm\x1b\\",
            "\x1bXsos\x1b\\",
            "\x1bkname\x1b\\",
            "\x1b]8;;http://a\x07",
            "\x1b]8;;\x07",
            "\x1b]52;c;YQ==\x07",
            "\x1b]bad",
            "\x18",
            "\x1a",
            "\x1b\\",
            "\x1b]4;1;rgb:00/00/00\x07",
            "\x1b]104\x07",
            "\x1b]133;A\x07",
        ),
        _control,
    ],
    "broken": [
        _text,
        _of(
            "\x1b[",
            "\x1b[3",
            "\x1b[?",
            "\x1b[1;",
            "\x1b[ ",
            "\x1b[!",
            "\x1b",
            "\x1b[3\r1m",
            "\x1b[4\n2m",
            "\x1b[1;1;1;1;1;1;1;1m",
            "\x1b[>1m",
            "\x1b[=3c",
            "\x7f",
            "\x00",
            "\x05",
            "\x1b[99999C",
            "\x1b[-1A",
            "\x1b[<5m",
            "\x1b(",
            "\x1b#",
            "\x1b%G",
            "\x1b[1:2:3m",
            "\x1b[;;5H",
            "\x1b[38;5m",
            "\x1b[38;5;300m",
            "\x1b[12$y",
            "\x1b[?5W",
            "\x1b[0 q",
            "\x1b[1;2'z",
            "\x1b6",
            "\x1bl",
            "\x1b|",
        ),
    ],
}
_size = _of("@20x6", "@10x6", "@30x6", "@20x3", "@20x9", "@13x4", "@7x2", "@40x12")
FAMILIES["resize"] = [_text, _text, _of("\r\n", "\r\n\n"), _size, _place]
FAMILIES["resize-more"] = [_text, _of("\r\n", "\r\n\n\n"), _size, _place, _region, _color,
                           _of("\x1b[?1049h\x1b[H", "\x1b[?1049h\x1b[Hin\x1b[?1049l"),
                           _csi("JK", 1)]  # fmt: skip
FAMILIES["all"] = [piece for pieces in list(FAMILIES.values()) for piece in pieces]


class AsTmux(Screen):
    """Our screen with what tmux does differently from xterm, where we follow xterm."""

    def backspace(self) -> None:
        """A pending wrap counts as a column of its own."""
        if self.cursor.x >= self.columns:
            self.cursor.x = self.columns - 1
        else:
            super().backspace()

    def cursor_back(self, count: int | None = None, *_: int) -> None:
        """The same."""
        self.cursor.x = max(self.cursor.x - (count or 1), 0)

    def save_cursor(self, *_: int) -> None:
        """DECSC forgets a pending wrap."""
        super().save_cursor()
        saved = self._saved[self.alternate]
        assert saved is not None
        self._saved[self.alternate] = saved._replace(x=min(saved.x, self.columns - 1))

    def insert_lines(self, count: int | None = None, *_: int) -> None:
        """IL works outside the region too, and keeps the column."""
        self._lines(count, super().insert_lines)

    def delete_lines(self, count: int | None = None, *_: int) -> None:
        """DL does."""
        self._lines(count, super().delete_lines)

    def _lines(self, count: int | None, work: Callable[[int | None], None]) -> None:
        x, y, top, bottom = self.cursor.x, self.cursor.y, self.top, self.bottom
        if not top <= y <= bottom:
            self.top, self.bottom = y, self.lines - 1
        work(count)
        self.top, self.bottom = top, bottom
        self.cursor.x = x

    def insert_characters(self, count: int | None = None, *_: int) -> None:
        """ICH of as many as there are cells right of the cursor does nothing."""
        if 1 < self.columns - self.cursor.x <= (count or 1):
            return
        super().insert_characters(count)


def ours(pieces: list[str], columns: int, lines: int) -> Picture:
    """Our emulator's picture, but for what is meant to differ."""
    term = Emulator(columns, lines)
    term.screen = AsTmux(columns, lines, 2000)
    term.parser = Parser(term.screen)
    for data, size in steps(pieces):
        term.feed(data + b"\x18")
        if size:
            term.resize(*size)
    return picture(term)


def steps(pieces: list[str]) -> list[tuple[bytes, tuple[int, int] | None]]:
    """What to feed, and what size to take after it; a piece that begins with @ is a size."""
    done: list[tuple[bytes, tuple[int, int] | None]] = []
    text = ""
    for piece in [*pieces, ""]:
        if piece[:1] == "@" or not piece:
            columns, _, lines = piece[1:].partition("x")
            size = (int(columns), int(lines)) if lines else None
            done.append((text.encode("utf-8", "surrogateescape"), size))
            text = ""
        else:
            text += piece
    return done


def picture(term: Emulator) -> Picture:
    """What an emulator shows."""
    rows: list[list[Cell]] = [
        [(text, fg, bg, frozenset(names)) for text, fg, bg, names in term.cells(y)]
        for y in range(term.lines)
    ]
    cursor = min(term.cursor.x, term.columns - 1), term.cursor.y
    history = [line.rstrip() for line in term.history_lines()]
    wrapped = [row.wrapped for row in term.screen.grid]
    return Picture(rows, wrapped, cursor, not term.cursor.hidden, term.alternate, history)


def difference(mine: Picture, theirs: Picture, *, history: bool = True) -> str:
    """The first thing that looks different; empty when nothing does."""
    if len(mine.rows) != len(theirs.rows):
        return "another size"
    for y, (row, other) in enumerate(zip(mine.rows, theirs.rows, strict=True)):
        for x, (cell, reference) in enumerate(zip(row, other, strict=True)):
            if not same(cell, reference):
                return f"cell {x},{y}: {_show(cell)} instead of {_show(reference)}"
    columns = len(mine.rows[0])
    if mine.cursor != (min(theirs.cursor[0], columns - 1), theirs.cursor[1]):
        return f"cursor {mine.cursor} instead of {theirs.cursor}"
    if mine.visible != theirs.visible:
        return f"cursor visible: {mine.visible}"
    if mine.alternate != theirs.alternate:
        return f"alternate: {mine.alternate}"
    if history and not mine.alternate and mine.history[-5:] != theirs.history[-5:]:
        return f"history {mine.history[-5:]} instead of {theirs.history[-5:]}"
    return ""


def _show(cell: Cell) -> str:
    text, fg, bg, names = cell
    return f"{text!r}/{fg}/{bg}/{','.join(sorted(names))}"


def same(mine: Cell, theirs: Cell) -> bool:
    """Whether two cells look the same."""
    text, fg, bg, names = mine
    other, other_fg, other_bg, other_names = theirs
    if (unicodedata.normalize("NFC", text) or " ") != (unicodedata.normalize("NFC", other) or " "):
        return False
    if bg != other_bg:
        return False
    if (text or " ").isspace():
        shown = names & BLANK_SHOWS
        return shown == other_names & BLANK_SHOWS and ("reverse" not in shown or fg == other_fg)
    return fg == other_fg and names == other_names


class Hunt:
    """Draws streams of a family, compares, and shortens what differs."""

    def __init__(self, reference: Reference, columns: int, lines: int) -> None:
        self.reference, self.columns, self.lines = reference, columns, lines

    def check(self, pieces: list[str]) -> str:
        """What differs for these pieces."""
        return difference(ours(pieces, self.columns, self.lines), self.theirs(pieces))

    def theirs(self, pieces: list[str]) -> Picture:
        """What tmux shows for them."""
        self.reference.resize(self.columns, self.lines)
        self.reference.reset()
        for data, size in steps(pieces):
            self.reference.feed(data)
            if size:
                self.reference.resize(*size)
        return self.reference.picture()

    def shorten(self, pieces: list[str]) -> list[str]:
        """The same difference with fewer pieces."""
        at = 0
        while at < len(pieces):
            fewer = pieces[:at] + pieces[at + 1 :]
            if self.check(fewer):
                pieces = fewer
            else:
                at += 1
        for at, piece in enumerate(pieces):
            while len(pieces[at]) > 1 and piece.isprintable() and piece[0] != "@":
                fewer = [*pieces[:at], pieces[at][1:], *pieces[at + 1 :]]
                if not self.check(fewer):
                    break
                pieces = fewer
        return pieces


def main() -> None:
    """Hunt, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--family", default="")
    parser.add_argument("--runs", type=int, default=300, help="streams a family (300)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--most", type=int, default=4, help="findings a family (4)")
    options = parser.parse_args()
    print("seed", options.seed)
    for name, pieces in FAMILIES.items():
        if options.family and options.family != name:
            continue
        rng = random.Random(f"{options.seed} {name}")
        found: dict[str, str] = {}
        count = 0
        for columns, lines in SIZES:
            with Reference(columns, lines) as reference:
                hunt = Hunt(reference, columns, lines)
                for _ in range(options.runs // len(SIZES)):
                    stream = [rng.choice(pieces)(rng) for _ in range(rng.randrange(2, 14))]
                    if not hunt.check(stream):
                        continue
                    count += 1
                    if len(found) < options.most:
                        short = hunt.shorten(stream)
                        found["".join(short)] = f"{columns}x{lines} {hunt.check(short)}"
        print(f"{name}: {count} of {options.runs} differ", flush=True)
        for stream_text, said in found.items():
            print(f"    {stream_text!a}\n        {said}", flush=True)


if __name__ == "__main__":
    main()
