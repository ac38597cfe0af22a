"""Flags about networks and ports, and the small parsers behind them."""

from __future__ import annotations

from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Option
from boxy_core.portwords import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ADDRESSES = (
    Option("--ip", metavar="ADDRESS", help="its address of IPv4 on the network"),
    Option("--ip6", metavar="ADDRESS", help="its address of IPv6", aliases=("--ip-6",)),
    Option("--mac-address", metavar="MAC", help="of its interface: 02:42:0a:4d:00:05"),
)
NETWORK = (
    Option("--network", metavar="NETWORK", kind="network", aliases=("--net",),
           help="a network's name (bridge, unless the daemon says otherwise); none: loopback "
           "only; host: the host's own; box:NAME: that of another box"),
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


def _host(text: str) -> tuple[str, str]:
    for separator in ("=", ":"):
        name, found, address = text.partition(separator)
        if found and name and address:
            return name, address.strip("[]")
    raise InvalidRequest(
        f"--add-host: {text!r} is not NAME:IP", hint="write it like db:10.0.0.5 or me:host-gateway"
    )
