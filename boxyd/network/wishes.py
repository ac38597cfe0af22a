"""What a box's spec says about its network, checked and settled.  Pure.

Constraint: everything here comes from a stranger and may land in files that the box reads.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from boxy_core.errors import InvalidRequest
from boxy_core.models import BoxSpec, Image
from boxy_core.models_network import Endpoint, Port
from boxyd.network import addresses, ports
from boxyd.network.registry import SHARED

_HOST = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?")
_OPTION = re.compile(r"[a-z0-9:-]{1,64}")
GATEWAY_WORD = "host-gateway"
"""an address in --add-host that stands for the host, as Docker's"""


def is_bridged(network: str) -> bool:
    """Whether a box with this `network` is connected to a network of ours."""
    return network not in ("none", "host") and not network.startswith(SHARED)


def check(spec: BoxSpec) -> None:
    """Raises InvalidRequest naming what is wrong, and what cannot go together."""
    ports.check(spec.ports)
    _check_names(spec)
    for alias in spec.network_aliases:
        _check_host("network_aliases", alias)
    if spec.mac_address:
        addresses.parse_mac(spec.mac_address)
    for field, version in (("ip", 4), ("ip6", 6)):
        text = getattr(spec, field)
        if text and _check_ip(field, text).version != version:
            raise InvalidRequest(f"{field} cannot be {text}", hint=f"an address of IPv{version}")
    if spec.network and not is_bridged(spec.network):
        _check_fits(spec)


def _check_names(spec: BoxSpec) -> None:
    for server in spec.dns:
        _check_ip("dns", server)
    for domain in spec.dns_search:
        _check_host("dns_search", domain)
    for option in spec.dns_options:
        if not _OPTION.fullmatch(option):
            raise InvalidRequest(f"dns_options cannot be {option[:60]!r}", hint="as in ndots:2")
    for name, address in spec.add_hosts.items():
        _check_host("add_hosts", name)
        if address != GATEWAY_WORD:
            _check_ip("add_hosts", address)


def _check_fits(spec: BoxSpec) -> None:
    """What only a box on a network can have."""
    fields = {"network_aliases": "--network-alias", "ip": "--ip", "ip6": "--ip6",
              "mac_address": "--mac-address", "ports": "-p", "publish_all": "-P"}  # fmt: skip
    for field, flag in fields.items():
        if getattr(spec, field):
            if field in ("ports", "publish_all") and spec.network == "host":
                continue  # as Docker: the box's ports are the host's, and a notice says so
            where = f"--network {spec.network}"
            hint = "take --network bridge, or one of your own"
            if spec.network.startswith(SHARED):
                hint = f"give it to {spec.network.removeprefix(SHARED)}, whose network it is"
            raise InvalidRequest(f"{flag} does not go with {where}", hint=hint)


def endpoint(spec: BoxSpec) -> Endpoint:
    """The connection that the spec asks for."""
    return Endpoint(
        network=spec.network,
        aliases=list(spec.network_aliases),
        ip=spec.ip,
        ip6=spec.ip6,
        mac=spec.mac_address,
    )


def wanted_ports(spec: BoxSpec, image: Image | None) -> list[Port]:
    """The ports to publish: those asked for, and with `-P` those that the image names."""
    wanted = list(spec.ports)
    if spec.publish_all and image is not None:
        there = {(port.box, port.protocol) for port in wanted}
        for text in image.ports:
            wanted += [port for port in _named(text) if (port.box, port.protocol) not in there]
    return wanted


def _named(text: str) -> list[Port]:
    """What an image means by "80", "53/udp" or "8000-8010/tcp"; others are passed over."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    if (
        protocol not in ("", "tcp", "udp")
        or not first.isdecimal()
        or not (last or first).isdecimal()
    ):
        return []
    low, high = int(first[:6]), int((last if dash else first)[:6])
    if not 1 <= low <= high <= min(65535, low + 1023):
        return []
    return [Port(box=number, protocol=protocol or "tcp") for number in range(low, high + 1)]


def check_alias(text: str) -> None:
    """Raises InvalidRequest for what is no name in DNS."""
    _check_host("alias", text)


def with_network(spec: BoxSpec, name: str) -> BoxSpec:
    """The spec with its network settled."""
    return msgspec.structs.replace(spec, network=name)


def _check_host(field: str, text: str) -> None:
    if not _HOST.fullmatch(text):
        raise InvalidRequest(f"{field} cannot be {text[:60]!r}", hint="it is a name as in DNS")


def _check_ip(field: str, text: str) -> addresses.AnyAddress:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(f"{field} cannot be {text[:60]!r}", hint="an IP address") from None
