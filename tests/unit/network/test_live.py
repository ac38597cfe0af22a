"""Who is on a network, under which names."""

from __future__ import annotations

import ipaddress

from boxy_core.models import Box, BoxSpec
from boxy_core.models_network import Endpoint, Network
from boxyd.network.live import Live


async def live() -> Live:
    return Live(Network(id="a" * 12, name="App", subnet="10.64.0.0/24", gateway="10.64.0.1"))


def box(name: str, digit: str) -> Box:
    return Box(id=digit * 64, name=name, image="i", spec=BoxSpec(image="i"))


async def test_names_lead_to_boxes_with_and_without_the_networks_name() -> None:
    one = await live()
    for name, digit, aliases in (("Web", "1", ["www"]), ("web2", "2", ["www"])):
        here = box(name, digit)
        taken = one.take(here.id, Endpoint(network="App"))
        one.join(here, Endpoint(network="App", aliases=aliases, address=f"{taken[0]}/24"))
    knows = one.knows()
    assert [str(a) for a in knows.addresses("web") or ()] == ["10.64.0.2"]
    assert knows.addresses("web.app") == knows.addresses("111111111111")
    assert len(knows.addresses("www") or ()) == 2
    assert knows.name(ipaddress.ip_address("10.64.0.3")) == "web2.app"
    assert [str(a) for a in knows.addresses("host.boxy.internal") or ()] == ["10.64.0.1"]
    one.leave("1" * 64)
    assert knows.addresses("web") is None
    assert one.member_at("10.64.0.3") == "2" * 64
    assert one.member_at("10.64.0.2") == ""


async def test_a_box_that_left_has_no_lines_in_the_others_hosts() -> None:
    one = await live()
    here = box("web", "1")
    one.join(here, Endpoint(network="App", address="10.64.0.9/24"))
    assert one.lines(without="2" * 64) == [("10.64.0.9", ("web", "111111111111"))]
    assert one.lines(without=here.id) == []
