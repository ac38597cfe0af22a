"""Networks, addresses and ports as cells and lines.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from boxy_core.errors import InvalidRequest
from boxy_core.models import ALIVE, Box
from boxy_core.models_network import Network, NetworkBox, Published
from boxy_core.portwords import closing, ports
from boxy_tui.format import Cell, plain

_SECURE = (443, 8443)
_NO_HTTP = frozenset({22, 25, 53, 110, 143, 3306, 5432, 6379, 27017})
"""ports of a box that a browser has no business with"""


def network_lines(box: Box) -> list[list[Cell]]:
    """The networks and ports of a box, for its detail panel."""
    lines: list[list[Cell]] = []
    for one in box.networks:
        alive = box.status in ALIVE and bool(one.address)
        address = f" {one.address} ({one.interface})" if alive else ""
        names = f"  also {', '.join(map(plain, one.aliases))}" if one.aliases else ""
        lines.append([("network ", "dim"), (plain(one.network), "blue"),
                      (address, "text"), (names, "dim")])  # fmt: skip
    if box.ports:
        shown = "  ".join(map(port_text, box.ports))
        lines.append([("ports   ", "dim"), (shown, "text")])
    return lines


def port_text(port: Published) -> str:
    """As people read it: 127.0.0.1:8080->80/tcp."""
    return f"{_bracketed(port.address)}:{port.host}->{port.box}/{port.protocol}"


def urls(box: Box) -> list[str]:
    """The addresses under which a browser may find something in the box."""
    found = []
    for port in box.ports:
        if port.protocol == "tcp" and port.box not in _NO_HTTP:
            host = {"0.0.0.0": "127.0.0.1", "::": "localhost"}.get(port.address, port.address)
            scheme = "https" if port.box in _SECURE else "http"
            found.append(f"{scheme}://{_bracketed(host)}:{port.host}/")
    return found


def port_change(text: str) -> dict[str, list[dict[str, Any]]]:
    """`8080:80` opens, `-8080` closes; several words are several ports.  Raises InvalidRequest."""
    words = text.split()
    if not words:
        raise InvalidRequest("No port was given.", hint="8080:80 opens one, -8080 closes it.")
    return {
        "add": [port for word in words if word[0] != "-" for port in ports(word, "port")],
        "remove": [closing(word[1:]) for word in words if word[0] == "-"],
    }


def networks_text(found: Sequence[Network]) -> Iterator[str]:
    """The networks view: each with what it is and who is on it."""
    if not found:
        yield "There is no network yet; the default one comes with its first box."
    for network in found:
        state = "up" if network.up else "idle"
        kind = ", internal" if network.internal else ""
        yield f"{plain(network.name)}  {state}{kind}"
        subnets = "  ".join(filter(None, (network.subnet, network.subnet6)))
        yield f"  subnet   {subnets}  gateway {network.gateway}  mtu {network.mtu}"
        yield f"  host     {network.interface}  nftables {network.table}" + (
            f"  dns {network.dns}" if network.dns else ""
        )
        for notice in network.notices:
            yield f"  notice   {plain(notice)}"
        yield from _members(network.boxes)
        yield ""


def _members(boxes: Sequence[NetworkBox]) -> Iterator[str]:
    """Who is on a network, in columns as wide as what is in them; the names are those by which
    others find it, beside its own."""
    rows = [
        (plain(box.name), box.address or ("" if box.running else "not running"),
         " ".join(plain(name) for name in box.names if name != box.name))
        for box in boxes
    ]  # fmt: skip
    name, address = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    for row in rows:
        yield f"  box      {row[0]:<{name}}  {row[1]:<{address}}  {row[2]}".rstrip()


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
