"""What users of other systems type has a word of its own, and none for what Boxy has."""

from __future__ import annotations

import pytest

from boxy_cli import table
from boxy_cli.main import main
from boxy_core.errors import InvalidRequest
from boxy_core.flags import options


def test_a_command_of_others_is_answered_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["swarm", "init"]) == 125
    said = capsys.readouterr().err
    assert said.startswith("boxy: Boxy has no command 'swarm'")
    assert "one machine" in said


def test_a_flag_of_others_is_answered_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.parse(table.load("ps"), ["--format", "{{.ID}}"])
    assert caught.value.hint == "boxy ps --json, and jq"
