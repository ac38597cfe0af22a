"""Fields of an object in a line of text, by our names and Docker's."""

from __future__ import annotations

from typing import Any

import pytest

from boxy_cli.template import DOCKER, field, render
from boxy_core.errors import InvalidRequest
from boxy_core.models import Box, BoxSpec, to_builtins

BOX: dict[str, Any] = {
    "id": "0123456789abcdef", "name": "web", "status": "running", "exit": None, "args": ["sh"],
    "spec": {"limits": {"memory": 64}, "tty": True}, "networks": [{"ip": "10.0.0.2"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "line"),
    [
        ("{{.Names}} is {{.State}}", "web is running"),
        ("name", "web"),
        ("{{.ID}}\\t{{.Status}}", "0123\tUp 3 minutes"),
        ("table {{.Names}}", "web"),
        ("{{json .args}}", '["sh"]'),
        ("{{.spec.tty}}{{.State.ExitCode}}", "true"),
        ("{{ .NetworkSettings.IPAddress }}!", "10.0.0.2!"),
        ("{{.HostConfig.Memory}}", "64"),
    ],
)
def test_a_template_is_filled_in(template: str, line: str) -> None:
    assert render(BOX, template, {"ID": "0123", "Status": "Up 3 minutes"}) == line


@pytest.mark.parametrize(
    ("template", "said"), [("{{.Nmae}}", "no field 'Nmae'"), ("{{.name", "not closed")]
)
def test_what_cannot_be_filled_in_is_refused_with_what_there_is(template: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as caught:
        render(BOX, template, {})
    assert caught.value.hint


def test_what_a_box_printed_is_escaped() -> None:
    assert render({"name": "a\x1b[2Jb"}, "{{.name}}", {}) == "a\\e[2Jb"


def test_docker_s_names_lead_to_fields_that_there_are() -> None:
    made = Box(id="0" * 64, name="web", image="alpine", spec=BoxSpec(image="alpine"))
    box = to_builtins(made)
    for name, ours in DOCKER.items():
        if ours not in ("size", "networks.0.ip"):
            field(box, ours)
        assert name not in box
