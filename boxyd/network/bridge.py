"""What the kernel needs for a bridge network: the bridge, and a pair of interfaces for a box.

Constraint: all functions block and run in the network's thread.  Everything of ours bears the
daemon's prefix in its name, so that what a killed daemon left can be told from others' things.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Collection
from typing import NamedTuple

from boxy_core.errors import Conflict, Unsupported
from boxy_core.models_network import Network
from boxyd.network.addresses import mac_for, overlap
from boxyd.network.rtnetlink import AnyNetwork, Netlink
from boxyd.network.worker import inside

PROC = "/proc/sys/net"
INNER_PREFIX = "eth"
LINK_LOCAL = ipaddress.ip_interface("fe80::1/64")
_NO_LINK = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM, errno.EACCES}

log = logging.getLogger("boxyd.network")


class Plug(NamedTuple):
    """What one connection of a box is made of."""

    bridge: str
    outer: str
    """the end on the host"""
    inner: str
    """the end in the box"""
    mac: bytes
    address: str
    address6: str
    gateway: str
    gateway6: str
    """"": no default route by this network"""
    mtu: int
    metric: int = 0


def prefix(instance: str) -> str:
    """How the names of all of a daemon's interfaces begin; at most 15 bytes are a name."""
    return f"bx{instance}"


def bridge_name(instance: str, network_id: str) -> str:
    """The bridge of a network."""
    return f"{prefix(instance)}b{network_id[:7]}"


def link_name(instance: str, number: int) -> str:
    """The host's end of a connection."""
    return f"{prefix(instance)}v{number & 0xFFFFFFF:07x}"


def taken_networks() -> list[AnyNetwork]:
    """Every network that the host reaches by an address or a route."""
    with Netlink() as link:
        routes = [route.to for route in link.routes() if route.to.prefixlen]
        return [*link.addresses(), *routes]


def way_out_mtu() -> int:
    """The MTU of the interface that the default route uses; 1500 without one."""
    with Netlink() as link:
        ways = [route.interface for route in link.routes() if not route.to.prefixlen]
        sizes = {one.number: one.mtu for one in link.links()}
        found = [sizes[way] for way in ways if 1280 <= sizes.get(way, 0) <= 65535]
        return min(found, default=1500)


def ensure(network: Network) -> bool:
    """Have the bridge, up, with its addresses; whether it had to be made.

    Raises Conflict if the host has come to use the subnet for something else, Unsupported
    where there are no bridges.
    """
    with Netlink() as link:
        if any(one.name == network.interface and one.up for one in link.links()):
            return False
        _check_subnet(link, network)
        link.delete(network.interface)  # half made by a daemon that was killed
        try:
            mac = mac_for(ipaddress.ip_address(network.gateway))
            index = link.add_bridge(network.interface, network.mtu, mac)
        except OSError as error:
            if error.errno in _NO_LINK:
                raise Unsupported(
                    f"this host cannot make a bridge: {error.strerror}",
                    hint="try `modprobe bridge veth`; --network none and host work without",
                ) from None
            raise
        try:
            _configure(link, index, network)
        except BaseException:
            link.delete(network.interface)
            raise
    return True


def _check_subnet(link: Netlink, network: Network) -> None:
    taken = [*link.addresses(), *(route.to for route in link.routes())]
    for text in filter(None, (network.subnet, network.subnet6)):
        clash = overlap(ipaddress.ip_network(text), taken)
        if clash is not None:
            raise Conflict(
                f"the subnet {text} of network {network.name} is in use on this host ({clash})",
                hint="remove the network and make it anew with another --subnet",
                subnet=text,
            )


def _configure(link: Netlink, index: int, network: Network) -> None:
    write(f"ipv4/conf/{network.interface}/route_localnet", "1")
    link.no_link_local(index)
    if network.subnet6:
        # Who forwards asks for a neighbour by its own link-local address (RFC 4861), and has it
        # at once only if it is given one.
        link.add_address(index, LINK_LOCAL)
    else:
        write(f"ipv6/conf/{network.interface}/disable_ipv6", "1", optional=True)
    for subnet, gateway in (
        (network.subnet, network.gateway),
        (network.subnet6, network.gateway6),
    ):
        if subnet:
            length = subnet.partition("/")[2]
            link.add_address(index, ipaddress.ip_interface(f"{gateway}/{length}"))
    link.set_up(index)


def connect(netns: int, plug: Plug) -> None:
    """Make the pair of interfaces and configure the box's end.  Raises OSError.

    Its end appears in the box's namespace with everything set, or not at all.
    """
    with Netlink() as link:
        master = socket.if_nametoindex(plug.bridge)
        outer = link.add_veth(plug.outer, master, plug.inner, netns, plug.mac, plug.mtu)
        try:
            link.let_hairpin(outer)
            with inside(netns) as theirs:
                _configure_inside(theirs, plug)
        except BaseException:
            link.delete(plug.outer)
            raise


def _configure_inside(link: Netlink, plug: Plug) -> None:
    index = link.index(plug.inner)
    if not plug.address6:
        link.no_link_local(index)
    for address in filter(None, (plug.address, plug.address6)):
        link.add_address(index, ipaddress.ip_interface(address))
    link.set_up(index)
    for gateway in filter(None, (plug.gateway, plug.gateway6)):
        link.add_default_route(index, gateway, plug.metric)


def disconnect(outer: str) -> None:
    """Take a connection away; its other end goes with it."""
    with Netlink() as link:
        link.delete(outer)


def interfaces_inside(netns: int) -> set[str]:
    """The names of a box's interfaces."""
    with inside(netns) as link:
        return {one.name for one in link.links()}


def of_ours(instance: str) -> set[str]:
    """Every interface of this daemon's that the host has."""
    with Netlink() as link:
        return {one.name for one in link.links() if one.name.startswith(prefix(instance))}


def remove(names: Collection[str]) -> None:
    """Delete interfaces; those that are gone already are fine."""
    with Netlink() as link:
        for name in names:
            link.delete(name)


# ------------------------------------------------------------------------ settings of the kernel


def write(name: str, value: str, *, optional: bool = False) -> None:
    """Set a setting below /proc/sys/net.  Raises OSError, unless it is optional."""
    try:
        with open(f"{PROC}/{name}", "w", encoding="ascii") as file:
            file.write(value)
    except OSError:
        if not optional:
            raise


def read(name: str) -> str:
    """A setting below /proc/sys/net; "" if there is none."""
    try:
        with open(f"{PROC}/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def enable_forwarding(*, six: bool) -> bool:
    """Let the host send packets on; whether it did not before (of IPv4).

    With forwarding of IPv6 an interface stops to heed router advertisements unless told
    otherwise (ip-sysctl, accept_ra): those that did go on doing so.
    """
    was_off = read("ipv4/ip_forward") == "0"
    if was_off:
        write("ipv4/ip_forward", "1")
    if six and read("ipv6/conf/all/forwarding") == "0":
        for name in os.listdir(f"{PROC}/ipv6/conf"):
            if read(f"ipv6/conf/{name}/accept_ra") == "1":
                write(f"ipv6/conf/{name}/accept_ra", "2", optional=True)
        write("ipv6/conf/all/forwarding", "1")
    return was_off
