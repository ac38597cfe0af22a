"""Flows that the kernel remembers: those of a port that was opened or closed are forgotten.

A packet of a flow that is known (nf_conntrack) meets no rule about addresses any more: it goes
where the flow's first packet went.  Of TCP that is as it should be: who is connected stays so.
A UDP client has no connection that ends; without this it would reach a box by a port that is
closed, or not reach one by a port that was opened a moment ago, for as long as it keeps asking.

Constraint: blocks; for the network's thread.  A machine may have a million flows, so the kernel
is asked for those of UDP only (Linux before 5.8 tells all of them, which is slower and the same).
Source: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Collection
from typing import NamedTuple

from boxy_core.models_network import Published
from boxyd.network.netlink import DUMP, NESTED, Socket, attribute, attributes

_SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = _SUBSYSTEM << 8 | 1, _SUBSYSTEM << 8 | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ZONE, _FILTER = 1, 2, 18, 25  # CTA_*
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_ADDRESSES: dict[int, tuple[int, int]] = {
    socket.AF_INET: (1, 2),
    socket.AF_INET6: (3, 4),
}  # CTA_IP_V4_SRC and _DST, V6
_PROTO_NUM, _DST_PORT = 1, 3
_FILTER_ORIG, _BY_NUM = 1, 1 << 3  # CTA_FILTER_F_CTA_PROTO_NUM
_WIDE = ("0.0.0.0", "::")


class Flow(NamedTuple):
    """A flow: where its first packet was sent to, and who answers it."""

    family: int
    protocol: int
    address: str
    port: int
    answers: str
    """the address that answers come from: another one where a port leads to a box"""
    translated: bool
    """some address in it is changed on the way"""
    key: bytes
    """the attributes that name it to the kernel"""


class Conntrack(Socket):
    """A socket to the table of one network namespace."""

    FAMILY = 12  # NETLINK_NETFILTER

    def udp(self, family: int) -> list[Flow]:
        """The flows of UDP of an address family."""
        number = attribute(_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
        wanted = attribute(
            NESTED | _TUPLE_ORIG, [attribute(NESTED | _TUPLE_PROTO, [number])]
        ) + attribute(NESTED | _FILTER, [attribute(_FILTER_ORIG, _BY_NUM)])
        told = self.ask(_GET, DUMP, _head(family) + wanted)
        flows = [flow for _, body in told if (flow := read(body)) is not None]
        return [flow for flow in flows if flow.protocol == socket.IPPROTO_UDP]

    def forget(self, flow: Flow) -> None:
        """Have the kernel forget a flow; one that is gone already is fine."""
        try:
            self.ask(_DELETE, 0, _head(flow.family) + flow.key)
        except FileNotFoundError:
            return


def _head(family: int) -> bytes:
    """struct nfgenmsg."""
    return struct.pack("=BBH", family, 0, 0)


def read(body: bytes) -> Flow | None:
    """The flow that a message tells; None for what is cut short."""
    found = dict(attributes(body, 4))
    family = body[0] if body else 0
    original, reply = found.get(_TUPLE_ORIG, b""), found.get(_TUPLE_REPLY, b"")
    source, address = _ends(original, family)
    answers, back = _ends(reply, family)
    proto = dict(attributes(dict(attributes(original, 0)).get(_TUPLE_PROTO, b""), 0))
    number, port = proto.get(_PROTO_NUM, b""), proto.get(_DST_PORT, b"")
    if not address or len(number) != 1 or len(port) != 2:
        return None
    key = attribute(NESTED | _TUPLE_ORIG, original)
    if zone := found.get(_ZONE, b""):
        key += attribute(_ZONE, zone)
    return Flow(
        family, number[0], address, int.from_bytes(port, "big"), answers,
        (source, address) != (back, answers), key,
    )  # fmt: skip


def _ends(tuple_: bytes, family: int) -> tuple[str, str]:
    """Source and destination of a tuple."""
    there = dict(attributes(dict(attributes(tuple_, 0)).get(_TUPLE_IP, b""), 0))
    ends = [there.get(kind, b"") for kind in _ADDRESSES.get(family, (0, 0))]
    if any(len(end) not in (4, 16) for end in ends):
        return "", ""
    source, to = (str(ipaddress.ip_address(end)) for end in ends)
    return source, to


def met(flow: Flow, ports: Collection[Published]) -> bool:
    """Whether the flow is one to these ports of the host: by what they lead to, or untouched."""
    six = flow.family == socket.AF_INET6
    return any(
        port.host == flow.port
        and (":" in port.address) == six
        and (port.address in _WIDE or port.address == flow.address)
        and (flow.answers == port.to or not flow.translated)
        for port in ports
    )


def forget(ports: Collection[Published]) -> int:
    """Forget the UDP flows to these ports of the host; how many there were.

    Raises OSError where the kernel tells of no flows (nf_conntrack_netlink is missing).
    """
    count = 0
    with Conntrack() as link:
        for family in sorted({socket.AF_INET6 if ":" in p.address else socket.AF_INET
                              for p in ports}):  # fmt: skip
            for flow in link.udp(family):
                if met(flow, ports):
                    link.forget(flow)
                    count += 1
    return count
