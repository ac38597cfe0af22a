"""The way of a packet from the box to the outside, hop by hop.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from boxy_core.explanation import Fact, Section
from boxy_core.models_network import Endpoint, Network, Published
from boxyd.explain.seen import Seen

LEARN = "10-network"
_NONE = "The box has a network of its own with nothing but itself in it."
_HOST = "The box shares the host's network: every address and port of the machine."
_SHARED = "The box shares the network of another box: the same addresses, the same ports."
_BRIDGED = (
    "A packet leaves by the box's interface, which is one end of a virtual cable. The other end "
    "hangs on a bridge of the host, a switch made of software. From there the host routes it on, "
    "in its own name."
)


def network(seen: Seen) -> Section:
    """What the box's network namespace has, and what lies behind it."""
    mode = seen.box.spec.network
    about = _HOST if mode == "host" else _SHARED if mode.startswith("box:") else _BRIDGED
    if not seen.box.networks and about is _BRIDGED:
        about = _NONE
    facts = [
        Fact(
            what="interfaces", value=", ".join(seen.interfaces) or "none",
            note="as its processes see them", by_hand=f"cat /proc/{seen.pid}/net/dev",
        )
    ]  # fmt: skip
    known = {network.name: network for network in seen.networks}
    for endpoint in seen.box.networks:
        if endpoint.interface in seen.interfaces and endpoint.network in known:
            facts += _hops(seen, endpoint, known[endpoint.network])
    facts += [_published(port, seen.networks) for port in seen.box.ports]
    return Section(key="network", title="Network", about=about, learn=LEARN, facts=facts)


def _hops(seen: Seen, endpoint: Endpoint, network: Network) -> Iterable[Fact]:
    """From the box outwards; each hop only if the kernel has it now."""
    inside = f"nsenter -t {seen.pid} -n ip"
    addresses = ", ".join(filter(None, (endpoint.address, endpoint.address6)))
    yield Fact(what=endpoint.interface, value=addresses, note=f"its end of network {network.name}",
               by_hand=f"{inside} address show dev {endpoint.interface}")  # fmt: skip
    host = endpoint.host_interface
    if host not in seen.masters:
        return
    yield Fact(what=f"  ↓ {host}", value="the cable's other end, on the host",
               note="a veth pair: what goes in here comes out there",
               by_hand=f"ip link show dev {host}")  # fmt: skip
    if bridge := seen.masters[host]:
        gateways = ", ".join(filter(None, (network.gateway, network.gateway6)))
        names = f"; names are answered at {network.dns}" if network.dns else ""
        yield Fact(what=f"  ↓ {bridge}", value=f"the bridge, {gateways}",
                   note=f"the box's way out{names}",
                   by_hand=f"ip address show dev {bridge}")  # fmt: skip
    rules = f"nft list table inet {network.table}"
    if network.internal:
        yield Fact(what="  ✕ outside", value="an internal network leads nowhere else",
                   by_hand=rules)  # fmt: skip
        return
    yield Fact(what="  ↓ nftables", value=f"the table inet {network.table}",
               note="gives outgoing packets the host's address, lets in only answers and what is "
               "published", by_hand=rules)  # fmt: skip
    way = seen.way_out
    yield Fact(what=f"  ↓ {way}" if way else "  ✕ outside",
               value="the host's default route" if way else "the host has no default route",
               by_hand="ip route show default")  # fmt: skip


def _published(port: Published, networks: list[Network]) -> Fact:
    table = networks[0].table if networks else ""
    address = f"[{port.address}]" if ":" in port.address else port.address
    target = f"[{port.to}]" if ":" in port.to else port.to
    return Fact(
        what="published", value=f"{address}:{port.host} → {target}:{port.box}/{port.protocol}",
        note="asked for with -p", by_hand=f"nft list table inet {table}" if table else "",
    )  # fmt: skip
