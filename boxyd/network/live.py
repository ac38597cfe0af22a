"""A network as it is used: who is on it, under which names, at which addresses.

Constraint: in memory only, made anew from boxes and files at a daemon's start; changed in the
daemon's loop, read by the DNS responder.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from boxy_core.models import Box
from boxy_core.models_network import Endpoint, Network
from boxy_core.paths import SHORT_ID
from boxyd.network.addresses import AnyAddress, Pool
from boxyd.network.dns import Responder
from boxyd.network.dnswire import Knows
from boxyd.network.rules import Net

HOST_NAMES = ("host.boxy.internal", "host.docker.internal")
"""what boxes may call the host, that is the gateway"""


class Member(NamedTuple):
    """A box on the network."""

    box_id: str
    names: tuple[str, ...]
    addresses: tuple[AnyAddress, ...]


class Live:
    """One network while the daemon runs."""

    def __init__(self, network: Network) -> None:
        self.lock = asyncio.Lock()
        """held while the bridge comes or goes"""
        self.up = False
        self.responder: Responder | None = None
        self.dns_port = 0
        self.leaving: asyncio.TimerHandle | None = None
        """takes the bridge away when nobody has come back"""
        self.obstacles: list[str] = []
        """what on the host may keep its boxes from the world"""
        self.nameless = ""
        """why it has no DNS of its own"""
        self.members: dict[str, Member] = {}
        self.holders: set[str] = set()
        """boxes that have addresses: members, and those on their way"""
        self.replace(network)

    def replace(self, network: Network) -> None:
        """The network has another subnet, or another name."""
        self.network = network
        self.pools = [
            Pool(ipaddress.ip_network(subnet), ipaddress.ip_address(gateway))
            for subnet, gateway in (
                (network.subnet, network.gateway),
                (network.subnet6, network.gateway6),
            )
            if subnet
        ]
        self._index()

    @property
    def notices(self) -> list[str]:
        """What is not as it should be, a sentence each."""
        return [*self.obstacles, *filter(None, [self.nameless])] if self.up else []

    # ------------------------------------------------------------------ members

    def take(self, box_id: str, endpoint: Endpoint) -> list[AnyAddress]:
        """Addresses for a box that is about to come.  Raises Conflict, InvalidRequest."""
        taken = []
        wishes = ((endpoint.ip, endpoint.address), (endpoint.ip6, endpoint.address6))
        try:
            for pool in self.pools:
                wanted, last = wishes[pool.subnet.version == 6]
                taken.append(pool.take(box_id, wanted, last))
        except BaseException:
            self.give_back(box_id)
            raise
        self.holders.add(box_id)
        return taken

    def join(self, box: Box, endpoint: Endpoint) -> None:
        """The box is there; its names lead to it."""
        texts = [text for text in (endpoint.address, endpoint.address6) if text]
        addresses = tuple(ipaddress.ip_interface(text).ip for text in texts)
        self.members[box.id] = Member(box.id, names_of(box, endpoint), addresses)
        self.holders.add(box.id)
        self._index()

    def leave(self, box_id: str) -> None:
        """The box is gone: its names and addresses are free."""
        if self.members.pop(box_id, None) is not None:
            self._index()
        self.give_back(box_id)

    def give_back(self, box_id: str) -> None:
        """Its addresses are free."""
        self.holders.discard(box_id)
        for pool in self.pools:
            pool.give_back(box_id)

    def member_at(self, address: str) -> str:
        """The id of the box with this address; ""."""
        found = self._by_address.get(ipaddress.ip_address(address.partition("%")[0]))
        return found.box_id if found else ""

    # ------------------------------------------------------------------ names

    def _index(self) -> None:
        self._by_name: dict[str, list[AnyAddress]] = {}
        self._by_address: dict[AnyAddress, Member] = {}
        for member in self.members.values():
            for name in member.names:
                self._by_name.setdefault(name, []).extend(member.addresses)
            for address in member.addresses:
                self._by_address[address] = member
        texts = filter(None, (self.network.gateway, self.network.gateway6))
        gateways: list[AnyAddress] = [ipaddress.ip_address(text) for text in texts]
        for name in HOST_NAMES:
            self._by_name[name] = gateways
        self._suffix = "." + self.network.name.lower()

    def knows(self) -> Knows:
        """What the responder asks."""
        return Knows(self._addresses, self._name, self._ours)

    def _addresses(self, name: str) -> Sequence[AnyAddress] | None:
        found = self._by_name.get(name)
        return found if found is not None else self._by_name.get(name.removesuffix(self._suffix))

    def _name(self, address: AnyAddress) -> str | None:
        member = self._by_address.get(address)
        return member.names[0] + self._suffix if member else None

    def _ours(self, address: AnyAddress) -> bool:
        return any(address in pool.subnet for pool in self.pools)

    def lines(self, without: str) -> list[tuple[str, tuple[str, ...]]]:
        """Addresses and names of each member but one: for hosts files.

        Of both families: who finds a name there asks no further (musl: not even for the other).
        """
        return [
            (str(address), member.names)
            for member in self.members.values()
            if member.box_id != without
            for address in member.addresses
        ]

    def net(self) -> Net:
        """As the rules see it."""
        one = self.network
        return Net(one.interface, one.subnet, one.subnet6, one.internal)


def names_of(box: Box, endpoint: Endpoint) -> tuple[str, ...]:
    """What a network knows a box by: its name, its aliases, its short id."""
    names = [box.name, *endpoint.aliases, box.id[:SHORT_ID]]
    return tuple(dict.fromkeys(name.lower() for name in names))


def is_on(box: Box, network: str) -> bool:
    """Whether the box is on the network of this name."""
    return any(endpoint.network == network for endpoint in box.networks)
