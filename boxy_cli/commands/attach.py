"""`boxy attach`: this terminal becomes one of a running box's."""

from __future__ import annotations

import posix

from boxy_cli.context import Context
from boxy_cli.detach import keys_in_force
from boxy_core.client.blocking import box_path
from boxy_core.errors import Conflict
from boxy_core.flags.options import Command, Option
from boxy_core.flags.shared import BOX, DETACH_KEYS, SIG_PROXY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

ALIVE = ("running", "paused", "stopping")


def attach(context: Context, args: Args) -> int:
    """Connect to the main command of a running box."""
    box = context.client.request("GET", box_path(args["box"]))
    if box["status"] not in ALIVE:
        raise Conflict(
            f"{box['name']} does not run: it is {box['status']}",
            hint=f"boxy start -a {box['name']} starts it and attaches",
        )
    if box["status"] == "paused":
        from boxy_cli.context import note

        note(f"{box['name']} is paused; boxy unpause {box['name']} lets it go on")
    return join(context, box, args, stdin=not args["no_stdin"], replay=not args["no_replay"])


def join(context: Context, box: dict[str, Any], args: Args, *, stdin: bool, replay: bool) -> int:
    """Attach to a box that runs, as one viewer of several."""
    from boxy_cli.session import Wishes, converse
    from boxy_cli.stream import Session
    from boxy_cli.terminal import window_size

    keys = keys_in_force(args["detach_keys"])
    tty, wants_stdin = bool(box["spec"].get("tty")), stdin and bool(box["spec"].get("stdin"))
    rows, cols = window_size(0, 1, 2) if tty and posix.isatty(1) else (None, None)
    wishes = Wishes(
        stdin=wants_stdin, keys=keys, announce=True,
        proxy=not args["no_sig_proxy"],
    )  # fmt: skip
    upgraded = context.client.upgrade(
        box_path(box["id"], "attach"),
        query={
            "stdin": int(wants_stdin), "replay": int(replay), "rows": rows, "cols": cols,
        },
    )  # fmt: skip
    session = Session(tty=tty, owner=False, history=replay)
    return converse(upgraded, box["name"], session, wishes)


COMMANDS = {
    "attach": Command(
        "attach",
        attach,
        description="Connect this terminal to a running box. Several may be attached at once: all "
        "see everything, anyone may type. What was printed last is shown first.",
        options=(
            Option("--no-stdin", help="only watch"),
            Option("--no-replay", help="do not show what was printed before"),
            DETACH_KEYS,
            SIG_PROXY,
        ),
        arguments=(BOX,),
        examples=(("boxy attach web", "leave it with ctrl-p ctrl-q"),),
    )
}
