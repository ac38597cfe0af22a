"""`boxy logs`: what a box printed, from the shim's log.

On a terminal a box's bytes are made harmless: lines and colours stay, what would move the cursor
or retitle the window is shown escaped.  In a pipeline, and with --raw, they come as they were.
"""

from __future__ import annotations

import posix
import sys

from boxy_cli.context import Context, is_terminal
from boxy_core.client.blocking import box_path
from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import BOX
from boxy_core.protocol import STDERR, STDOUT
from boxy_core.text import LineFilter
from boxy_core.units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args


def _tail(text: str) -> int | None:
    if text == "all":
        return None
    if text.isdecimal():
        return int(text)
    raise InvalidRequest(f"{text!r} is not a number of lines", hint="write a number, or all")


def logs(context: Context, args: Args) -> int:
    """Print the log, and with -f what is added to it until the box ends."""
    query = {
        "follow": args["follow"] or None,
        "tail": args["tail"],
        "since": args["since"],
        "until": args["until"],
        "timestamps": args["timestamps"] or None,
    }
    frames = context.client.frames("GET", box_path(args["box"], "logs"), query=query)
    sys.stdout.flush()
    filters = {fd: LineFilter() for fd in (STDOUT, STDERR) if is_terminal(fd) and not args["raw"]}
    try:
        for kind, payload in frames:
            fd = STDERR if kind == STDERR else STDOUT
            _write(fd, filters[fd].feed(payload) if fd in filters else payload)
    finally:
        for fd, held in filters.items():
            _write(fd, held.end())
    return 0


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[posix.write(fd, view) :]


_WHEN = "how long ago (10m, 3 hours ago) or a date (2026-11-23T18:00:00Z)"
COMMANDS = {
    "logs": Command(
        "logs",
        logs,
        description="Show what a box's main command printed, its two outputs apart. Works for "
        "boxes that have ended, too.",
        options=(
            Option("-f", "--follow", help="go on with what comes, until the box ends"),
            Option("-n", "--tail", metavar="LINES", parse=_tail, help="only the last lines"),
            Option("--since", metavar="TIME", parse=parse_time, help=f"only since then: {_WHEN}"),
            Option("--until", metavar="TIME", parse=parse_time, help="only until then"),
            Option("-t", "--timestamps", help="begin each line with its time"),
            Option("--raw", help="do not escape control characters on a terminal"),
        ),
        arguments=(BOX,),
        examples=(("boxy logs -f --tail 20 web", "what it says now"),),
    )
}
