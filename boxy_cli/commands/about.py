"""`boxy version` and `boxy info`."""

from __future__ import annotations

from boxy_cli.context import Context, say, say_json
from boxy_core import __version__
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import JSON
from boxy_core.text import escape
from boxy_core.units import format_size, format_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def version(context: Context, args: Args) -> int:
    """Print our version and the daemon's."""
    if args["client"]:
        say(f"boxy {__version__}")
        return 0
    if not args["json"]:
        say(f"client: {__version__}")
    daemon = context.client.request("GET", "/version")
    if args["json"]:
        say_json({"client": {"version": __version__}, "daemon": daemon})
    else:
        about = (f"{key} {escape(str(daemon[key]))}" for key in daemon if key != "version")
        say(f"daemon: {escape(str(daemon.get('version')))} ({', '.join(about)})")
    return 0


def info(context: Context, args: Args) -> int:
    """Print what the daemon tells about itself and the machine."""
    found = context.client.request("GET", "/info")
    if args["json"]:
        say_json(found)
    else:
        for line in outline(found):
            say(line)
    return 0


def outline(value: dict[str, Any], indent: str = "") -> list[str]:
    """Nested data as indented lines, sizes in words."""
    lines = []
    for key, item in value.items():
        name = indent + escape(str(key)).replace("_", " ")
        if isinstance(item, dict) and item:
            lines += [f"{name}:", *outline(item, indent + "  ")]
        elif isinstance(item, list) and item:
            lines += [f"{name}:", *(f"{indent}  - {_plain(key, one)}" for one in item)]
        else:
            lines.append(f"{name}: {_plain(key, item)}")
    return lines


def _plain(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value > 1e9:
        return format_time(value)
    if isinstance(value, int) and key.startswith("memory"):
        return format_size(value)
    if value in ("", None, [], {}):
        return "-"
    return escape(str(value))


COMMANDS = {
    "version": Command(
        "version",
        version,
        description="Show the versions of this program and of the daemon.",
        options=(Option("--client", help="only this program's, without asking the daemon"), JSON),
    ),
    "info": Command(
        "info",
        info,
        description="Show what the daemon and this machine offer, and what is missing.",
        options=(JSON,),
    ),
}
