"""Another terminal's screens: what tmux shows for the same bytes at the same size, cell by cell.

The program is named by BOXY_REFERENCE_TMUX. Stock tmux leaves out cleared coloured cells in what
`capture-pane` prints and cannot tell a wide character's width, so it has to be a tmux (the data was
made with 3.7c) that was taught to print cells: for each cell of a row `capture-pane -C` writes
`UTF-8 in hex,attributes,flags,foreground,background,underline colour;`, numbers in hexadecimal as
its grid holds them, and `+` at the end of a wrapped row.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TMUX = os.environ.get("BOXY_REFERENCE_TMUX", "")

_HELPER = r"""
import os, socket, sys, tty
tty.setraw(0)
conn = socket.socket(socket.AF_UNIX)
conn.connect(sys.argv[1])
with conn.makefile("rb") as requests:
    while True:
        head = requests.readline()
        if not head:
            break
        size, end = head.split()
        data = requests.read(int(size)) + bytes.fromhex(end.decode()) + b"\x1b[6n"
        while data:
            data = data[os.write(1, data):]
        answer = b""
        while not answer.endswith(b"R"):
            answer += os.read(0, 65536)
        conn.sendall(b"%d\n%s" % (len(answer), answer))
"""

_CONFIG = """
set -g status off
set -g history-limit 2000
set -g default-terminal xterm-256color
set -g window-size manual
set -s extended-keys on
set -s set-clipboard off
set -s escape-time 0
"""

_ATTRIBUTES = {
    0x1: "bold", 0x2: "dim", 0x4: "underscore", 0x8: "blink", 0x10: "reverse", 0x20: "hidden",
    0x40: "italics", 0x100: "strikethrough", 0x200: "underscore", 0x400: "underscore",
    0x800: "underscore", 0x1000: "underscore", 0x2000: "overline",
}  # fmt: skip
_CHARSET, _PADDING, _TAB = 0x80, 0x4, 0x80
_GRAPHICS = dict(
    zip("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·", strict=True)
)

Cell = tuple[str, object, object, frozenset[str]]
"""Text (empty for a wide character's right half), foreground, background, attributes."""


@dataclass
class Picture:
    """What a terminal shows."""

    rows: list[list[Cell]]
    wrapped: list[bool]
    cursor: tuple[int, int]
    visible: bool
    alternate: bool
    history: list[str]
    answers: bytes = b""


class Reference:
    """A tmux server of its own with one pane; use as a context."""

    def __init__(self, columns: int, lines: int, tmux: str = TMUX) -> None:
        self._tmux, self._size = tmux, (columns, lines)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="bx-ref-")
        folder = Path(self._folder.name)
        (folder / "conf").write_text(_CONFIG)
        (folder / "helper.py").write_text(_HELPER)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / "io"))
        listener.listen()
        columns, lines = self._size
        self._call = [self._tmux, "-S", str(folder / "tmux"), "-f", str(folder / "conf")]
        helper = f"exec {sys.executable} -I -S {folder / 'helper.py'} {folder / 'io'}"
        self._run("new-session", "-d", "-x", str(columns), "-y", str(lines), helper)
        listener.settimeout(30)
        self._conn, _ = listener.accept()
        listener.close()
        self._conn.settimeout(20)
        self._answers = self._conn.makefile("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._answers.close()
        self._conn.close()
        subprocess.run([*self._call, "kill-server"], check=False, capture_output=True)
        self._folder.cleanup()

    def _run(self, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"}
        done = subprocess.run([*self._call, *words], env=env, check=True, capture_output=True)
        return done.stdout.decode("utf-8", "surrogateescape")

    def reset(self) -> None:
        """A fresh terminal."""
        self.feed(b"\x1b\\\x18\x1b[?1049l\x1b[?1007h\x1bc")
        self._run("send-keys", "-R", ";", "clear-history")

    def resize(self, columns: int, lines: int) -> None:
        """Another size."""
        self._size = columns, lines
        self._run("resize-window", "-x", str(columns), "-y", str(lines))

    def feed(self, data: bytes, *, whole: bool = False) -> bytes:
        """Have it read `data`; what it answered.

        What is unfinished at the end is given up; `whole`: nothing is (or it would wait for ever).
        """
        end = b"" if whole else b"\x18\x1b\\".hex().encode()
        self._conn.sendall(b"%d %s\n%s" % (len(data), end or b"00", data))
        length = int(self._answers.readline())
        answer = self._answers.read(length)
        return re.sub(rb"\x1b\[\d+;\d+R\Z", b"", answer)

    def picture(self, answers: bytes = b"") -> Picture:
        """The present screen."""
        lines = self._size[1]
        facts = "#{cursor_x} #{cursor_y} #{cursor_flag} #{alternate_on} #{history_size}"
        text = self._run("display-message", "-p", facts, ";", "capture-pane", "-p", "-C", ";",
                         "capture-pane", "-p", "-S", "-2000", "-E", "-1")  # fmt: skip
        first, *rest = text.split("\n")
        x, y, visible, alternate, above = map(int, first.split())
        rows = [_row(line) for line in rest[:lines]]
        return Picture(
            rows=[row for row, _ in rows],
            wrapped=[wrapped for _, wrapped in rows],
            cursor=(x, y),
            visible=bool(visible),
            alternate=bool(alternate),
            history=[text.expandtabs() for text in rest[lines:-1]] if above else [],
            answers=answers,
        )


def _row(line: str) -> tuple[list[Cell], bool]:
    wrapped = line.endswith("+")
    pieces = line.rstrip("+").split(";")[:-1]
    row: list[Cell] = []
    in_tab = False
    for piece in pieces:
        text, *numbers = piece.split(",")
        attributes, flags, fg, bg, _ = (int(number, 16) for number in numbers)
        char = bytes.fromhex(text).decode("utf-8", "replace")
        if flags & _PADDING and row:
            row.append((" " if in_tab else "", *row[-1][1:]))  # tmux draws them as the first
            continue
        in_tab = bool(flags & _TAB)
        char = " " if in_tab else char
        if attributes & _CHARSET:
            char = _GRAPHICS.get(char, char)
        names = frozenset(name for bit, name in _ATTRIBUTES.items() if attributes & bit)
        row.append((char, _color(fg), _color(bg), names))
    return row, wrapped


def _color(number: int) -> object:
    if number & 0x2000000:
        return f"#{number & 0xFFFFFF:06x}"
    if number & 0x1000000:
        return number & 0xFF
    if 90 <= number <= 97:
        return number - 82
    return None if number in (8, 9) else number
