"""Ports and hosts as they are typed."""

from __future__ import annotations

from typing import Any

import pytest

from boxy_cli import table
from boxy_cli.commands import run
from boxy_core.errors import InvalidRequest
from boxy_core.flags import options
from boxy_core.portwords import closing, ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [{"box": 80}]),
        ("8080:80", [{"box": 80, "host": 8080}]),
        ("0:80", [{"box": 80}]),
        ("127.0.0.1:0:80", [{"box": 80, "address": "127.0.0.1"}]),
        ("53:53/udp", [{"box": 53, "host": 53, "protocol": "udp"}]),
        ("0.0.0.0:8080:80", [{"box": 80, "host": 8080, "address": "0.0.0.0"}]),
        ("localhost:8080:80", [{"box": 80, "host": 8080, "address": "127.0.0.1"}]),
        ("192.0.2.1::80", [{"box": 80, "address": "192.0.2.1"}]),
        ("[::]:8080:80/tcp", [{"box": 80, "host": 8080, "address": "::", "protocol": "tcp"}]),
        ("8000-8001:80-81", [{"box": 80, "host": 8000}, {"box": 81, "host": 8001}]),
        ("8000-8001:80", [{"box": 80, "host": 8000}]),
        ("80-81", [{"box": 80}, {"box": 81}]),
    ],
)
def test_a_port_is_read_as_docker_reads_it(text: str, expected: list[dict[str, Any]]) -> None:
    assert ports(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ":", "80:", "80:x", "x", "0:0", "80/sctp", "65536:1", "81-80", "1-3:1-2", "1.2.3.4:",
     "1-5000", "²:80", "[::1:80", "-1:80"],
)  # fmt: skip
def test_what_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as failed:
        ports(text)
    assert "--publish" in failed.value.message


def test_a_port_to_close_is_named_by_the_host_s_side() -> None:
    assert closing("8080") == {"host": 8080, "box": 0}
    assert closing("127.0.0.1:53:5353/udp") == {
        "host": 53, "box": 5353, "address": "127.0.0.1", "protocol": "udp",
    }  # fmt: skip
    with pytest.raises(InvalidRequest):
        closing("web")


def spec(*words: str) -> dict[str, Any]:
    return run.spec(options.parse(table.load("run"), words))


def test_the_flags_become_the_spec() -> None:
    made = spec(
        "--net", "container:db", "--network-alias", "a", "--dns", "9.9.9.9", "--dns-search", "lan",
        "--add-host", "x:1.2.3.4", "--add-host", "y=::1", "--ip", "10.0.0.9", "-P", "alpine",
    )  # fmt: skip
    assert made["network"] == "box:db"
    assert made["add_hosts"] == {"x": "1.2.3.4", "y": "::1"}
    assert (made["ip"], made["publish_all"], made["dns"]) == ("10.0.0.9", True, ["9.9.9.9"])
    assert "ports" not in made


def test_a_host_without_an_address_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'db' is not NAME:IP"):
        spec("--add-host", "db", "alpine")
