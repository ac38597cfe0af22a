"""What users of other systems type has a word of its own, and none for what Boxy has."""

from __future__ import annotations

import pytest

from boxy_cli import table
from boxy_cli.main import main
from boxy_core.errors import InvalidRequest
from boxy_core.flags import elsewhere, options


def test_a_command_of_others_is_answered_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["swarm", "init"]) == 125
    said = capsys.readouterr().err
    assert said.startswith("boxy: Boxy has no command 'swarm'")
    assert "one machine" in said


def test_a_flag_of_others_is_answered_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.parse(table.load("stats"), ["--format", "{{.ID}}"])
    assert caught.value.hint == "boxy stats --json, and jq"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("container ls", "ps"), ("container rm", "rm"), ("image ls", "images"), ("image rm", "rmi"),
     ("image prune", "images prune"),
     ("system prune", "prune"), ("container zap", ""), ("swarm init", "")],
)  # fmt: skip
def test_the_long_spelling_of_a_command_is_the_command(typed: str, meant: str) -> None:
    assert elsewhere.short(*typed.split()) == meant
    if meant:
        table.find(meant.split(maxsplit=1)[0])


def test_every_long_spelling_leads_to_a_command() -> None:
    known = set(table.modules())
    words = [word for names in elsewhere._SAME.values() for word in names]
    meant = [to.split()[0] for names in elsewhere.LONG.values() for to in names.values()]
    assert {*words, *meant} <= known
