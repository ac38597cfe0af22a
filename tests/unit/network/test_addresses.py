"""Subnets that collide with nothing, addresses that are given out in turn."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import Conflict, InvalidRequest
from boxyd.network import addresses
from boxyd.network.addresses import Pool


def nets(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in texts]


def test_two_daemons_choose_subnets_apart_and_each_around_what_is_taken() -> None:
    first = addresses.free_subnet([], addresses.instance_of("/var/lib/boxy"))
    assert first != addresses.free_subnet([], addresses.instance_of("/srv/two"))
    again = addresses.free_subnet([first], addresses.instance_of("/var/lib/boxy"))
    assert not again.overlaps(first)


@given(st.lists(st.ip_addresses(v=4, network="10.0.0.0/8"), max_size=30))
def test_a_chosen_subnet_overlaps_nothing_that_is_taken(hosts: list[ipaddress.IPv4Address]) -> None:
    taken = [ipaddress.ip_network((int(host), 22), strict=False) for host in hosts]
    subnet = addresses.free_subnet(taken, "00000")
    assert not any(subnet.overlaps(other) for other in taken)
    assert subnet.is_private


def test_a_default_route_takes_nothing_and_a_host_that_takes_all_is_told() -> None:
    addresses.free_subnet(nets("0.0.0.0/0", "::/0"), "00000")
    with pytest.raises(Conflict, match="no subnet is free"):
        addresses.free_subnet(nets("10.0.0.0/8", "172.16.0.0/12"), "00000")


def test_a_subnet_of_ipv6_is_of_the_daemons_own_site() -> None:
    one = addresses.free_subnet6([], "00001")
    assert one.network_address in ipaddress.ip_network("fd00::/8")
    assert addresses.free_subnet6([one], "00001") != one


@pytest.mark.parametrize(
    "text",
    ["x", "10.0.0.1/24", "10.0.0.0/31", "127.0.0.0/8", "224.0.0.0/24", "169.254.0.0/16",
     "0.0.0.0/0", "fe80::/64", "fd00::/127"],
)  # fmt: skip
def test_what_can_be_no_network_of_boxes_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        addresses.parse_subnet(text)


def pool(text: str = "10.64.0.0/29") -> Pool:
    subnet = ipaddress.ip_network(text)
    return Pool(subnet, addresses.first_host(subnet))


def test_addresses_go_round_so_that_one_just_freed_rests() -> None:
    one = pool()
    taken = [str(one.take(f"box{i}")) for i in range(3)]
    assert taken == ["10.64.0.2", "10.64.0.3", "10.64.0.4"]
    one.give_back("box0")
    assert str(one.take("box3")) == "10.64.0.5"
    assert [str(one.take(f"more{i}")) for i in range(2)] == ["10.64.0.6", "10.64.0.2"]
    with pytest.raises(Conflict, match="every address"):
        one.take("last")


def test_a_box_gets_the_address_that_it_asks_for_or_had_last() -> None:
    one = pool("10.64.0.0/24")
    assert str(one.take("a", wanted="10.64.0.77")) == "10.64.0.77"
    assert str(one.take("b", preferred="10.64.0.9/24")) == "10.64.0.9"
    assert str(one.take("c", preferred="10.64.0.9/24")) == "10.64.0.2"
    assert str(one.take("d", preferred="192.0.2.1/24")) == "10.64.0.3"
    with pytest.raises(Conflict, match="in use by box a"):
        one.take("e", wanted="10.64.0.77")
    with pytest.raises(Conflict, match="gateway"):
        one.take("e", wanted="10.64.0.1")
    for wrong in ("10.65.0.1", "10.64.0.0", "10.64.0.255", "x"):
        with pytest.raises(InvalidRequest):
            one.take("e", wanted=wrong)


def test_a_mac_is_local_and_follows_from_the_address() -> None:
    made = addresses.mac_for(ipaddress.ip_address("10.64.0.2"))
    assert addresses.show_mac(made) == "02:42:0a:40:00:02"
    assert addresses.parse_mac("02-42-0A-40-00-02") == made
    for wrong in (
        "",
        "02:42:0a:40:00",
        "01:42:0a:40:00:02",
        "00:00:00:00:00:00",
        "zz:42:0a:40:00:02",
    ):
        with pytest.raises(InvalidRequest):
            addresses.parse_mac(wrong)
