"""What programs write to a terminal, eleven kinds, made afresh and always the same.

The redraws imitate what the programs send (checked against recordings of them), so that the
benchmark needs none of them installed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

COLUMNS, LINES = 120, 40
Maker = Callable[[random.Random], Iterator[str]]


def _source() -> list[str]:
    """A few thousand lines of Python from the standard library."""
    names = ("argparse", "subprocess", "tarfile", "typing", "inspect", "pathlib")
    folder = Path(random.__file__).parent
    text = "".join((folder / f"{name}.py").read_text("utf-8") for name in names)
    return text.splitlines()


def source_code(_rng: random.Random) -> Iterator[str]:
    """`cat` of a program."""
    while True:
        yield from (line + "\r\n" for line in _source())


def wrapped_lines(rng: random.Random) -> Iterator[str]:
    """Log lines longer than the screen is wide."""
    words = " ".join(_source()).split()
    while True:
        line = " ".join(rng.choices(words, k=60))
        yield f"2026-01-01T00:00:00Z host service[{rng.randrange(9999)}]: {line}\r\n"


def ls_colors(rng: random.Random) -> Iterator[str]:
    """`ls --color` in columns."""
    kinds = ("01;34", "01;32", "01;36", "00", "01;31", "40;33;01")
    while True:
        names = (f"file-{rng.randrange(10**6)}" for _ in range(5))
        cells = (f"\x1b[0m\x1b[{rng.choice(kinds)}m{name}\x1b[0m" for name in names)
        yield "  ".join(cells) + "\r\n"


def lolcat(_rng: random.Random) -> Iterator[str]:
    """A colour of its own for each character."""
    step = 0
    while True:
        for line in _source():
            step += 1
            yield "".join(
                f"\x1b[38;5;{16 + (i + step) // 3 % 216}m{char}\x1b[39m"
                for i, char in enumerate(line)
            )
            yield "\r\n"


def htop(rng: random.Random) -> Iterator[str]:
    """Bars and a table, redrawn in place."""
    while True:
        yield "\x1b[H"
        for y in range(1, 9):
            full = rng.randrange(5, 50)
            yield f"\x1b[{y};3H\x1b[36m{y}\x1b[39m\x1b[1m[\x1b[22;32m{'|' * full}\x1b[1;90m"
            yield f"{' ' * (50 - full)}{full * 2:>3}.0%\x1b[22;39m\x1b[1m]\x1b(B\x1b[m"
        yield "\x1b[10;1H\x1b[30;42m  PID USER      PRI  NI  VIRT   RES S CPU% MEM%   TIME+\x1b[K"
        for y in range(11, LINES):
            row = (
                f"{rng.randrange(99999):>5} \x1b[90mroot      \x1b[39m 20   0 "
                f"\x1b[36m{rng.randrange(9)}\x1b[39m{rng.randrange(999):03}M"
                f"\x1b[32m{rng.randrange(99):>6}\x1b[39m S {rng.random() * 99:4.1f}  0.3"
                f"  0:{rng.randrange(60):02}.{rng.randrange(99):02} /usr/bin/\x1b[1mx\x1b(B\x1b[m"
            )
            yield f"\x1b[{y};1H{row}\x1b[K"


def vim(_rng: random.Random) -> Iterator[str]:
    """Scrolling through highlighted source."""
    lines = _source()
    yield "\x1b[?1049h\x1b[1;39r"
    for top in range(10**9):
        number = top % len(lines)
        yield f"\x1b[?25l\x1b[1;{LINES - 1}r\x1b[{LINES - 1};1H\r\n\x1b[1;{LINES}r"
        yield f"\x1b[{LINES - 1};1H\x1b[38;5;130m{number:>5} \x1b[m"
        for word in lines[number][:100].split(" "):
            if word in ("def", "return", "if", "for", "in", "class", "self", "import"):
                yield f"\x1b[38;5;130m{word}\x1b[m "
            elif word.startswith(('"', "'", "#")):
                yield f"\x1b[38;5;5m{word}\x1b[m "
            else:
                yield word + " "
        yield f"\x1b[{LINES};103H{number},1\x1b[10C{number % 100}%\x1b[{LINES - 1};7H\x1b[?25h"


def btop(rng: random.Random) -> Iterator[str]:
    """Graphs of braille in true colour, moved with the cursor."""
    while True:
        for y in range(2, LINES):
            yield f"\x1b[{y};2H"
            for _x in range(30):
                red = rng.randrange(16) * 16
                yield f"\x1b[38;2;{red};{255 - red};90m{chr(0x2800 + rng.randrange(256))}"
            yield f"\x1b[38;2;200;200;200m\x1b[1m proc{rng.randrange(99)}\x1b[22m\x1b[4C"
            yield f"\x1b[48;2;30;30;40m{rng.random() * 100:6.2f}\x1b[0m"


def textual_app(rng: random.Random) -> Iterator[str]:
    """A Textual screen: whole rows of styled segments in synchronized frames."""
    while True:
        yield "\x1b[?2026h"
        for y in range(1, LINES):
            yield f"\x1b[{y};1H\x1b[0m\x1b[38;2;224;224;224;48;2;18;18;18m▊\x1b[0m"
            for _x in range(4):
                tone = 30 + rng.randrange(4) * 6
                back = f"48;2;{tone};{tone};{tone}"
                yield f"\x1b[1;38;2;1;120;212;{back}m item {rng.randrange(9999)} "
                yield f"\x1b[0m\x1b[38;2;160;160;160;{back}m running     \x1b[0m"
        yield "\x1b[?2026l"


def cmatrix(rng: random.Random) -> Iterator[str]:
    """Single characters all over the screen."""
    while True:
        y, x = rng.randrange(LINES) + 1, rng.randrange(COLUMNS) + 1
        bold = rng.choice(("\x1b[1m\x1b[37m", "\x1b[22m\x1b[32m", "\x1b[m\x1b[32m"))
        yield f"\x1b[{y};{x}H{bold}{chr(rng.randrange(33, 126))}"


def cjk_and_emoji(rng: random.Random) -> Iterator[str]:
    """Wide characters."""
    words = (
        "日本語の",
        "テキスト",
        "中文字符",
        "한국어",
        "😀",
        "👍🏽",
        "🇫🇷",
        "naïve café",
        "plain",
        "— ",
        "e\u0301",
    )
    while True:
        yield "".join(rng.choices(words, k=16)) + "\r\n"


def progress(rng: random.Random) -> Iterator[str]:
    """A line that is drawn again and again."""
    while True:
        for percent in range(101):
            bar = "━" * (percent // 3)
            rest = "━" * (34 - percent // 3)
            speed = f"{rng.random() * 9:.1f} MB/s"
            yield f"\r\x1b[2K   \x1b[32m{bar}\x1b[90m{rest}\x1b[0m \x1b[31m{speed}\x1b[0m"
        yield "\r\nCollecting package\r\n"


KINDS: dict[str, Maker] = {
    "source code": source_code,
    "wrapped lines": wrapped_lines,
    "ls colours": ls_colors,
    "lolcat": lolcat,
    "htop": htop,
    "vim": vim,
    "btop": btop,
    "textual app": textual_app,
    "cmatrix": cmatrix,
    "cjk, emoji": cjk_and_emoji,
    "progress": progress,
}


def stream(kind: str, size: int) -> bytes:
    """About `size` bytes of a kind, cut after a whole sequence."""
    parts, have = [], 0
    for part in KINDS[kind](random.Random(kind)):
        parts.append(part.encode())
        have += len(parts[-1])
        if have >= size:
            break
    return b"".join(parts)
