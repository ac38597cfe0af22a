"""`boxy explain` and `boxy trace`: Boxy as a glass box."""

from __future__ import annotations

import sys

from boxy_cli.context import Context, is_terminal, say_json, width
from boxy_core import glass
from boxy_core.client.blocking import box_path
from boxy_core.errors import NotFound
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import BOX, JSON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def explain(context: Context, args: Args) -> int:
    """Print the sections of what a box is made of."""
    found = context.client.request("GET", box_path(args["box"], "explain"))
    if args["section"]:
        found["sections"] = _chosen(found["sections"], args["section"])
    if args["json"]:
        say_json(found)
        return 0
    colour = is_terminal(1)
    sys.stdout.write(glass.explanation(found, width=width(), colour=colour))
    return 0


def _chosen(sections: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    there = [section["key"] for section in sections]
    for key in wanted:
        if key not in there:
            raise NotFound(f"there is no section {key!r}", hint=f"there are {', '.join(there)}")
    return [section for section in sections if section["key"] in wanted]


def trace(context: Context, args: Args) -> int:
    """Print what was done for a box."""
    found = context.client.request("GET", box_path(args["box"], "trace"))
    if args["json"]:
        say_json(found)
    else:
        sys.stdout.write(glass.trace(found, width=width() or 100, colour=is_terminal(1)))
    return 0


COMMANDS = {
    "explain": Command(
        "explain",
        explain,
        description="Show what a box is made of at this moment: processes, namespaces, users, "
        "layers, mounts, cgroup, powers, network. Each fact comes with the command that shows it "
        "by hand, each section with the step of the tutorial that builds it.",
        options=(
            Option("-s", "--section", metavar="NAME", many=True,
                   help="only this section: box, processes, namespaces, users, layers, mounts, "
                   "cgroup, powers, network"),
            JSON,
        ),
        arguments=(BOX,),
        examples=(("boxy explain -s namespaces web", "which parts of the machine are its own"),),
    ),
    "trace": Command(
        "trace",
        trace,
        description="Show what the daemon and the runtime did for a box, when, for whom, and how "
        "long it took, with the parts of its last start.",
        options=(JSON,),
        arguments=(BOX,),
    ),
}  # fmt: skip
