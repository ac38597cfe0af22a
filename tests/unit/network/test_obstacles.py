"""Other programs' rules: which drop, and which let our bridges pass."""

from __future__ import annotations

import json

import pytest

from boxyd.network import obstacles

BRIDGE = "bxaaaaabapp0001"
TABLE = """table ip filter {
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		%s
	}
}
"""


class Rules:
    """A host with these chains and this table."""

    name = "boxy_aaaaa"

    def __init__(self, chains: list[dict[str, object]], table: str = "") -> None:
        self._chains = chains
        self._table = table

    def listed(self, what: str, *, json: bool = False) -> str:
        return _encoded(self._chains) if json else self._table


def _encoded(chains: list[dict[str, object]]) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, *({"chain": one} for one in chains)]})


def chain(table: str, name: str = "FORWARD", policy: str = "drop") -> dict[str, object]:
    return {"family": "ip", "table": table, "name": name, "hook": "forward", "policy": policy}


def test_what_accepts_and_what_is_our_own_is_in_nobodys_way() -> None:
    rules = Rules([chain("filter", policy="accept"), chain("boxy_aaaaa")])
    assert obstacles.dropping(obstacles.chains(rules)) == []
    assert obstacles.dropping([chain("filter")]) == [("ip", "filter", "FORWARD")]


@pytest.mark.parametrize(
    ("lines", "passes"),
    [
        (['iifname "bx*" counter packets 0 bytes 0 accept', 'oifname "bx*" accept'], True),
        ([f'iifname "{BRIDGE}" accept', f'oifname "{BRIDGE}" accept'], True),
        ([f'iifname "{BRIDGE}" accept'], False),
        ([f'iifname "{BRIDGE}" drop', f'oifname "{BRIDGE}" drop'], False),
        (['iifname "docker0" accept', 'oifname "docker0" accept'], False),
        ([], False),
    ],
)
def test_who_lets_both_ways_pass_is_no_obstacle(lines: list[str], passes: bool) -> None:
    text = TABLE % "\n\t\t".join(lines)
    assert obstacles.lets_pass(text, BRIDGE) is passes


def test_the_older_iptables_are_read_too() -> None:
    drops = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
    assert obstacles.legacy_drops(drops, BRIDGE)
    assert not obstacles.legacy_drops("-P FORWARD ACCEPT\n", BRIDGE)
    both = drops + "-A FORWARD -i bx+ -j ACCEPT\n-A FORWARD -o bx+ -j ACCEPT\n"
    assert not obstacles.legacy_drops(both, BRIDGE)
    assert obstacles.legacy_drops(drops + "-A FORWARD -i bx+ -j ACCEPT\n", BRIDGE)


def test_a_second_daemon_sees_that_the_first_found_forwarding_off() -> None:
    assert obstacles.guarded(Rules([chain("boxy_bbbbb", "guard", "accept")]))
    assert not obstacles.guarded(Rules([chain("boxy_bbbbb", "forward", "accept")]))
    assert not obstacles.guarded(Rules([chain("boxy_aaaaa", "guard", "accept")]))
