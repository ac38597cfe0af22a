"""`boxy inspect`: everything that the daemon knows about a box or an image."""

from __future__ import annotations

from boxy_cli.context import Context, report, say, say_json
from boxy_core.client.blocking import box_path
from boxy_core.client.http import quote
from boxy_core.errors import BoxyError, NotFound
from boxy_core.flags.options import Argument, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def inspect(context: Context, args: Args) -> int:
    """Print the objects as a JSON list, or one field of each."""
    found, status = [], 0
    for ref in args["name"]:
        try:
            thing = _get(context, ref, args["type"])
            if args["format"]:
                _show(thing, args["format"])
            found.append(thing)
        except BoxyError as error:
            if error.code == "daemon-unreachable":
                raise
            report(error)
            status = 1
    if not args["format"]:
        say_json(found)
    return status


def _get(context: Context, ref: str, kind: str | None) -> dict[str, Any]:
    """The box of that name, or else the image."""
    if kind != "image":
        try:
            box: dict[str, Any] = context.client.request("GET", box_path(ref))
        except NotFound:
            if kind == "box":
                raise
        else:
            return box
    try:
        image: dict[str, Any] = context.client.request("GET", f"/images/{quote(ref)}")
    except NotFound:
        if kind == "image":
            raise
        raise NotFound(
            f"there is no box and no image {ref!r}", hint="boxy ps -a and boxy images list them"
        ) from None
    return image


def _show(thing: dict[str, Any], template: str) -> None:
    """One field by itself, a list or table as JSON to read; or a text with several fields."""
    from boxy_cli.template import field, render

    alone = template.strip().removeprefix("{{").removesuffix("}}")
    value = field(thing, alone) if "{{" not in alone else None
    if isinstance(value, (dict, list)):
        say_json(value)
    else:
        say(render(thing, template, {}))


COMMANDS = {
    "inspect": Command(
        "inspect",
        inspect,
        description="Show everything about boxes or images as a JSON list.",
        options=(
            Option(
                "-f",
                "--format",
                metavar="FIELD",
                help="only this field, dotted: spec.limits.memory, exit.status; or a text with "
                "fields in it: '{{.name}} {{.status}}'",
            ),
            Option(
                "--type",
                metavar="TYPE",
                choices=("box", "image"),
                help="box or image; otherwise a box comes first",
            ),
        ),
        arguments=(Argument("NAME", "boxes or images", count="+", kind="box or image"),),
        examples=(("boxy inspect -f pid web", "its first process, as this machine sees it"),),
    )
}
