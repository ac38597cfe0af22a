"""Links, addresses and routes by the kernel's own protocol: rtnetlink(7).

Constraint: a message is a few packed structs, so this is the whole of what a box needs, at a
tenth of a millisecond a call.  Messages are built by pure functions; `Netlink` alone has a
socket, and belongs to the network namespace that it was made in.  It blocks: use it from the
network's thread.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

_NETLINK_ROUTE = 0
_SOL_NETLINK, _EXT_ACK, _GET_STRICT = 270, 11, 12
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_NEWLINK, _DELLINK, _GETLINK, _SETLINK = 16, 17, 18, 19
_NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 20, 22, 24, 26
_ERROR, _DONE = 2, 3
_IFF_UP = 1
_BRIDGE_FAMILY = 7
_IFA_F_NODAD = 0x02
_NESTED = 0x8000
_MAIN_TABLE, _BOOT, _UNIVERSE, _UNICAST = 254, 3, 0, 1

# if_link.h, if_addr.h, rtnetlink.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 10, 12
IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 18, 26, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_BRPORT_HAIRPIN = 4
_INET6_ADDR_GEN_MODE, _GEN_NONE = 8, 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6

Address = ipaddress.IPv4Interface | ipaddress.IPv6Interface
AnyNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def attribute(kind: int, value: bytes | str | int | list[bytes]) -> bytes:
    """One attribute: length, type, value, padded to four bytes (netlink(7))."""
    if isinstance(value, str):
        data = value.encode() + b"\0"
    elif isinstance(value, int):
        data = struct.pack("=I", value)
    else:
        data = value if isinstance(value, bytes) else b"".join(value)
    return struct.pack("=HH", len(data) + 4, kind) + data + b"\0" * (-len(data) % 4)


def attributes(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """The attributes behind a message's fixed part; what is cut short ends it."""
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        if length < 4 or start + length > len(data):
            return
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += (length + 3) & ~3


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


class Netlink:
    """One rtnetlink socket.  Methods raise OSError with the kernel's own words."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_ROUTE)
        self._sock.bind((0, 0))
        for option in (_EXT_ACK, _GET_STRICT):
            try:
                self._sock.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:  # Linux before 4.20
                continue
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ what there is

    def links(self) -> list[Link]:
        """Every interface."""
        return [_link(body) for _, body in self._ask(_GETLINK, _DUMP, link())]

    def addresses(self) -> list[AnyNetwork]:
        """The network of each address that the host has."""
        found = self._ask(_GETADDR, _DUMP, struct.pack("=BBBBi", 0, 0, 0, 0, 0))
        return [network for _, body in found if (network := _address(body)) is not None]

    def routes(self) -> list[Route]:
        """The routes of every table that lead somewhere by an interface."""
        header = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)
        found = self._ask(_GETROUTE, _DUMP, header)
        return [route for _, body in found if (route := _route(body)) is not None]

    # ------------------------------------------------------------------ what is changed

    def add_bridge(self, name: str, mtu: int) -> int:
        """A bridge, not up yet; its index.  FileExistsError if the name is taken."""
        info = attribute(IFLA_LINKINFO, [attribute(_INFO_KIND, "bridge")])
        parts = [link(), attribute(IFLA_IFNAME, name), attribute(IFLA_MTU, mtu), info]
        self._ask(_NEWLINK, _CREATE | _EXCL, b"".join(parts))
        return socket.if_nametoindex(name)

    def add_veth(self, name: str, master: int, peer: str, netns: int, mac: bytes, mtu: int) -> int:
        """A pair: `name` here, up and on the bridge; `peer` in the namespace of the fd."""
        inner = [
            link(),
            attribute(IFLA_IFNAME, peer),
            attribute(IFLA_ADDRESS, mac),
            attribute(IFLA_MTU, mtu),
            attribute(IFLA_NET_NS_FD, netns),
        ]
        data = attribute(_INFO_DATA, [attribute(_VETH_PEER, inner)])
        parts = [
            link(up=True),
            attribute(IFLA_IFNAME, name),
            attribute(IFLA_MTU, mtu),
            attribute(IFLA_MASTER, master),
            attribute(IFLA_LINKINFO, [attribute(_INFO_KIND, "veth"), data]),
        ]
        self._ask(_NEWLINK, _CREATE | _EXCL, b"".join(parts))
        return socket.if_nametoindex(name)

    def let_hairpin(self, index: int) -> None:
        """Let what came in by this bridge port leave by it, too: a box reaching its own
        published port.  Only RTM_SETLINK takes it."""
        options = attribute(_NESTED | IFLA_PROTINFO, [attribute(_BRPORT_HAIRPIN, b"\1")])
        self._ask(_SETLINK, 0, link(index, family=_BRIDGE_FAMILY) + options)

    def no_link_local(self, index: int) -> None:
        """Give this interface no address of IPv6 by itself; before it is up."""
        mode = attribute(_INET6_ADDR_GEN_MODE, bytes([_GEN_NONE]))
        spec = attribute(IFLA_AF_SPEC, [attribute(socket.AF_INET6, [mode])])
        self._ask(_SETLINK, 0, link(index) + spec)

    def set_up(self, index: int) -> None:
        """Bring an interface up."""
        self._ask(_NEWLINK, 0, link(index, up=True))

    def delete(self, name: str) -> None:
        """Delete an interface; one that is not there is fine."""
        try:
            self._ask(_DELLINK, 0, link() + attribute(IFLA_IFNAME, name))
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
        self._ask(
            _NEWADDR,
            _CREATE | _EXCL,
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
        self._ask(_NEWROUTE, _CREATE | _EXCL, b"".join(parts))

    # ------------------------------------------------------------------ the socket

    def _ask(self, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        self._sequence += 1
        flags |= _REQUEST | (0 if flags & _DUMP == _DUMP else _ACK)
        head = struct.pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0)
        self._sock.send(head + body)
        found: list[tuple[int, bytes]] = []
        while True:
            data, at = self._sock.recv(1 << 17), 0
            while at + 16 <= len(data):
                length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                body = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    _check(body)
                    return found
                found.append((kind, body))


def _check(body: bytes) -> None:
    """Raises OSError for the error that an acknowledgement tells, in the kernel's own words."""
    number = -struct.unpack_from("=i", body)[0]
    if not number:
        return
    words = os.strerror(number)
    original = struct.unpack_from("=I", body, 4)[0]
    for start in (20, 4 + original):  # NLM_F_CAPPED leaves out what was asked
        said = dict(attributes(body, start)).get(1) if start < len(body) else None
        if said:
            words += ": " + said.rstrip(b"\0").decode(errors="replace")
            break
    raise OSError(number, words)


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
