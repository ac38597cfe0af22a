"""What on the host keeps boxes from the world: other programs' rules that drop what is forwarded.

A packet must pass every base chain at a hook; ours cannot overrule a drop of another's.  So what
drops is named, with what lets our bridges pass.  Who has let them pass is not told again.

Constraint: blocks; for the network's thread.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import Any, Protocol

from boxy_core.models_network import Network

GUARD = "guard"
"""the chain in a daemon's table that says: forwarding was off before"""
_FAMILIES = ("ip", "inet", "ip6")


class Lister(Protocol):
    """Whoever lists rules: boxyd.network.firewall.Firewall."""

    name: str

    def listed(self, what: str, *, json: bool = False) -> str:
        """What `nft list WHAT` prints."""


def chains(rules: Lister) -> list[dict[str, Any]]:
    """Base chains at the hook `forward` that are not of this daemon's table."""
    found = []
    for item in json.loads(rules.listed("chains", json=True) or "{}").get("nftables", []):
        chain = item.get("chain", {})
        if chain.get("hook") == "forward" and chain.get("table") != rules.name:
            found.append(chain)
    return found


def guarded(rules: Lister) -> bool:
    """Whether another daemon of ours has found forwarding switched off, and switched it on."""
    return any(
        chain["name"] == GUARD and chain["table"].startswith("boxy_") for chain in chains(rules)
    )


def sentences(rules: Lister, network: Network) -> list[str]:
    """What drops, a sentence each; []: nothing that shows."""
    found = []
    for family, table, chain in dropping(chains(rules)):
        if lets_pass(rules.listed(f"table {family} {table}"), network.interface):
            continue
        rule = f"nft insert rule {family} {table} {chain} {{}} {network.interface} accept"
        found.append(
            f"the host's own rules ({family} {table} {chain}, policy drop) may keep network "
            f"{network.name} from the world; `{rule.format('iifname')}` and "
            f"`{rule.format('oifname')}` let it pass"
        )
    if _legacy_drops(network.interface):
        found.append(
            "the host's own iptables drop what is forwarded (policy DROP): "
            f"`iptables-legacy -I FORWARD -i {network.interface} -j ACCEPT` and the same with "
            f"-o let network {network.name} pass"
        )
    return found


def dropping(found: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Family, table and name of the chains that drop what no rule of theirs accepts."""
    return [
        (chain["family"], chain["table"], chain["name"])
        for chain in found
        if chain.get("policy") == "drop" and chain["family"] in _FAMILIES
    ]


def lets_pass(table: str, interface: str) -> bool:
    """Whether the text of a table accepts what comes from the interface, and what goes there."""
    return all(
        any(
            _is_meant(name, interface) and "accept" in rest
            for name, rest in re.findall(rf'^\s*{way} "?([^"\s]+)"?(.*)$', table, re.MULTILINE)
        )
        for way in ("iifname", "oifname")
    )


def _is_meant(name: str, interface: str) -> bool:
    if name.endswith("*"):
        return interface.startswith(name[:-1])
    return name == interface


def _legacy_drops(interface: str) -> bool:
    """Whether the older iptables, which nft does not show, drop what is forwarded."""
    try:
        with open("/proc/net/ip_tables_names", encoding="ascii") as file:
            if "filter" not in file.read().split():
                return False
    except OSError:
        return False
    program = shutil.which("iptables-legacy")
    if program is None:
        return False
    done = subprocess.run(
        [program, "-w", "-S"], capture_output=True, text=True, timeout=5, check=False
    )
    return legacy_drops(done.stdout, interface)


def legacy_drops(told: str, interface: str) -> bool:
    """Whether `iptables -S` says so, and no rule lets the interface pass both ways."""
    if "-P FORWARD DROP" not in told.splitlines():
        return False
    ways = {
        way
        for way, name in re.findall(r"^-A \S+ (-[io]) (\S+) .*-j ACCEPT$", told, re.MULTILINE)
        if _is_meant(name.replace("+", "*"), interface)
    }
    return ways != {"-i", "-o"}
