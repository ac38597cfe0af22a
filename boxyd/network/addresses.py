"""Which subnet a network gets, which address a box.  Pure.

Constraint: a subnet that the host already reaches, by an address or a route of its own, would
cut the host off from it; so what is taken is given, and everything is chosen around it.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable

from boxy_core.errors import Conflict, InvalidRequest
from boxyd.network.rtnetlink import AnyNetwork

POOL = ipaddress.ip_network("10.64.0.0/10")
"""where subnets are chosen from first: the least used part of RFC 1918"""
SECOND_POOL = ipaddress.ip_network("172.16.0.0/12")
LENGTH, LENGTH6 = 24, 64
_WAY = 256
"""subnets that one daemon tries before it looks where others begin"""

AnyAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def instance_of(root: str) -> str:
    """Five hexadecimal digits for one daemon: of its root folder, which no two share."""
    return hashlib.sha256(root.encode()).hexdigest()[:5]


def free_subnet(taken: Collection[AnyNetwork], instance: str) -> ipaddress.IPv4Network:
    """A /24 that overlaps nothing taken; each daemon begins at a place of its own.

    Raises Conflict if there is none.
    """
    four = [network for network in taken if network.version == 4 and network.prefixlen]
    start = (int(instance, 16) % 64) * _WAY
    for pool in (POOL, SECOND_POOL):
        count = 1 << (LENGTH - pool.prefixlen)
        for step in range(count):
            offset = (start + step) % count
            base = int(pool.network_address) + (offset << (32 - LENGTH))
            subnet = ipaddress.IPv4Network((base, LENGTH))
            if not any(subnet.overlaps(other) for other in four):
                return subnet
    raise Conflict(
        "no subnet is free: all of 10.64.0.0/10 and 172.16.0.0/12 is in use on this host",
        hint="give one yourself: boxy network create --subnet 192.168.77.0/24 NAME",
    )


def free_subnet6(taken: Collection[AnyNetwork], instance: str) -> ipaddress.IPv6Network:
    """A /64 of the daemon's own site prefix (RFC 4193), not taken."""
    site = 0xFD << 40 | int(hashlib.sha256(f"boxy {instance}".encode()).hexdigest()[:10], 16)
    six = [network for network in taken if network.version == 6 and network.prefixlen]
    for number in range(1, 1 << 16):
        subnet = ipaddress.IPv6Network(((site << 16 | number) << 64, LENGTH6))
        if not any(subnet.overlaps(other) for other in six):
            return subnet
    raise Conflict("no subnet of IPv6 is free", hint="give one yourself with --subnet")


def parse_subnet(text: str) -> AnyNetwork:
    """A subnet as the user gave it.  Raises InvalidRequest."""
    try:
        subnet = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidRequest(
            f"the subnet cannot be {text!r}: {error}", hint="write it like 10.77.3.0/24"
        ) from None
    least = 30 if subnet.version == 4 else 126
    if subnet.prefixlen > least:
        raise InvalidRequest(f"the subnet {text} has no room for boxes", hint="a shorter prefix")
    bad = subnet.is_multicast or subnet.is_loopback or subnet.is_unspecified
    if bad or subnet.is_link_local or not subnet.prefixlen:
        raise InvalidRequest(f"{text} cannot be a network of boxes", hint="take 10.77.3.0/24")
    return subnet


def first_host(subnet: AnyNetwork) -> AnyAddress:
    """The address behind the network's own: the gateway's unless something else was asked."""
    return subnet.network_address + 1


def parse_address(text: str, subnet: AnyNetwork, what: str) -> AnyAddress:
    """An address of that subnet.  Raises InvalidRequest naming `what` it was to be."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(f"{what} cannot be {text!r}", hint="it is an IP address") from None
    last = subnet.broadcast_address if subnet.version == 4 else None
    if address not in subnet or address in (subnet.network_address, last):
        raise InvalidRequest(
            f"{what} {text} is not an address of the subnet {subnet}",
            hint="choose one inside, not the first and not the last",
        )
    return address


def overlap(subnet: AnyNetwork, taken: Iterable[AnyNetwork]) -> AnyNetwork | None:
    """The first of `taken` that shares addresses with `subnet` (default routes do not count)."""
    for other in taken:
        if other.version == subnet.version and other.prefixlen and subnet.overlaps(other):
            return other
    return None


class Pool:
    """The addresses of one subnet: given out in turn, so that one just freed rests a while."""

    def __init__(self, subnet: AnyNetwork, gateway: AnyAddress) -> None:
        self.subnet = subnet
        self._gateway = gateway
        self._used: dict[AnyAddress, str] = {}
        self._next = 1

    def take(self, holder: str, wanted: str = "", preferred: str = "") -> AnyAddress:
        """An address for `holder` (a box's id): the wanted one, the preferred one if that is
        free, else the next.  Raises Conflict, InvalidRequest."""
        if wanted:
            address = parse_address(wanted, self.subnet, "the address")
            self._check_free(address)
        elif (last := self._usable(preferred)) is not None:
            address = last
        else:
            address = self._following()
        self._used[address] = holder
        return address

    def give_back(self, holder: str) -> None:
        """The box needs its address no more."""
        self._used = {a: other for a, other in self._used.items() if other != holder}

    def _check_free(self, address: AnyAddress) -> None:
        if address == self._gateway:
            raise Conflict(f"{address} is the network's gateway", hint="choose another address")
        if address in self._used:
            raise Conflict(
                f"{address} is in use by box {self._used[address]}", hint="choose another address"
            )

    def _usable(self, text: str) -> AnyAddress | None:
        if not text:
            return None
        address = ipaddress.ip_interface(text).ip
        free = address in self.subnet and address not in self._used and address != self._gateway
        return address if free else None

    def _following(self) -> AnyAddress:
        size = min(self.subnet.num_addresses - 1, 1 << 32)
        for _ in range(len(self._used) + 3):
            self._next = self._next + 1 if self._next + 1 < size else 1
            address = self.subnet.network_address + self._next
            if address != self._gateway and address not in self._used:
                return address
        for offset in range(1, min(size, 1 << 16)):  # a small subnet, nearly full
            address = self.subnet.network_address + offset
            if address != self._gateway and address not in self._used:
                return address
        raise Conflict(
            f"every address of {self.subnet} is in use",
            hint="stop boxes, or make a network with a larger subnet",
        )


def mac_for(address: AnyAddress) -> bytes:
    """A locally administered address that follows from the box's own, as Docker's do."""
    return b"\x02\x42" + (address.packed if address.version == 4 else address.packed[-4:])


def parse_mac(text: str) -> bytes:
    """Six bytes of "02:42:0a:4d:00:05".  Raises InvalidRequest for a group's address, too."""
    parts = text.replace("-", ":").split(":")
    try:
        packed = bytes(int(part, 16) for part in parts if len(part) == 2)
    except ValueError:
        packed = b""
    if len(parts) != 6 or len(packed) != 6 or packed[0] & 1 or not any(packed):
        raise InvalidRequest(
            f"the MAC address cannot be {text!r}", hint="write it like 02:42:0a:4d:00:05"
        )
    return packed


def show_mac(packed: bytes) -> str:
    """The usual writing."""
    return ":".join(f"{byte:02x}" for byte in packed)
