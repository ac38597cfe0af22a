"""Commands in groups: `boxy network create`."""

from __future__ import annotations

import pytest

from boxy_cli.commands.help import group_help
from boxy_core.errors import InvalidRequest
from boxy_core.flags import options
from boxy_core.flags.options import Argument, Command, Group


def group() -> Group:
    made = Command("pond dig", lambda *_: 0, description="Dig.", arguments=(Argument("N", "n"),))
    return Group("pond", (made, Command("pond ls", lambda *_: 0, description="List.")),
                 description="Ponds.")  # fmt: skip


def test_a_groups_command_takes_the_words_behind_it() -> None:
    command, words = group().select(["dig", "3"])
    assert options.parse(command, words)["n"] == "3"
    assert group().select(["list"])[0].name == "pond ls"


@pytest.mark.parametrize(("words", "hint"), [([], "usage"), (["dug"], "dig"), (["--x"], "usage")])
def test_what_is_no_command_of_the_group_is_told_with_the_next_step(
    words: list[str], hint: str
) -> None:
    with pytest.raises(InvalidRequest) as failed:
        group().select(words)
    assert hint in failed.value.hint


def test_a_groups_help_lists_its_commands() -> None:
    with pytest.raises(options.HelpAsked):
        group().select(["--help"])
    text = group_help(group())
    assert "usage: boxy pond dig|ls ..." in text
    assert "Dig." in text
