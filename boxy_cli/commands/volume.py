"""`boxy volume create|ls|inspect|rm|prune`: folders that outlive boxes."""

from __future__ import annotations

import sys
import time

from boxy_cli.context import Context, note, report, say, say_json, width
from boxy_core.client.http import quote
from boxy_core.errors import BoxyError
from boxy_core.flags.options import Argument, Command, Group, Option
from boxy_core.flags.shared import JSON, pairs
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args

VOLUMES = Argument("VOLUME", "name of a volume", count="+", kind="volume")
_QUIET = Option("-q", "--quiet", help="names alone")
_LABEL = Option("--label", metavar="NAME[=VALUE]", many=True, help="only those with this label")


def volume_path(name: str) -> str:
    """The API path of a volume."""
    return f"/volumes/{quote(name, keep_slash=False)}"


def create(context: Context, args: Args) -> int:
    """Make a volume; print its name."""
    wanted = {"name": args["name"] or "", "labels": pairs("--label", args["label"])}
    say(context.client.request("POST", "/volumes", body=wanted)["name"])
    return 0


def ls(context: Context, args: Args) -> int:
    """Print the volumes."""
    query = {"label": args["label"], "size": None if args["quiet"] else True}
    found = context.client.request("GET", "/volumes", query=query, timeout=None)
    if args["json"]:
        say_json(found)
    elif args["quiet"]:
        for volume in found:
            say(volume["name"])
    else:
        from boxy_cli.render_files import volumes

        sys.stdout.write(volumes(found, time.time(), width=width()))
    return 0


def inspect(context: Context, args: Args) -> int:
    """Print all about volumes, as JSON."""
    say_json([context.client.request("GET", volume_path(name)) for name in args["volume"]])
    return 0


def rm(context: Context, args: Args) -> int:
    """Remove volumes; print the name of each."""
    query = {"force": True} if args["force"] else None
    status = 0
    for name in args["volume"]:
        try:
            context.client.request("DELETE", volume_path(name), query=query, timeout=None)
        except BoxyError as error:
            if error.code == "daemon-unreachable":
                raise
            report(error)
            status = 1
        else:
            say(escape(name))
    return status


def prune(context: Context, args: Args) -> int:
    """Remove the volumes that no box has."""
    query = {"all": args["all"] or None, "label": args["label"]}
    told = context.client.request("POST", "/volumes/prune", query=query, body={}, timeout=None)
    for name in told["removed"]:
        say(name)
    note(f"{format_size(told['freed'])} freed")
    return 0


COMMANDS = {
    "volume": Group(
        "volume",
        (
            Command(
                "volume create",
                create,
                description="Make a volume: a folder of Boxy's that outlives boxes. "
                "`boxy run -v NAME:/data` makes one that is not there by itself.",
                options=(
                    Option("-l", "--label", metavar="NAME=VALUE", many=True, help="attach a label"),
                ),
                arguments=(Argument("NAME", "its name; without one it is anonymous", count="?"),),
                examples=(("boxy volume create db", "then: boxy run -v db:/var/lib/db ..."),),
            ),
            Command(
                "volume ls",
                ls,
                description="List the volumes, the room they take, and the boxes that have them.",
                options=(_QUIET, JSON, _LABEL),
            ),
            Command(
                "volume inspect",
                inspect,
                description="Show all about volumes as JSON.",
                arguments=(VOLUMES,),
            ),
            Command(
                "volume rm",
                rm,
                description="Remove volumes with all their files. One that a box has stays.",
                options=(Option("-f", "--force", help="one that is not there is no error"),),
                arguments=(VOLUMES,),
            ),
            Command(
                "volume prune",
                prune,
                description="Remove the anonymous volumes that no box has.",
                options=(Option("-a", "--all", help="those with names, too"), _LABEL),
            ),
        ),
        description="Volumes: folders that outlive boxes.",
    )
}
