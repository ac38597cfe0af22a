"""Flags about networks and ports, and the small parsers behind them."""

from __future__ import annotations

from boxy_cli.options import Option
from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PORT_HINT = "write it like 8080:80, 0.0.0.0:8080:80, 53:53/udp or 8000-8010:8000-8010"
MOST_PORTS = 1024
"""ports of one flag"""

ADDRESSES = (
    Option("--ip", metavar="ADDRESS", help="its address of IPv4 on the network"),
    Option("--ip6", metavar="ADDRESS", help="its address of IPv6", aliases=("--ip-6",)),
    Option("--mac-address", metavar="MAC", help="of its interface: 02:42:0a:4d:00:05"),
)
NETWORK = (
    Option("--network", metavar="NETWORK", kind="network", aliases=("--net",),
           help="a network's name; none: loopback only; host: the host's own; box:NAME: that "
           "of another box"),
    Option("--network-alias", metavar="NAME", many=True, aliases=("--net-alias",),
           help="a further name that boxes on the network know it by"),
    Option("-p", "--publish", metavar="[IP:]HOST:BOX[/udp]", many=True,
           help="have the host's port HOST lead to the box's port BOX; on 127.0.0.1 unless an "
           "IP is given; BOX alone takes any free port of the host"),
    Option("-P", "--publish-all", help="publish the ports that the image names, at free ones"),
    Option("--expose", metavar="PORT", many=True, help="accepted for Docker's sake: boxes on a "
           "network reach every port"),
    *ADDRESSES,
    Option("--dns", metavar="IP", many=True, help="resolver to ask instead of the host's"),
    Option("--dns-search", metavar="DOMAIN", many=True, help="domain to complete names with"),
    Option("--dns-option", metavar="OPTION", many=True, aliases=("--dns-opt",),
           help="as in resolv.conf: ndots:2"),
    Option("--add-host", metavar="NAME:IP", many=True,
           help="a line of /etc/hosts; the IP host-gateway is the host's"),
)  # fmt: skip


def network_spec(args: dict[str, Any]) -> dict[str, Any]:
    """The fields of BoxSpec that these flags give."""
    network = args["network"]
    if network and network.startswith("container:"):
        network = "box:" + network.removeprefix("container:")
    return {
        "network": network,
        "network_aliases": args["network_alias"],
        "ports": [port for text in args["publish"] for port in ports(text)],
        "publish_all": args["publish_all"],
        "ip": args["ip"],
        "ip6": args["ip6"],
        "mac_address": args["mac_address"],
        "dns": args["dns"],
        "dns_search": args["dns_search"],
        "dns_options": args["dns_option"],
        "add_hosts": dict(_host(text) for text in args["add_host"]),
    }


def ports(text: str, flag: str = "--publish") -> list[dict[str, object]]:
    """The models Port of `[IP:][HOST:]BOX[/PROTOCOL]`, ranges as FIRST-LAST.

    Raises InvalidRequest.
    """
    rest, _, protocol = text.partition("/")
    address, rest = _split_address(rest)
    host, colon, box = rest.rpartition(":")
    if protocol not in ("", "tcp", "udp") or (address and not colon and not box):
        raise _wrong(flag, text)
    inner = _range(flag, text, box)
    outer = _range(flag, text, host) if host else [0] * len(inner)
    if len(outer) != len(inner):
        if len(inner) > 1:
            raise InvalidRequest(
                f"{flag}: {text!r} has {len(outer)} ports of the host for {len(inner)} of the box",
                hint="give as many of each",
            )
        outer = outer[:1]
    common: dict[str, object] = {}
    if address:
        common["address"] = address
    if protocol:
        common["protocol"] = protocol
    return [
        {"box": inside, **({"host": outside} if outside else {}), **common}
        for outside, inside in zip(outer, inner, strict=True)
    ]


def closing(text: str) -> dict[str, object]:
    """The port that `--publish-rm` means: `[IP:]HOST[:BOX][/PROTOCOL]`."""
    rest, _, protocol = text.partition("/")
    address, rest = _split_address(rest)
    host, colon, box = rest.partition(":")
    if protocol not in ("", "tcp", "udp"):
        raise _wrong("--publish-rm", text)
    found: dict[str, object] = {
        "host": _number("--publish-rm", text, host),
        "box": _number("--publish-rm", text, box) if colon else 0,
    }
    if address:
        found["address"] = address
    if protocol:
        found["protocol"] = protocol
    return found


def _split_address(text: str) -> tuple[str, str]:
    """("127.0.0.1", "8080:80") of "127.0.0.1:8080:80"; an address of IPv6 stands in []."""
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]:")
        return (address, rest) if closed else ("", text)
    first, colon, rest = text.partition(":")
    if colon and ("." in first or first == "localhost"):
        return ("127.0.0.1" if first == "localhost" else first), rest
    if text.count(":") >= 2 and not first:  # "::80" of Docker's: any port, no address
        return "", rest
    return "", text


def _range(flag: str, text: str, part: str) -> list[int]:
    first, dash, last = part.partition("-")
    low = _number(flag, text, first)
    high = _number(flag, text, last) if dash else low
    if not low <= high < low + MOST_PORTS:
        raise InvalidRequest(
            f"{flag}: {part!r} is not a range of ports", hint=f"at most {MOST_PORTS}, upwards"
        )
    return list(range(low, high + 1))


def _number(flag: str, text: str, part: str) -> int:
    if not (part.isascii() and part.isdecimal() and 0 < int(part[:6]) < 65536):
        raise _wrong(flag, text)
    return int(part)


def _wrong(flag: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{flag}: {text!r} is not a port", hint=_PORT_HINT)


def _host(text: str) -> tuple[str, str]:
    for separator in ("=", ":"):
        name, found, address = text.partition(separator)
        if found and name and address:
            return name, address.strip("[]")
    raise InvalidRequest(
        f"--add-host: {text!r} is not NAME:IP", hint="write it like db:10.0.0.5 or me:host-gateway"
    )
