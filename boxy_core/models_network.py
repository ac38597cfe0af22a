"""Networks, ports and addresses as plain data: on the wire, on disk.  Pure.

The rules of `boxy_core.models` hold: immutable, keyword-only, unknown fields refused.
"""

from __future__ import annotations

import msgspec


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of these models; `boxy_core.models` imports them, so it cannot lend its own."""


class Port(_Model, frozen=True, kw_only=True):
    """A port of the box that is to be reached at the host, as it was asked for."""

    box: int
    """1 to 65535: where the box listens"""
    host: int = 0
    """1 to 65535: where the host listens; 0: a free one is chosen at each start"""
    address: str = ""
    """the host's address; "": the daemon's default (127.0.0.1 unless configured otherwise)"""
    protocol: str = "tcp"
    """"tcp" or "udp" """


class Published(_Model, frozen=True, kw_only=True):
    """A port that is published at this moment."""

    box: int
    host: int
    address: str
    """the host's address; "0.0.0.0" and "::" stand for all of a family"""
    protocol: str = "tcp"
    to: str = ""
    """the box's address that it leads to"""


class Endpoint(_Model, frozen=True, kw_only=True):
    """A box's connection to a network: what was asked for, and what it has while it lives."""

    network: str
    """the network's name"""
    aliases: list[str] = []
    """names beside the box's own that the network's DNS knows it by"""
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    """what was asked for; "": chosen"""
    address: str = ""
    address6: str = ""
    """with the prefix's length, "10.77.0.2/24"; of the last run when the box does not live"""
    gateway: str = ""
    gateway6: str = ""
    mac_address: str = ""
    interface: str = ""
    """its name in the box, "eth0"; "" when not connected"""
    host_interface: str = ""
    """the other end, on the host"""


class NetworkSpec(_Model, frozen=True, kw_only=True):
    """What `network create` asks for."""

    name: str
    driver: str = "bridge"
    subnet: str = ""
    """"10.77.3.0/24"; "": one that collides with nothing is chosen"""
    gateway: str = ""
    """"": the subnet's first address"""
    ipv6: bool = False
    """with a subnet of IPv6, too"""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    """boxes reach each other, and nothing else"""
    labels: dict[str, str] = {}
    mtu: int = 0
    """bytes; 0: as the host's way out"""


class NetworkBox(_Model, frozen=True, kw_only=True):
    """A box on a network, as an answer about the network tells of it."""

    id: str
    name: str
    address: str = ""
    address6: str = ""
    mac_address: str = ""
    names: list[str] = []
    """what the network's DNS knows it by"""
    running: bool = False


class Network(_Model, frozen=True, kw_only=True):
    """A network: the file `networks/<id>.json`, and the answer of inspect."""

    id: str
    """12 hexadecimal digits"""
    name: str
    driver: str = "bridge"
    created: float = 0.0
    subnet: str = ""
    gateway: str = ""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    labels: dict[str, str] = {}
    mtu: int = 1500
    interface: str = ""
    """the bridge on the host"""
    table: str = ""
    """the nftables table that its rules are in"""
    chosen: bool = True
    """the subnet was chosen by us, and may be chosen anew when the host's networks change"""
    up: bool = False
    """the bridge exists: a box lives on it (never true in the file)"""
    dns: str = ""
    """where its DNS answers, "10.77.0.1:53"; "" when it does not"""
    boxes: list[NetworkBox] = []
    """filled in for answers"""
    notices: list[str] = []
    """what stands in its way on this host, a sentence each"""
