"""`boxy stats`: resources of boxes, once a second, from the daemon's one sampler."""

from __future__ import annotations

import sys

from boxy_cli import render
from boxy_cli.context import Context, is_terminal, say, say_json, width
from boxy_core import wirejson
from boxy_core.client.blocking import box_path
from boxy_core.flags.options import Argument, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from boxy_core.flags.options import Args

HOME, CLEAR_BELOW, CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"


def stats(context: Context, args: Args) -> int:
    """Print samples until interrupted, or one."""
    wanted = _resolve(context, args["box"])
    live = is_terminal(1) and not args["json"] and not args["no_stream"]
    if live:
        sys.stdout.write(HOME + CLEAR_BELOW)
    for samples in _samples(context, wanted, once=args["no_stream"]):
        if args["json"]:
            _show_json(samples, once=args["no_stream"])
        else:
            names = _names(context)
            text = render.stats(samples, names, width=width())
            sys.stdout.write(_in_place(text) if live else text)
        sys.stdout.flush()
    return 0


def _resolve(context: Context, refs: list[str]) -> list[str]:
    return [context.client.request("GET", box_path(ref))["id"] for ref in refs]


def _samples(context: Context, wanted: list[str], *, once: bool) -> Iterator[list[dict[str, Any]]]:
    """Lists of Stats, each second; of the boxes in `wanted`, or of all."""
    if once and wanted:
        query = {"stream": False}
        yield [context.client.request("GET", box_path(one, "stats"), query=query) for one in wanted]
        return
    for line in context.client.stream("GET", "/stats", query={"stream": True}):
        samples = line["boxes"]
        yield [one for one in samples if not wanted or one["id"] in wanted]
        if once:
            return


def _names(context: Context) -> dict[str, str]:
    """Names by id; asked anew each second, since a box may be renamed or come and go."""
    return {box["id"]: box["name"] for box in context.client.request("GET", "/boxes")}


def _show_json(samples: list[dict[str, Any]], *, once: bool) -> None:
    if once:
        say_json(samples)
        return
    for sample in samples:
        say(wirejson.dumps(sample).decode())


def _in_place(text: str) -> str:
    """Over what was shown before, without flicker."""
    return HOME + text.replace("\n", CLEAR_LINE + "\n") + CLEAR_BELOW


COMMANDS = {
    "stats": Command(
        "stats",
        stats,
        description="Show CPU, memory, network, disk and process counts of running boxes, each "
        "second. 100 % CPU is one full core.",
        options=(
            Option("--no-stream", help="one sample, then end"),
            Option("--json", help="print JSON: a list with --no-stream, else one sample a line"),
        ),
        arguments=(Argument("BOX", "only these boxes", count="*", kind="box"),),
    )
}
