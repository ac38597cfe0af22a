"""Hypothesis strategies for what programs write: sequences that mean something, text, and noise."""

from __future__ import annotations

from hypothesis import strategies as st

from boxy_tui.terminal.emulator import Emulator

_number = st.one_of(
    st.just(""), st.integers(0, 12).map(str), st.sampled_from(["25", "80", "99999"])
)
_params = st.lists(_number, max_size=3).map(";".join)
_text = st.text(
    st.one_of(
        st.sampled_from("abc xyz"),
        st.sampled_from("日本語한é\u0301\u200d\ufe0f🇫🇷👍🏽😀─│\u3000\u00ad\u0085\U00100001"),
    ),
    max_size=8,
)
_csi = st.tuples(
    st.sampled_from(["", "", "", "?", ">", "=", "<"]),
    _params,
    st.sampled_from(["", "", "", " ", "!", "$", '"']),
    st.sampled_from("@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstu"),
).map(lambda parts: "\x1b[" + "".join(parts))
_sgr = st.sampled_from(
    [
        "0",
        "1",
        "3;4",
        "7",
        "31",
        "44",
        "4:3",
        "38;5;99",
        "48;2;1;2;3",
        "38:2::9:8:7",
        "8;9",
        "53",
        "22",
    ]
).map(lambda p: f"\x1b[{p}m")
_mode = st.tuples(
    st.sampled_from(["1", "3", "5", "6", "7", "25", "47", "66", "1000", "1006", "1047", "1048",
                     "1049", "1007", "2004", "2026"]),
    st.sampled_from("hl"),
).map(lambda pair: f"\x1b[?{pair[0]}{pair[1]}")  # fmt: skip
_escape = st.sampled_from(
    ["7", "8", "D", "E", "H", "M", "N", "O", "n", "o", "=", ">", "(0", "(B", ")0", "(A", "*0", "#8"]
).map("\x1b".__add__)
_control = st.sampled_from(["\r", "\n", "\r\n", "\b", "\t", "\x0e", "\x0f", "\x0b"])
_string = st.sampled_from(
    ["\x1b]0;name\x07", "\x1b]8;;http://x\x1b\\", "\x1b]8;;\x1b\\", "\x1bPq\x1b\\", "\x1b_x\x1b\\"]
)
_keyboard = st.sampled_from(
    ["\x1b[>1u", "\x1b[<u", "\x1b[=9u", "\x1b[>4;2m", "\x1b[4h", "\x1b[20h"]
)

pieces = st.one_of(_text, _text, _sgr, _csi, _mode, _escape, _control, _control, _string, _keyboard)
meaningful = st.lists(pieces, max_size=40).map(lambda parts: "".join(parts).encode())
noise = st.lists(
    st.one_of(pieces.map(str.encode), st.binary(max_size=6), st.just(b"\x1b"), st.just(b"\x1b[")),
    max_size=40,
).map(b"".join)
sizes = st.tuples(st.integers(1, 20), st.integers(1, 8))


def state(term: Emulator) -> dict[str, object]:
    """Everything that one can see of a terminal, and what decides how it goes on."""
    screen = term.screen
    return {
        "cells": [list(term.cells(y)) for y in range(term.lines)],
        "links": [[style.link for _text, style in screen.row_cells(row)] for row in screen.grid],
        "cursor": (term.cursor.x, term.cursor.y, term.cursor.hidden, term.cursor_shape),
        "modes": term.modes,
        "alternate": term.alternate,
        "region": (screen.top, screen.bottom, screen.origin, screen.autowrap, screen.insert),
        "pen": screen.pen.style,
        "sets": (screen.sets, screen.charset),
        "tabs": screen.tabstops,
        "title": term.title,
        "mode numbers": screen.mode,
    }
