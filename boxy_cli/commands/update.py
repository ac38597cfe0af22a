"""`boxy update`: other limits for boxes, also while they run."""

from __future__ import annotations

from boxy_cli.commands.shared import BOXES, LIMITS, limits
from boxy_cli.context import Context, note
from boxy_cli.options import Command
from boxy_core.client.blocking import box_path
from boxy_core.errors import InvalidRequest
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_cli.options import Args


def update(context: Context, args: Args) -> int:
    """Change what was given, leave the rest."""
    wanted = limits(args.values)
    if not wanted:
        raise InvalidRequest("no limit was given", hint="for example: boxy update -m 512m BOX")

    def one(ref: str) -> None:
        box = context.client.request("POST", box_path(ref, "update"), body=wanted)
        for sentence in (box or {}).get("notices") or ():
            note(escape(sentence))

    return context.for_each(args["box"], one)


COMMANDS = {
    "update": Command(
        "update",
        update,
        description="Change the limits of boxes; of running ones at once.",
        options=LIMITS,
        arguments=(BOXES,),
        examples=(("boxy update --cpus 0.5 web", "slow it down"),),
    )
}
