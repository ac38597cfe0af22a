"""Networks and published ports as one nftables table.  Pure.

One table of ours for each daemon, written whole: nftables replaces it in one transaction, so
there is no moment with half of it.  In the order in which a packet meets the chains:

    raw          what must never come in: loopback addresses from a wire, boxes' addresses from
                 anywhere but their own bridge, addresses that are not the sender's own
    prerouting   published ports of packets that arrive   output  and of the host's own
    guard        where forwarding was off before us: what has nothing to do with boxes
    forward      on a network: everything; into it: only answers and published ports; out of it:
                 everything, unless it is internal
    input        what an internal network may ask of the host: DNS and ping
    postrouting  masquerading: of what leaves, of the host's loopback, of a box's way to itself

Sources: nft(8); netfilter's hook priorities; ip-sysctl, route_localnet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from boxy_core.models_network import Published

_ANY = ("0.0.0.0", "::")


class Net(NamedTuple):
    """A network that is up, as far as rules go."""

    bridge: str
    subnet: str
    subnet6: str = ""
    internal: bool = False


class Wanted(NamedTuple):
    """Everything that the table is made of."""

    networks: tuple[Net, ...]
    ports: tuple[Published, ...]
    guard: bool = False
    """forwarding was off before us: what has nothing to do with boxes is not forwarded (boxes
    of another daemon are boxes: its own rules are about them)"""


def table(name: str, wanted: Wanted) -> str:
    """The commands that put exactly this in force, or take the table away when it is empty."""
    gone = f"add table inet {name}\ndelete table inet {name}\n"
    if not wanted.networks:
        return gone
    blocks = [
        *_maps(wanted.ports),
        _chain("raw", "type filter hook prerouting priority raw; policy accept;", _raw(wanted)),
        _chain("prerouting", "type nat hook prerouting priority dstnat; policy accept;", _DNAT),
        _chain("output", "type nat hook output priority -100; policy accept;", _DNAT),
        _chain("input", "type filter hook input priority filter; policy accept;", _input(wanted)),
        *([_GUARD] if wanted.guard else []),
        _chain(
            "forward", "type filter hook forward priority filter; policy accept;", _forward(wanted)
        ),
        _chain(
            "postrouting", "type nat hook postrouting priority srcnat; policy accept;",
            _postrouting(wanted),
        ),
    ]  # fmt: skip
    return f"{gone}table inet {name} {{\n" + "\n".join(blocks) + "\n}\n"


def remove(name: str) -> str:
    """The commands after which there is no such table, whether there was one or not."""
    return f"add table inet {name}\ndelete table inet {name}\n"


def _chain(name: str, head: str, lines: Iterable[str]) -> str:
    body = "\n".join(f"\t\t{line}" for line in (head, *lines))
    return f"\tchain {name} {{\n{body}\n\t}}"


_GUARD = _chain(
    "guard", "type filter hook forward priority filter - 1; policy accept;",
    ['iifname != "bx*" oifname != "bx*" drop'],
)  # fmt: skip


_KINDS = [
    (protocol, version, wide)
    for protocol in ("tcp", "udp")
    for version in (4, 6)
    for wide in (False, True)
]


def _map_name(protocol: str, version: int, wide: bool) -> str:
    return f"{protocol}{version}{'_any' if wide else ''}"


def _maps(ports: Iterable[Published]) -> list[str]:
    """Host address and port to box address and port; `_any` for all of the host's addresses."""
    elements: dict[str, list[str]] = {_map_name(*kind): [] for kind in _KINDS}
    for port in ports:
        wide, version = port.address in _ANY, 6 if ":" in port.address else 4
        key = f"{port.host}" if wide else f"{port.address} . {port.host}"
        name = _map_name(port.protocol, version, wide)
        elements[name].append(f"{key} : {port.to} . {port.box}")
    return [_map(*kind, elements[_map_name(*kind)]) for kind in _KINDS]


def _map(protocol: str, version: int, wide: bool, elements: list[str]) -> str:
    address = "ipv4_addr" if version == 4 else "ipv6_addr"
    key = "inet_service" if wide else f"{address} . inet_service"
    lines = [f"\t\ttype {key} : {address} . inet_service"]
    if elements:
        lines.append(f"\t\telements = {{ {', '.join(sorted(elements))} }}")
    return f"\tmap {_map_name(protocol, version, wide)} {{\n" + "\n".join(lines) + "\n\t}"


def _dnat() -> Iterable[str]:
    for protocol, version, wide in _KINDS:
        family = "ip" if version == 4 else "ip6"
        key = f"{protocol} dport" if wide else f"{family} daddr . {protocol} dport"
        lookup = f"{key} map @{_map_name(protocol, version, wide)}"
        # The kernel sends nothing from ::1 to a box: so that is refused at once, by who holds it.
        where = "ip6 daddr != ::1 " if version == 6 else ""
        yield f"meta nfproto ipv{version} {where}fib daddr type local dnat {family} to {lookup}"


_DNAT = tuple(_dnat())


def _names(names: Iterable[str]) -> str:
    """A set of interfaces, as nft writes it."""
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def _raw(wanted: Wanted) -> Iterable[str]:
    yield 'iifname != "lo" ip daddr 127.0.0.0/8 drop'
    for net in wanted.networks:
        own, local = f'iifname "{net.bridge}"', f"iifname != {_names(('lo', net.bridge))}"
        yield f"{own} meta nfproto ipv4 ip saddr != {net.subnet} drop"
        yield f"{local} ip daddr {net.subnet} drop"
        if net.subnet6:
            yield f"{own} ip6 saddr != {{ {net.subnet6}, fe80::/10, :: }} drop"
            yield f"{local} ip6 daddr {net.subnet6} drop"


def _input(wanted: Wanted) -> Iterable[str]:
    for net in wanted.networks:
        if net.internal:
            own = f'iifname "{net.bridge}"'
            yield f"{own} ct state established,related accept"
            yield f"{own} meta l4proto {{ tcp, udp }} th dport 53 accept"
            yield f"{own} meta l4proto {{ icmp, ipv6-icmp }} accept"
            yield f"{own} drop"


def _forward(wanted: Wanted) -> Iterable[str]:
    bridges = _names(net.bridge for net in wanted.networks)
    inner = [net.bridge for net in wanted.networks if net.internal]
    yield "ct state established,related accept"
    for net in wanted.networks:
        yield f'iifname "{net.bridge}" oifname "{net.bridge}" accept'
    if inner:
        yield f"iifname {_names(inner)} drop"
        yield f"oifname {_names(inner)} drop"
    yield f"oifname {bridges} ct status dnat accept"
    yield f"oifname {bridges} drop"


def _postrouting(wanted: Wanted) -> Iterable[str]:
    for net in wanted.networks:
        out, own = f'oifname != "{net.bridge}"', f'oifname "{net.bridge}"'
        yield f"ip saddr 127.0.0.0/8 {own} masquerade"
        yield f"ip saddr {net.subnet} {own} ct status dnat masquerade"
        if not net.internal:
            yield f"ip saddr {net.subnet} {out} masquerade"
        if net.subnet6:
            yield f"ip6 saddr {net.subnet6} {own} ct status dnat masquerade"
            if not net.internal:
                yield f"ip6 saddr {net.subnet6} {out} masquerade"
