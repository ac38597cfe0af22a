"""`boxy run` and `boxy create`.

Constraint: the way from here to a running command is measured in milliseconds: two requests on
one connection, and what carries the bytes afterwards is imported while the daemon works.
"""

from __future__ import annotations

import os
import sys

from boxy_cli.commands.isolation import CONFINEMENT, SECURITY, SPACES
from boxy_cli.commands.isolation import fields as isolation
from boxy_cli.commands.mount_options import MOUNTS, mounts_spec
from boxy_cli.commands.network_options import NETWORK, network_spec
from boxy_cli.commands.shared import (
    DETACH_KEYS,
    ENVIRONMENT,
    LIMITS,
    SIG_PROXY,
    environment,
    limits,
    pairs,
    seconds,
)
from boxy_cli.context import Context, say
from boxy_cli.detach import keys_in_force
from boxy_cli.options import Argument, Command, Option
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxy_cli.options import Args

_COMMON = (
    Option("-i", "--interactive", help="keep standard input open"),
    Option("-t", "--tty", help="give it a terminal"),
    Option("--name", metavar="NAME", help="name of the box; without it one is made up"),
    Option("--rm", help="remove the box when it ends"),
    Option("-h", "--hostname", metavar="NAME", help="its host name (usually the short id)"),
    *ENVIRONMENT,
    Option("-w", "--workdir", metavar="FOLDER", help="folder that the command starts in"),
    Option("-u", "--user", metavar="USER[:GROUP]", help="name or number of who runs the command"),
    Option("--entrypoint", metavar="COMMAND", help="replace the image's entrypoint"),
    Option("-l", "--label", metavar="NAME=VALUE", many=True, help="attach a label"),
    *MOUNTS,
    *LIMITS,
    Option("--pull", metavar="WHEN", choices=("missing", "always", "never"),
           help="whether to ask the registry: missing (if it is not here), always, never"),
    *CONFINEMENT,
    Option("--read-only", help="nothing outside of /dev, /run, /tmp and volumes can be written"),
    Option("--init", help="reap processes by a small PID 1 above the command"),
    Option("--cap-add", metavar="CAPABILITY", many=True, help="give a capability, or ALL"),
    Option("--cap-drop", metavar="CAPABILITY", many=True, help="take a capability, or ALL"),
    SECURITY,
    Option("--userns", metavar="MODE", choices=("private", "host"),
           help="private: root in the box is nobody outside; host: it is root"),
    *NETWORK,
    *SPACES,
    Option("--stop-signal", metavar="SIGNAL", kind="signal", help="what boxy stop sends"),
    Option("--stop-timeout", metavar="TIME", parse=seconds,
           help="grace period between stop and kill (10s)"),
)  # fmt: skip


def spec(args: Args) -> dict[str, Any]:
    """The model BoxSpec of the flags; only what was given."""
    given: dict[str, Any] = {
        "image": args["image"],
        "name": args["name"],
        "command": args["command"],
        "entrypoint": _entrypoint(args["entrypoint"]),
        "env": environment(args["env"], args["env_file"]),
        "workdir": args["workdir"],
        "user": args["user"],
        "hostname": args["hostname"],
        "labels": pairs("--label", args["label"]),
        "tty": args["tty"],
        "stdin": args["interactive"],
        "auto_remove": args["rm"],
        **network_spec(args.values),
        "limits": limits(args.values),
        **mounts_spec(args.values),
        "read_only": args["read_only"],
        "init": args["init"],
        "cap_add": args["cap_add"],
        "cap_drop": args["cap_drop"],
        "userns": args["userns"],
        **isolation(args),
        "stop_signal": args["stop_signal"],
        "stop_timeout": args["stop_timeout"],
    }
    wanted = {
        key: value
        for key, value in given.items()
        if value or isinstance(value, float) or (key == "no_new_privs" and value is False)
    }
    if args["entrypoint"] == "":
        wanted["entrypoint"] = []  # the image's is taken away
    if args["tty"]:
        from boxy_cli.session import terminal_environment
        from boxy_cli.terminal import window_size

        wanted["env"] = {**terminal_environment(), **given["env"]}
        wanted["rows"], wanted["cols"] = window_size(0, 1, 2)
    return wanted


def _entrypoint(text: str | None) -> list[str] | None:
    return [text] if text else None


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
    if wanted.get("tty") and wanted.get("stdin") and not os.isatty(0):
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
    if not os.isatty(2):
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
            *_COMMON[:2],
            Option("-d", "--detach", help="leave it in the background and print its id"),
            *_COMMON[2:],
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
        options=_COMMON,
        arguments=_ARGUMENTS,
        passthrough=True,
        examples=(("boxy create --name job alpine ./nightly", "to be started later"),),
    ),
}
