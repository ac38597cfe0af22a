"""Input bytes become keys, and none is lost on the way to a pane."""

from __future__ import annotations

from typing import Any

import pytest

from boxy_tui.driver import Parser
from boxy_tui.terminal.keys import encode_key


def _keys(typed: str) -> list[tuple[str, str | None]]:
    parser = Parser()
    got: list[Any] = list(parser.feed(typed))
    got += parser.feed("")
    return [(event.key, event.character) for event in got]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("\x1b:wq\r", b"\x1b:wq\r"),
        ("\x1b\r", b"\x1b\r"),
        ("\x1bx", b"\x1bx"),
        ("\x1bX", b"\x1bX"),
        ("\x1b ", b"\x1b "),
        ("\x1b", b"\x1b"),
        (":", b":"),
        ("\x1b[1;2R\x1b[1;6R", b"\x1b[1;2R\x1b[1;6R"),  # not a report of the cursor's place
    ],
)
def test_escape_and_what_follows_reach_the_program(typed: str, sent: bytes) -> None:
    assert b"".join(encode_key(key, character) for key, character in _keys(typed)) == sent
