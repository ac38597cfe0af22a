"""Flows as the kernel tells them, and which of them a port that changes is about."""

from __future__ import annotations

import socket

import pytest

from boxy_core.models_network import Published
from boxyd.network import conntrack
from boxyd.network.netlink import NESTED, attribute

PORT = Published(box=53, host=5300, address="127.0.0.1", protocol="udp", to="10.64.0.2")
WIDE = Published(box=53, host=5300, address="0.0.0.0", protocol="udp", to="10.64.0.2")


def _tuple(kind: int, source: str, to: str, ports: tuple[int, int]) -> bytes:
    ends = [attribute(n, socket.inet_aton(end)) for n, end in ((1, source), (2, to))]
    numbers = [attribute(n, port.to_bytes(2, "big")) for n, port in zip((2, 3), ports, strict=True)]
    proto = [attribute(1, bytes([17])), *numbers]
    parts = [attribute(NESTED | 1, ends), attribute(NESTED | 2, proto)]
    return attribute(NESTED | kind, parts)


def flow(answers: str, back: str = "127.0.0.1", port: int = 5300) -> conntrack.Flow:
    told = _tuple(1, "127.0.0.1", "127.0.0.1", (4000, port))
    told += _tuple(2, answers, back, (53, 4000))
    found = conntrack.read(bytes([socket.AF_INET, 0, 0, 0]) + told)
    assert found is not None
    return found


def test_a_flow_that_leads_to_the_box_and_one_that_leads_nowhere_are_meant() -> None:
    assert conntrack.met(flow("10.64.0.2"), [PORT])
    assert conntrack.met(flow("127.0.0.1"), [PORT])
    assert conntrack.met(flow("10.64.0.2", back="10.64.0.1"), [WIDE])


def test_other_ports_other_boxes_and_a_boxs_own_questions_are_not() -> None:
    assert not conntrack.met(flow("10.64.0.2", port=5301), [PORT])
    assert not conntrack.met(flow("10.64.0.3"), [PORT])
    # a box that asks the world's port 5300 is masqueraded: its flow is none of the port's
    assert not conntrack.met(flow("192.0.2.1", back="198.51.100.1"), [WIDE])


@pytest.mark.parametrize("size", range(0, 100, 7))
def test_what_is_cut_short_is_no_flow(size: int) -> None:
    whole = bytes([socket.AF_INET, 0, 0, 0]) + _tuple(1, "1.2.3.4", "5.6.7.8", (1, 2))
    assert conntrack.read(whole[: min(size, len(whole) - 1)]) is None
