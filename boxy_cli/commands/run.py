"""`boxy run` and `boxy create`.

Constraint: the way from here to a running command is measured in milliseconds: two requests on
one connection, and what carries the bytes afterwards is imported while the daemon works.
"""

from __future__ import annotations

import sys
from posix import isatty

from boxy_cli.context import Context, say
from boxy_cli.detach import keys_in_force
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.flags.box import BOX_FLAGS, box_spec
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.flags.shared import DETACH_KEYS, SIG_PROXY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxy_core.flags.options import Args


def spec(args: Args) -> dict[str, Any]:
    """The model BoxSpec of the flags and arguments; only what was given."""
    wanted = {"image": args["image"], **box_spec(args)}
    if args["command"]:
        wanted["command"] = args["command"]
    if args["tty"]:
        from boxy_cli.session import terminal_environment
        from boxy_cli.terminal import window_size

        wanted["env"] = {**terminal_environment(), **wanted.get("env", {})}
        wanted["rows"], wanted["cols"] = window_size(0, 1, 2)
    return wanted


# ------------------------------------------------------------------ the commands


def create(context: Context, args: Args) -> int:
    """Make the box, print its id."""
    wanted = spec(args)
    _unpack(context, wanted["image"], args["pull"])
    say(_make(context, wanted)["id"])
    return 0


def run(context: Context, args: Args) -> int:
    """Make the box, start it, stay with it or not."""
    wanted = spec(args)
    if args["dry_run"] or args["explain"]:
        _explain(context, wanted, as_json=args["json"])
    if args["dry_run"]:
        return 0
    if not args["detach"]:
        check_terminal(wanted)
    _unpack(context, wanted["image"], args["pull"])
    if args["detach"]:
        return _run_detached(context, wanted)
    return _run_attached(context, wanted, args)


def check_terminal(wanted: dict[str, Any]) -> None:
    """Refuse -it without a terminal to type into.  Raises InvalidRequest."""
    if wanted.get("tty") and wanted.get("stdin") and not isatty(0):
        raise InvalidRequest(
            "-it needs a terminal, and standard input is none",
            hint="in scripts and pipelines leave out -t",
        )


def _explain(context: Context, wanted: dict[str, Any], *, as_json: bool) -> None:
    """Show the kernel steps that make such a box."""
    answer = context.client.request("POST", "/plan", body=wanted)
    if as_json:
        from boxy_cli.context import say_json

        say_json(answer["plan"])
        return
    from boxy_core.text import escape

    for line in answer["lines"]:
        say(escape(line))
    sys.stdout.flush()


def _make(
    context: Context, wanted: dict[str, Any], meanwhile: Callable[[], object] | None = None
) -> dict[str, Any]:
    box: dict[str, Any] = context.client.request(
        "POST", "/boxes", body=wanted, timeout=None, meanwhile=meanwhile
    )
    return box


def _import_session() -> None:
    """Load what carries the bytes, while the daemon has its own work."""
    import boxy_cli.session  # noqa: F401


def _run_detached(context: Context, wanted: dict[str, Any]) -> int:
    box = context.client.request("POST", "/boxes", query={"start": True}, body=wanted, timeout=None)
    _show_notices(box)
    say(box["id"])
    return 0


def _run_attached(context: Context, wanted: dict[str, Any], args: Args) -> int:
    keys = keys_in_force(args["detach_keys"])
    box = _make(context, wanted, meanwhile=_import_session)
    from boxy_cli.session import Wishes, converse
    from boxy_cli.stream import Session

    wishes = Wishes(stdin=args["interactive"], keys=keys, proxy=not args["no_sig_proxy"])
    with _Undo(context, box):
        query = {
            "stdin": args["interactive"] or None,
            "rows": wanted.get("rows"),
            "cols": wanted.get("cols"),
        }
        upgraded = context.client.upgrade(box_path(box["id"], "start"), query=query, body={})
    status = converse(upgraded, box["name"], Session(tty=args["tty"], owner=True), wishes)
    if args["rm"] and not wishes.left:
        _wait_removed(context, box)
    return status


class _Undo:
    """Takes a `--rm` box away again when its start failed or was interrupted."""

    def __init__(self, context: Context, box: dict[str, Any]) -> None:
        self._context = context
        self._box = box

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, _error: object, _trace: object) -> None:
        if kind is None or not self._box["spec"].get("auto_remove"):
            return
        try:
            self._context.client.request("DELETE", box_path(self._box["id"]), query={"force": True})
        except BoxyError:
            return  # gone already, or the daemon is: the first error is what counts


def _wait_removed(context: Context, box: dict[str, Any]) -> None:
    """With --rm nothing is left when `boxy` ends; a daemon that is away does it when it is back."""
    try:
        context.client.request(
            "GET", box_path(box["id"], "wait"), query={"condition": "removed"}, timeout=15
        )
    except BoxyError as error:
        if error.code not in ("not-found", "daemon-unreachable"):
            from boxy_cli.context import report

            report(error)


def _show_notices(box: dict[str, Any]) -> None:
    from boxy_cli.context import note
    from boxy_core.text import escape

    for sentence in box.get("notices") or ():
        note(escape(sentence))


def _unpack(context: Context, image: str, pull: str | None) -> None:
    """Show the progress of a first use, where somebody watches; look for a newer image if asked."""
    if pull in ("always", "never"):
        from boxy_cli.commands.images import check_or_pull

        check_or_pull(context, image, pull)
    if not isatty(2):
        return
    from boxy_cli.unpack import unpack_if_needed

    unpack_if_needed(context.client, image)


_ARGUMENTS = (
    Argument("IMAGE", "name of an image; boxy images lists them", kind="image"),
    Argument("COMMAND", "command and its arguments; without one the image's own", count="*"),
)
COMMANDS = {
    "run": Command(
        "run",
        run,
        description="Make a box from an image and run a command in it. The exit status is the "
        "command's. Flags after IMAGE belong to the command.",
        options=(
            *BOX_FLAGS[:2],
            Option("-d", "--detach", help="leave it in the background and print its id"),
            *BOX_FLAGS[2:],
            DETACH_KEYS,
            SIG_PROXY,
            Option("--explain", help="show the kernel steps first, then take them"),
            Option("--dry-run", help="show the kernel steps, make nothing"),
            Option("--json", help="with --dry-run or --explain: the plan as JSON"),
        ),
        arguments=_ARGUMENTS,
        passthrough=True,
        examples=(
            ("boxy run -it --rm alpine", "a shell in a box that is gone afterwards"),
            ("echo hi | boxy run -i --rm alpine tr a-z A-Z", "a box in a pipeline"),
            ("boxy run -d --name web -m 256m alpine httpd -f", "a server in the background"),
        ),
    ),
    "create": Command(
        "create",
        create,
        description="Make a box without starting it and print its id; boxy start starts it.",
        options=BOX_FLAGS,
        arguments=_ARGUMENTS,
        passthrough=True,
        examples=(("boxy create --name job alpine ./nightly", "to be started later"),),
    ),
}
