"""A typed command is its words, or a line for a shell."""

from __future__ import annotations

import pytest

from boxy_core.errors import InvalidRequest
from boxy_tui.commandline import words


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", []),
        ("top -d 1", ["top", "-d", "1"]),
        ("echo 'a | b' \"c > d\"", ["echo", "a | b", "c > d"]),
        (r"echo a\|b", ["echo", "a|b"]),
        ("ls '$HOME'", ["ls", "$HOME"]),
    ],
)
def test_plain_words_run_without_a_shell(line: str, command: list[str]) -> None:
    assert words(line) == command


@pytest.mark.parametrize(
    "line",
    [
        "ps | grep sh", "echo hi > /tmp/x", "sleep 1 && date", 'echo "$HOME"', "ls *.py",
        "cd ~", "echo `date`", "a; b", 'echo "`date`"', "cat <in",
    ],
)  # fmt: skip
def test_what_a_shell_must_read_is_given_to_one(line: str) -> None:
    assert words(f" {line} ") == ["/bin/sh", "-c", line]


def test_an_open_quote_is_told() -> None:
    with pytest.raises(InvalidRequest, match="not closed"):
        words("echo 'x")
