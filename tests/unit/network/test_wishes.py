"""What a spec says about its network: what goes together, which ports are meant."""

from __future__ import annotations

from typing import Any

import pytest

from boxy_core.errors import InvalidRequest
from boxy_core.models import BoxSpec, Image
from boxy_core.models_network import Port
from boxyd.network import wishes


def spec(**fields: Any) -> BoxSpec:
    return BoxSpec(image="i", **{"network": "app", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"dns": ["x"]}, {"dns_search": ["a b"]}, {"dns_options": ["A B"]},
        {"add_hosts": {"a b": "1.2.3.4"}}, {"add_hosts": {"a": "x"}}, {"network_aliases": ["-"]},
        {"mac_address": "x"}, {"ip": "fd00::1"}, {"ip6": "1.2.3.4"}, {"ports": [Port(box=0)]},
        {"network": "none", "ip": "1.2.3.4"}, {"network": "none", "ports": [Port(box=80)]},
        {"network": "box:web", "publish_all": True}, {"network": "host", "mac_address": "x"},
    ],
)  # fmt: skip
def test_what_is_wrong_or_does_not_go_together_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        wishes.check(spec(**fields))


def test_what_makes_sense_passes() -> None:
    wishes.check(spec(dns=["9.9.9.9"], add_hosts={"me": "host-gateway"}, ip="10.0.0.9",
                      network_aliases=["a_b", "x.y"], dns_options=["ndots:2"]))  # fmt: skip
    wishes.check(spec(network="host", ports=[Port(box=80)]))  # a notice says that it has no effect


def test_all_ports_of_an_image_are_those_that_can_be_meant_once() -> None:
    image = Image(
        name="i", id="1", source="s",
        ports=["80", "80/tcp", "53/udp", "8000-8002/tcp", "9/sctp", "x", "0", "70000", "5-1",
               "1-9999"],
    )  # fmt: skip
    wanted = wishes.wanted_ports(spec(publish_all=True, ports=[Port(box=80, host=8080)]), image)
    assert [(port.box, port.host, port.protocol) for port in wanted] == [
        (80, 8080, "tcp"), (53, 0, "udp"), (8000, 0, "tcp"), (8001, 0, "tcp"), (8002, 0, "tcp"),
    ]  # fmt: skip
    assert wishes.wanted_ports(spec(), image) == []
