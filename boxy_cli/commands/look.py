"""`boxy top` and `boxy images`: one request, one table."""

from __future__ import annotations

import sys
import time

from boxy_cli import render
from boxy_cli.commands.shared import BOX, JSON
from boxy_cli.context import Context, say, say_json, width
from boxy_cli.options import Command, Option
from boxy_core.client.blocking import box_path
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_cli.options import Args


def top(context: Context, args: Args) -> int:
    """Print the processes of a box."""
    found = context.client.request("GET", box_path(args["box"], "top"))
    if args["json"]:
        say_json(found)
    else:
        sys.stdout.write(render.processes(found, width=width()))
    return 0


def images(context: Context, args: Args) -> int:
    """Print the images."""
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
        description="List the images in the registry folders. An image is unpacked at its first "
        "use and shared by all boxes from then on.",
        options=(Option("-q", "--quiet", help="only names"), JSON),
    ),
}
