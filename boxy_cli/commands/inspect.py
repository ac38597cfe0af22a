"""`boxy inspect`: everything that the daemon knows about a box or an image."""

from __future__ import annotations

from boxy_cli.context import Context, report, say, say_json
from boxy_core.client.blocking import box_path
from boxy_core.client.http import quote
from boxy_core.errors import BoxyError, InvalidRequest, NotFound
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
                _show_field(field(thing, args["format"]))
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


def field(thing: Any, path: str) -> Any:
    """The value at `spec.limits.memory` (or `{{.spec.limits.memory}}`, `args.0`).

    Raises InvalidRequest naming the fields that there are.
    """
    value = thing
    for name in path.strip().strip("{}").strip().removeprefix(".").split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            there = ", ".join(value) if isinstance(value, dict) else "none"
            raise InvalidRequest(f"there is no field {name!r} in {path!r}", hint=f"fields: {there}")
    return value


def _show_field(value: Any) -> None:
    if isinstance(value, (dict, list)):
        say_json(value)
    elif isinstance(value, str):
        from boxy_core.text import escape

        say(escape(value))
    else:
        say("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


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
                help="only this field, dotted: spec.limits.memory, exit.status",
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
