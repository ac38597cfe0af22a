"""Networks and ports as the console shows them."""

from __future__ import annotations

import msgspec
import pytest

from boxy_core.errors import InvalidRequest
from boxy_core.models import Box, BoxSpec, Status
from boxy_core.models_network import Endpoint, Network, NetworkBox, Published
from boxy_tui import format_network as shown

BOX = Box(
    id="1" * 64, name="web", image="i", spec=BoxSpec(image="i"), status=Status.RUNNING,
    networks=[Endpoint(network="app", address="10.64.0.2/24", interface="eth0", aliases=["www"])],
    ports=[
        Published(box=80, host=8080, address="127.0.0.1", to="10.64.0.2"),
        Published(box=443, host=8443, address="0.0.0.0", to="10.64.0.2"),
        Published(box=5432, host=5432, address="127.0.0.1", to="10.64.0.2"),
        Published(box=80, host=81, address="::", to="fd00::2"),
        Published(box=53, host=53, address="127.0.0.1", protocol="udp", to="10.64.0.2"),
    ],
)  # fmt: skip


def text(line: list[tuple[str, str]]) -> str:
    return "".join(cell[0] for cell in line)


def test_the_detail_panel_tells_addresses_and_ports() -> None:
    lines = [text(line) for line in shown.network_lines(BOX)]
    assert lines[0] == "network app 10.64.0.2/24 (eth0)  also www"
    assert "127.0.0.1:8080->80/tcp" in lines[1]
    assert "[::]:81->80/tcp" in lines[1]
    assert shown.network_lines(Box(id="2" * 64, name="b", image="i", spec=BoxSpec(image="i"))) == []


def test_a_browser_is_sent_where_a_web_server_may_be() -> None:
    assert shown.urls(BOX) == [
        "http://127.0.0.1:8080/", "https://127.0.0.1:8443/", "http://localhost:81/",
    ]  # fmt: skip


def test_ports_are_opened_and_closed_by_one_line() -> None:
    assert shown.port_change("8080:80 -9000/udp") == {
        "add": [{"box": 80, "host": 8080}],
        "remove": [{"host": 9000, "box": 0, "protocol": "udp"}],
    }
    for wrong in ("", "-", "x"):
        with pytest.raises(InvalidRequest):
            shown.port_change(wrong)


def test_the_networks_view_tells_who_is_where() -> None:
    one = NetworkBox(id="1" * 64, name="web", address="10.64.0.2/24", names=["web"], running=True)
    network = Network(
        id="a" * 12, name="app", subnet="10.64.0.0/24", gateway="10.64.0.1", up=True, internal=True,
        interface="bx1", table="boxy_1", dns="10.64.0.1:53", boxes=[one], notices=["beware"],
    )  # fmt: skip
    lines = list(shown.networks_text([network]))
    assert lines[0] == "app  up, internal"
    assert any("10.64.0.2/24" in line and "web" in line for line in lines)
    assert "  notice   beware" in lines
    long = NetworkBox(id="2" * 64, name="n" * 60, names=["n" * 60, "2" * 12, "db"])
    lines = list(shown.networks_text([msgspec.structs.replace(network, boxes=[one, long])]))
    first, second = (line for line in lines if line.startswith("  box"))
    assert first == f"  box      {'web':<60}  10.64.0.2/24"
    assert second == f"  box      {'n' * 60}  not running   {'2' * 12} db", "each name once"
    assert "no network yet" in next(shown.networks_text([]))
