"""`boxy network ...`: networks of boxes, and who is on them; `boxy port`."""

from __future__ import annotations

import sys

from boxy_cli.context import Context, say, say_json, width
from boxy_core.client.blocking import box_path
from boxy_core.client.http import quote
from boxy_core.errors import InvalidRequest, NotFound
from boxy_core.flags.network import ADDRESSES
from boxy_core.flags.options import Argument, Command, Group, Option
from boxy_core.flags.shared import BOX, JSON, pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def create(context: Context, args: Args) -> int:
    """Make a network."""
    spec: dict[str, Any] = {"name": args["name"], "labels": pairs("--label", args["label"])}
    if len(args["subnet"]) > 2 or len(args["gateway"]) > 2:
        raise InvalidRequest(
            "a network has one subnet of IPv4 and one of IPv6 at most",
            hint="give --subnet once for each",
        )
    for key in ("subnet", "gateway"):
        for text in args[key]:
            spec[key + ("6" if ":" in text else "")] = text
    for key in ("internal", "ipv6", "driver", "mtu"):
        if args[key]:
            spec[key] = args[key]
    made = context.client.request("POST", "/networks", body=spec)
    say(made["name"])
    return 0


def listing(context: Context, args: Args) -> int:
    """List networks."""
    found = context.client.request("GET", "/networks")
    if args["json"]:
        say_json(found)
    elif args["quiet"]:
        for network in found:
            say(network["name"])
    else:
        from boxy_cli.render_network import networks

        sys.stdout.write(networks(found, width=width()))
    return 0


def inspect(context: Context, args: Args) -> int:
    """Print networks as JSON."""
    found: list[Any] = []
    failed = context.for_each(
        args["network"], lambda ref: found.append(context.client.request("GET", _path(ref)))
    )
    say_json(found)
    return failed


def remove(context: Context, args: Args) -> int:
    """Remove networks."""
    return context.for_each(
        args["network"], lambda ref: context.client.request("DELETE", _path(ref))
    )


def prune(context: Context, _args: Args) -> int:
    """Remove networks that nobody is on."""
    for name in context.client.request("POST", "/networks/prune", body={})["removed"]:
        say(name)
    return 0


def connect(context: Context, args: Args) -> int:
    """Connect a box."""
    body: dict[str, Any] = {"box": args["box"], "aliases": args["alias"]}
    for key, flag in (("ip", "ip"), ("ip6", "ip6"), ("mac", "mac_address")):
        if args[flag]:
            body[key] = args[flag]
    context.client.request("POST", _path(args["network"]) + "/connect", body=body)
    return 0


def disconnect(context: Context, args: Args) -> int:
    """Disconnect a box."""
    body = {"box": args["box"]}
    context.client.request("POST", _path(args["network"]) + "/disconnect", body=body)
    return 0


def port(context: Context, args: Args) -> int:
    """Print the published ports of a box, or the host's side of one."""
    box = context.client.request("GET", box_path(args["box"]))
    wanted = args["port"]
    if wanted is None:
        for one in box.get("ports") or []:
            say(f"{one['box']}/{one.get('protocol', 'tcp')} -> {_host_side(one)}")
        return 0
    number, _, protocol = wanted.partition("/")
    found = [
        one for one in box.get("ports") or []
        if str(one["box"]) == number and one.get("protocol", "tcp") == (protocol or "tcp")
    ]  # fmt: skip
    if not found:
        raise NotFound(
            f"box {box['name']} publishes no port {number}/{protocol or 'tcp'}",
            hint=f"publish it: boxy update --publish-add {number} {box['name']}",
        )
    for one in found:
        say(_host_side(one))
    return 0


def _host_side(one: dict[str, Any]) -> str:
    address = one["address"]
    return f"[{address}]:{one['host']}" if ":" in address else f"{address}:{one['host']}"


def _path(ref: str) -> str:
    return f"/networks/{quote(ref, keep_slash=False)}"


_NETWORK = Argument("NETWORK", "name, id, or unique beginning of an id", kind="network")
_NETWORKS = Argument("NETWORK", "name or id", count="+", kind="network")


def _mtu(text: str) -> int:
    if not text.isdecimal():
        raise InvalidRequest(
            f"{text!r} is not a number of bytes", hint="a whole number, as in 1500"
        )
    return int(text)


COMMANDS: dict[str, Command | Group] = {
    "network": Group(
        "network",
        (
            Command(
                "network create",
                create,
                description="Make a network of its own: boxes on it reach each other and find each "
                "other by name; a subnet that collides with nothing on this host is chosen.",
                options=(
                    Option("--subnet", metavar="CIDR", many=True,
                           help="10.77.3.0/24; one of IPv6 may be given beside one of IPv4"),
                    Option("--gateway", metavar="ADDRESS", many=True,
                           help="the host's address in the subnet (its first)"),
                    Option("--internal", help="no way out: boxes on it reach only each other"),
                    Option("--ipv6", help="addresses of IPv6, too"),
                    Option("--mtu", metavar="BYTES", parse=_mtu,
                           help="largest packet (as the host's way out)"),
                    Option("-d", "--driver", metavar="DRIVER", choices=("bridge",), help="bridge"),
                    Option("-l", "--label", metavar="NAME=VALUE", many=True, help="attach a label"),
                ),
                arguments=(Argument("NAME", "what it is called"),),
                examples=(
                    ("boxy network create app", "a network for the parts of an application"),
                    ("boxy network create --internal --subnet 10.9.0.0/24 db", "without a way out"),
                ),
            ),
            Command(
                "network ls",
                listing,
                description="List networks.",
                options=(Option("-q", "--quiet", help="only names"), JSON),
            ),
            Command(
                "network inspect",
                inspect,
                description="Print everything about networks as JSON: subnet, bridge, rules' "
                "table, DNS, the boxes on them.",
                arguments=(_NETWORKS,),
            ),
            Command(
                "network rm",
                remove,
                description="Remove networks that no box is on.",
                arguments=(_NETWORKS,),
            ),
            Command(
                "network connect",
                connect,
                description="Connect a box to one more network; it may be running.",
                options=(
                    Option("--alias", metavar="NAME", many=True,
                           help="a further name that boxes on the network know it by"),
                    *ADDRESSES,
                ),
                arguments=(_NETWORK, BOX),
            ),
            Command(
                "network disconnect",
                disconnect,
                description="Take a box off a network; it may be running.",
                arguments=(_NETWORK, BOX),
            ),
            Command(
                "network prune",
                prune,
                description="Remove every network that no box is on, and print their names.",
            ),
        ),
        description="Networks: boxes on one reach each other by name, and the world by the host.",
    ),
    "port": Command(
        "port",
        port,
        description="Show where the host's ports lead to a box.",
        arguments=(BOX, Argument("PORT", "only this port of the box: 80 or 53/udp", count="?")),
        examples=(("boxy port web 80", "where to reach it: 127.0.0.1:8080"),),
    ),
}  # fmt: skip
