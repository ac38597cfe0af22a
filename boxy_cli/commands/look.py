"""`boxy top` and `boxy images`: one request, one table."""

from __future__ import annotations

import sys
import time

from boxy_cli import render
from boxy_cli.context import Context, say, say_json, width
from boxy_core.client.blocking import box_path
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.flags.shared import BOX, JSON
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args


def top(context: Context, args: Args) -> int:
    """Print the processes of a box."""
    found = context.client.request("GET", box_path(args["box"], "top"))
    if args["json"]:
        say_json(found)
    else:
        sys.stdout.write(render.processes(found, width=width()))
    return 0


def images(context: Context, args: Args) -> int:
    """Print the images, or free what none of them has."""
    if args["action"] == "prune":
        from boxy_cli.commands.images import prune

        return prune(context, everything=args["all"])
    found = context.client.request("GET", "/images")
    if args["json"]:
        say_json(found)
    elif args["quiet"]:
        for image in found:
            say(escape(image["name"]))
    else:
        sys.stdout.write(render.images(found, time.time(), width=width()))
    return 0


COMMANDS = {
    "top": Command(
        "top",
        top,
        description="Show the processes of a running box: pids as this machine sees them, users "
        "as the box sees them.",
        options=(JSON,),
        arguments=(BOX,),
    ),
    "images": Command(
        "images",
        images,
        description="List the images: those in the registry folders, and those that were pulled, "
        "loaded or tagged. An image is unpacked at its first use and shared by all boxes from "
        "then on. `boxy images prune` frees the layers that no image and no box has.",
        options=(
            Option("-q", "--quiet", help="only names"),
            Option("-a", "--all", help="with prune: also images that no box uses"),
            JSON,
        ),
        arguments=(Argument("ACTION", "prune: free room", count="?", choices=("prune",)),),
    ),
}
