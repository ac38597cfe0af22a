"""`boxy update`: other limits for boxes, also while they run."""

from __future__ import annotations

from boxy_cli.context import Context, note
from boxy_core.client.blocking import box_path
from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import BOXES, LIMITS, limits
from boxy_core.portwords import closing, ports
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args


def update(context: Context, args: Args) -> int:
    """Change what was given, leave the rest."""
    wanted = limits(args.values)
    opened = [port for text in args["publish_add"] for port in ports(text, "--publish-add")]
    closed = [closing(text) for text in args["publish_rm"]]
    if not (wanted or opened or closed):
        raise InvalidRequest(
            "no limit was given, and no port", hint="for example: boxy update -m 512m BOX"
        )

    def one(ref: str) -> None:
        box = None
        if wanted:
            box = context.client.request("POST", box_path(ref, "update"), body=wanted)
        if opened or closed:
            change = {"add": opened, "remove": closed}
            box = context.client.request("POST", box_path(ref, "ports"), body=change)
        for sentence in (box or {}).get("notices") or ():
            note(escape(sentence))

    return context.for_each(args["box"], one)


COMMANDS = {
    "update": Command(
        "update",
        update,
        description="Change the limits and the published ports of boxes; of running ones at once.",
        options=(
            *LIMITS,
            Option("--publish-add", metavar="[IP:]HOST:BOX[/udp]", many=True,
                   help="publish a port, as -p of boxy run does"),
            Option("--publish-rm", metavar="HOST[/udp]", many=True,
                   help="publish the host's port HOST no more"),
        ),
        arguments=(BOXES,),
        examples=(
            ("boxy update --cpus 0.5 web", "slow it down"),
            ("boxy update --publish-add 8080:80 web", "reach it at 127.0.0.1:8080 from now on"),
        ),
    )
}  # fmt: skip
