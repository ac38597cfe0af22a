"""`boxy prune`: away with the boxes that do not run."""

from __future__ import annotations

import posix
import sys

from boxy_cli.context import Context, note, report, say
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.flags.options import Command, Option
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

ENDED = ("created", "exited", "lost")
"""States in which a box does nothing."""
NAMED = 8
"""Names that the question lists."""


def prune(context: Context, args: Args) -> int:
    """Remove every box that does not run, after a question; print their names."""
    found = context.client.request("GET", "/boxes", query={"all": True, "filter": args["filter"]})
    boxes = [box for box in found if box["status"] in ENDED]
    if not boxes:
        note("every box runs: there is nothing to remove")
        return 0
    if not args["force"] and not _meant(boxes):
        note("nothing was removed")
        return 1
    status = freed = 0
    for box in boxes:
        try:
            context.client.request("DELETE", box_path(box["id"]))
        except BoxyError as error:
            if error.code == "daemon-unreachable":
                raise
            report(error)
            status = 1
        else:
            freed += box.get("disk") or 0
            say(escape(box["name"]))
    note(f"{format_size(freed)} freed")
    return status


def _meant(boxes: list[dict[str, Any]]) -> bool:
    """Ask.  Raises InvalidRequest where nobody can answer."""
    if not posix.isatty(0):
        raise InvalidRequest(
            f"boxy prune would remove {len(boxes)} boxes, and nobody can be asked",
            hint="say boxy prune -f",
        )
    names = ", ".join(escape(box["name"]) for box in boxes[:NAMED])
    more = f" and {len(boxes) - NAMED} more" if len(boxes) > NAMED else ""
    sys.stderr.write(f"Remove {names}{more}, with all that they wrote? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMANDS = {
    "prune": Command(
        "prune",
        prune,
        description="Remove every box that does not run, with all that it wrote, after a question. "
        "Images, volumes and networks stay: boxy rmi, boxy volume prune, boxy network prune.",
        options=(
            Option("-f", "--force", help="do not ask"),
            Option("--filter", metavar="KEY=VALUE", many=True,
                   help="only those with this status, name, image, id or label"),
        ),
        examples=(("boxy prune -f --filter image=alpine", "without a question, alpine's alone"),),
    )
}  # fmt: skip
