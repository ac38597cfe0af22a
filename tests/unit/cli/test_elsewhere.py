"""What users of other systems type has a word of its own, and none for what Boxy has."""

from __future__ import annotations

import pytest

from boxy_cli import elsewhere, options, table
from boxy_cli.main import main
from boxy_core.errors import InvalidRequest


def test_no_word_is_about_a_command_that_is_there() -> None:
    assert set(elsewhere.VERBS) & set(table.modules()) == set(), "take it out of elsewhere.VERBS"


@pytest.mark.parametrize("command", elsewhere.FLAGS)
def test_no_word_is_about_a_flag_that_is_there(command: str) -> None:
    there = {flag for option in table.load(command).options for flag in option.flags}
    assert set(elsewhere.FLAGS[command]) & there == set(), "take it out of elsewhere.FLAGS"


def test_a_command_of_others_is_answered_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compose", "up"]) == 125
    said = capsys.readouterr().err
    assert said.startswith("boxy: Boxy has no command 'compose'")
    assert "boxy run -d" in said


def test_a_flag_of_others_is_answered_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.parse(table.load("ps"), ["--format", "{{.ID}}"])
    assert caught.value.hint == "boxy ps --json, and jq"
