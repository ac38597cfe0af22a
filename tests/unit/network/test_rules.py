"""What the table says, of which networks and ports."""

from __future__ import annotations

from boxy_core.models_network import Published
from boxyd.network import rules
from boxyd.network.rules import Net, Wanted

APP = Net("bxaaaaabapp0001", "10.64.0.0/24")
SIX = Net("bxaaaaabsix0001", "10.64.1.0/24", "fd00:1::/64")
DB = Net("bxaaaaabdb00001", "10.64.2.0/24", internal=True)


def chain(text: str, name: str) -> list[str]:
    """The rules of a chain, without its first line."""
    body = text[text.index(f"\tchain {name} {{") :].split("\n\t}", maxsplit=1)[0]
    return [line.strip() for line in body.splitlines()[2:]]


def table(*nets: Net, ports: tuple[Published, ...] = (), guard: bool = False) -> str:
    return rules.table("boxy_aaaaa", Wanted(nets, ports, guard))


def test_without_networks_the_table_goes() -> None:
    assert table() == rules.remove("boxy_aaaaa")
    assert "delete table inet boxy_aaaaa" in table()


def test_the_table_is_replaced_in_one_transaction() -> None:
    assert table(APP).startswith("add table inet boxy_aaaaa\ndelete table inet boxy_aaaaa\ntable")


def test_loopback_and_boxes_addresses_are_dropped_first_where_they_do_not_belong() -> None:
    assert chain(table(APP, SIX), "raw") == [
        'iifname != "lo" ip daddr 127.0.0.0/8 drop',
        'iifname "bxaaaaabapp0001" meta nfproto ipv4 ip saddr != 10.64.0.0/24 drop',
        'iifname != { "lo", "bxaaaaabapp0001" } ip daddr 10.64.0.0/24 drop',
        'iifname "bxaaaaabsix0001" meta nfproto ipv4 ip saddr != 10.64.1.0/24 drop',
        'iifname != { "lo", "bxaaaaabsix0001" } ip daddr 10.64.1.0/24 drop',
        'iifname "bxaaaaabsix0001" ip6 saddr != { fd00:1::/64, fe80::/10, :: } drop',
        'iifname != { "lo", "bxaaaaabsix0001" } ip6 daddr fd00:1::/64 drop',
    ]


def test_into_a_network_come_answers_and_published_ports_only() -> None:
    assert chain(table(APP), "forward") == [
        "ct state established,related accept",
        'iifname "bxaaaaabapp0001" oifname "bxaaaaabapp0001" accept',
        'oifname { "bxaaaaabapp0001" } ct status dnat accept',
        'oifname { "bxaaaaabapp0001" } drop',
    ]


def test_an_internal_network_has_no_way_out_and_asks_the_host_for_names_only() -> None:
    text = table(APP, DB)
    forward = chain(text, "forward")
    assert forward.index('iifname { "bxaaaaabdb00001" } drop') < forward.index(
        'oifname { "bxaaaaabapp0001", "bxaaaaabdb00001" } ct status dnat accept'
    )
    assert chain(text, "input")[-1] == 'iifname "bxaaaaabdb00001" drop'
    assert not any("10.64.2.0/24 oifname !=" in line for line in chain(text, "postrouting"))


def test_where_forwarding_was_off_nothing_of_others_is_forwarded() -> None:
    rule = 'iifname != "bx*" oifname != "bx*" drop'  # another daemon's boxes are boxes
    assert chain(table(APP, guard=True), "guard") == [rule]
    assert rule not in table(APP)


def test_a_port_stands_in_the_map_of_its_kind() -> None:
    ports = (
        Published(box=80, host=8080, address="127.0.0.1", to="10.64.0.2"),
        Published(box=80, host=8081, address="0.0.0.0", to="10.64.0.2"),
        Published(box=53, host=53, address="::", protocol="udp", to="fd00:1::2"),
    )
    lines = [line.strip() for line in table(SIX, ports=ports).splitlines()]
    assert "elements = { 127.0.0.1 . 8080 : 10.64.0.2 . 80 }" in lines
    assert "elements = { 8081 : 10.64.0.2 . 80 }" in lines
    assert "elements = { 53 : fd00:1::2 . 53 }" in lines
