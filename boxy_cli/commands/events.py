"""`boxy events`: what happens, as it happens, and what happened a while ago."""

from __future__ import annotations

import time

from boxy_cli.commands.ps import filter_text
from boxy_cli.context import Context, say
from boxy_cli.render import event
from boxy_core import wirejson
from boxy_core.errors import Timeout
from boxy_core.flags.options import Command, Option
from boxy_core.units import format_time, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

RESYNC = "resync"


def events(context: Context, args: Args) -> int:
    """Print events until interrupted, or until --until."""
    filters = _filters(args["filter"])
    since, until = args["since"], args["until"]
    query = {} if since is None and until is None else {"since": 0}
    lines = context.client.stream("GET", "/watch", query=query, timeout=_patience(until))
    try:
        for line in lines:
            if line.get("type", RESYNC) == RESYNC:
                continue  # where the daemon's count stands; that we ask for all that is kept
            if until is not None and line["time"] > until:
                break
            if (since is None or line["time"] >= since) and _matches(line, filters):
                _show(line, as_json=args["json"])
    except Timeout:
        if until is None:
            raise
    return 0


def _patience(until: float | None) -> float | None:
    return None if until is None else max(0.2, until - time.time())


def _show(line: dict[str, Any], *, as_json: bool) -> None:
    import sys

    say(wirejson.dumps(line).decode() if as_json else event(line, format_time(line["time"], 3)))
    sys.stdout.flush()


def _filters(given: list[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, _, value in (text.partition("=") for text in given)]


def _matches(line: dict[str, Any], filters: list[tuple[str, str]]) -> bool:
    """Each key must match one of its values; a box is matched by name or beginning of its id."""
    for key in {key for key, _ in filters}:
        values = [value for other, value in filters if other == key]
        if not any(_match(line, key, value) for value in values):
            return False
    return True


def _match(line: dict[str, Any], key: str, value: str) -> bool:
    if key == "type":
        return bool(line["type"] == value or line["type"].endswith("." + value))
    if key == "id":
        return bool(line.get("id", "").startswith(value))
    if key in ("box", "name"):
        found = line.get("name") == value or (key == "box" and line["id"].startswith(value))
        return bool(found)
    return str((line.get("data") or {}).get(key)) == value


COMMANDS = {
    "events": Command(
        "events",
        events,
        description="Show what happens to boxes, images and the daemon, as it happens.",
        options=(
            Option(
                "--since",
                metavar="TIME",
                parse=parse_time,
                help="begin with what happened since: 10m, 3 hours ago, a date",
            ),
            Option("--until", metavar="TIME", parse=parse_time, help="end there"),
            Option(
                "-f",
                "--filter",
                metavar="KEY=VALUE",
                many=True,
                parse=filter_text,
                help="only these: type=started, box=web, status=exited; may be repeated",
            ),
            Option("--json", help="one JSON object a line"),
        ),
        examples=(("boxy events --since 1h --filter type=oom", "what ran out of memory"),),
    )
}
