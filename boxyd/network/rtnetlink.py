"""Links, addresses and routes by the kernel's own protocol: rtnetlink(7).

Constraint: a message is a few packed structs, so this is the whole of what a box needs, at a
tenth of a millisecond a call.  Messages are built by pure functions; `Netlink` alone has a
socket, and belongs to the network namespace that it was made in.  It blocks: use it from the
network's thread.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import NamedTuple

from boxyd.network.netlink import CREATE, DUMP, EXCL, NESTED, Socket, attribute, attributes

_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 20, 22, 24, 26
_IFF_UP = 1
_BRIDGE_FAMILY = 7
_IFA_F_NODAD = 0x02
_MAIN_TABLE, _BOOT, _UNIVERSE, _UNICAST = 254, 3, 0, 1

# if_link.h, if_addr.h, rtnetlink.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 10, 12
IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 18, 26, 28
IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 31, 32
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_BRPORT_HAIRPIN = 4
_INET6_ADDR_GEN_MODE, _GEN_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface
AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def link(index: int = 0, *, up: bool | None = None, family: int = 0) -> bytes:
    """struct ifinfomsg; `up` None leaves the flag as it is."""
    flags, change = (_IFF_UP if up else 0), (_IFF_UP if up is not None else 0)
    return struct.pack("=BxHiII", family, 0, index, flags, change)


class Link(NamedTuple):
    """A network interface."""

    number: int
    name: str
    mtu: int
    kind: str
    """"bridge", "veth", ...; "" for what is none of them"""
    master: int
    up: bool


class Route(NamedTuple):
    """A route of the host; the default route is a network of length 0."""

    to: AnyNetwork
    interface: int


class Netlink(Socket):
    """One rtnetlink socket.  Methods raise OSError with the kernel's own words."""

    # ------------------------------------------------------------------ what there is

    def links(self) -> list[Link]:
        """Every interface."""
        return [_link(body) for _, body in self.ask(_GETLINK, DUMP, link())]

    def index(self, name: str) -> int:
        """The number of an interface.  Raises OSError if there is none of that name."""
        [(_, body), *_] = self.ask(_GETLINK, 0, link() + attribute(IFLA_IFNAME, name))
        return _link(body).number

    def addresses(self) -> list[AnyNetwork]:
        """The network of each address that the host has."""
        found = self.ask(_GETADDR, DUMP, struct.pack("=BBBBi", 0, 0, 0, 0, 0))
        return [network for _, body in found if (network := _address(body)) is not None]

    def routes(self) -> list[Route]:
        """The routes of every table that lead somewhere by an interface."""
        header = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)
        found = self.ask(_GETROUTE, DUMP, header)
        return [route for _, body in found if (route := _route(body)) is not None]

    # ------------------------------------------------------------------ what is changed

    def add_bridge(self, name: str, mtu: int, mac: bytes) -> int:
        """A bridge, not up yet; its index.  FileExistsError if the name is taken.

        Without a MAC address of its own it would take the lowest of its ports', another one as
        boxes come and go, and those that stay would send to the old one for seconds.
        """
        info = attribute(IFLA_LINKINFO, [attribute(_INFO_KIND, "bridge")])
        known = attribute(IFLA_IFNAME, name) + attribute(IFLA_ADDRESS, mac)
        parts = [link(), known, attribute(IFLA_MTU, mtu), info]
        self.ask(_NEWLINK, CREATE | EXCL, b"".join(parts))
        return socket.if_nametoindex(name)

    def add_veth(self, name: str, master: int, peer: str, netns: int, mac: bytes, mtu: int) -> int:
        """A pair: `name` here, up and on the bridge; `peer` in the namespace of the fd.

        The kernel would give each end a queue for every processor, each an object in sysfs with
        an event of its own; but a veth sends on no queue (NETIF_F_LLTX), so one is as quick.
        """
        queues = attribute(IFLA_NUM_TX_QUEUES, 1) + attribute(IFLA_NUM_RX_QUEUES, 1)
        inner = [
            link(),
            queues,
            attribute(IFLA_IFNAME, peer),
            attribute(IFLA_ADDRESS, mac),
            attribute(IFLA_MTU, mtu),
            attribute(IFLA_NET_NS_FD, netns),
        ]
        data = attribute(_INFO_DATA, [attribute(_VETH_PEER, inner)])
        parts = [
            link(up=True),
            queues,
            attribute(IFLA_IFNAME, name),
            attribute(IFLA_MTU, mtu),
            attribute(IFLA_MASTER, master),
            attribute(IFLA_LINKINFO, [attribute(_INFO_KIND, "veth"), data]),
        ]
        self.ask(_NEWLINK, CREATE | EXCL, b"".join(parts))
        return socket.if_nametoindex(name)

    def let_hairpin(self, index: int) -> None:
        """Let what came in by this bridge port leave by it, too: a box reaching its own
        published port.  Only RTM_SETLINK takes it."""
        options = attribute(NESTED | IFLA_PROTINFO, [attribute(_BRPORT_HAIRPIN, b"\1")])
        self.ask(_SETLINK, 0, link(index, family=_BRIDGE_FAMILY) + options)

    def no_link_local(self, index: int) -> None:
        """Give this interface no address of IPv6 by itself; before it is up."""
        mode = attribute(_INET6_ADDR_GEN_MODE, bytes([_GEN_NONE]))
        spec = attribute(IFLA_AF_SPEC, [attribute(socket.AF_INET6, [mode])])
        self.ask(_SETLINK, 0, link(index) + spec)

    def set_up(self, index: int) -> None:
        """Bring an interface up."""
        self.ask(_NEWLINK, 0, link(index, up=True))

    def delete(self, name: str) -> None:
        """Delete an interface; one that is not there is fine."""
        try:
            self.ask(_DELLINK, 0, link() + attribute(IFLA_IFNAME, name))
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and error.errno != 19:  # ENODEV
                raise

    def add_address(self, index: int, address: Address) -> None:
        """Give an interface an address; of IPv6 without the wait for duplicates (we chose it)."""
        six = address.version == 6
        family = socket.AF_INET6 if six else socket.AF_INET
        flags = _IFA_F_NODAD if six else 0
        head = struct.pack("=BBBBi", family, address.network.prefixlen, flags, _UNIVERSE, index)
        packed = address.ip.packed
        self.ask(
            _NEWADDR,
            CREATE | EXCL,
            head + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed),
        )

    def add_default_route(self, index: int, gateway: str, metric: int = 0) -> None:
        """Everything else goes by this gateway."""
        via = ipaddress.ip_address(gateway)
        family = socket.AF_INET6 if via.version == 6 else socket.AF_INET
        head = struct.pack(
            "=BBBBBBBBI", family, 0, 0, 0, _MAIN_TABLE, _BOOT, _UNIVERSE, _UNICAST, 0
        )
        parts = [head, attribute(RTA_GATEWAY, via.packed), attribute(RTA_OIF, index)]
        if metric:
            parts.append(attribute(RTA_PRIORITY, metric))
        self.ask(_NEWROUTE, CREATE | EXCL, b"".join(parts))


def _link(body: bytes) -> Link:
    index, flags = struct.unpack_from("=iI", body, 4)
    found = dict(attributes(body, 16))
    info = dict(attributes(found.get(IFLA_LINKINFO, b""), 0))
    return Link(
        index,
        found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace"),
        int.from_bytes(found.get(IFLA_MTU, b"\0"), "little"),
        info.get(_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace"),
        int.from_bytes(found.get(IFLA_MASTER, b"\0"), "little"),
        bool(flags & _IFF_UP),
    )


def _address(body: bytes) -> AnyNetwork | None:
    length = body[1]
    found = dict(attributes(body, 8))
    raw = found.get(IFA_ADDRESS) or found.get(IFA_LOCAL)
    return ipaddress.ip_network((raw, length), strict=False) if raw else None


def _route(body: bytes) -> Route | None:
    family, length = body[0], body[1]
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = dict(attributes(body, 12))
    raw = found.get(RTA_DST) or bytes(16 if family == socket.AF_INET6 else 4)
    interface = int.from_bytes(found.get(RTA_OIF, b"\0"), "little")
    return Route(ipaddress.ip_network((raw, length), strict=False), interface)
