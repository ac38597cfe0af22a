"""`boxy ps`: the list of boxes."""

from __future__ import annotations

import sys
import time

from boxy_cli.context import Context, is_terminal, say, say_json, width
from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import JSON
from boxy_core.lean import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def filter_text(text: str) -> str:
    """A filter as the daemon takes it.  Raises InvalidRequest."""
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise InvalidRequest(f"{text!r} is not a filter", hint="write it like status=exited")
    return text


def listing(context: Context, args: Args) -> int:
    """Print the boxes."""
    last = 1 if args["latest"] else args["last"]
    every = args["all"] or last or any(text.startswith("status=") for text in args["filter"])
    query = {"all": bool(every), "filter": args["filter"]}
    found = context.client.request("GET", "/boxes", query=query)[: last or None]
    if args["format"]:
        _show(found, args["format"], full=args["no_trunc"])
    elif args["json"]:
        say_json(found)
    elif args["quiet"]:
        for box in found:
            say(box["id"] if args["no_trunc"] else box["id"][:12])
    else:
        from boxy_cli.render import boxes

        colour = is_terminal(1) and not environ().get("NO_COLOR")
        sys.stdout.write(
            boxes(
                found,
                time.time(),
                width=width(),
                full=args["no_trunc"],
                colour=colour,
                sizes=args["size"],
            )
        )
    return 0


def _show(found: list[dict[str, Any]], template: str, *, full: bool) -> None:
    """A line for each box, or with `json` its record."""
    from boxy_cli.render import box_words
    from boxy_cli.template import render
    from boxy_core import wirejson

    for box in found:
        if template == "json":
            say(wirejson.dumps(box).decode())
        else:
            say(render(box, template, box_words(box, time.time(), full=full)))


def _count(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise InvalidRequest(f"{text!r} is not a number of boxes", hint="as in -n 5")


COMMANDS = {
    "ps": Command(
        "ps",
        listing,
        description="List the boxes that run; with -a also those that do not.",
        options=(
            Option("-a", "--all", help="also boxes that do not run"),
            Option("-q", "--quiet", help="only ids"),
            Option("-f", "--filter", metavar="KEY=VALUE", many=True, parse=filter_text,
                   help="only those with this status, name, image, id or label; may be repeated"),
            Option("-s", "--size", help="also what their own layers take on the disk"),
            Option("--no-trunc", help="cut nothing"),
            Option("-l", "--latest", help="only the box that was made last"),
            Option("-n", "--last", metavar="N", parse=_count, help="only the N made last"),
            Option("--format", metavar="TEMPLATE",
                   help="a text with fields for each box: '{{.Names}} {{.Status}}'; json"),
            JSON,
        ),
        examples=(
            ("boxy ps -a --filter status=exited", "what has ended"),
            ("boxy rm $(boxy ps -aq)", "remove all that do not run"),
        ),
    )
}  # fmt: skip
