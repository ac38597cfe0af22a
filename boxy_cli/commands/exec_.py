"""`boxy exec`: a further command in a running box."""

from __future__ import annotations

from boxy_cli.context import Context, say
from boxy_cli.detach import keys_in_force
from boxy_core.client.blocking import box_path
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.flags.shared import BOX, DETACH_KEYS, ENVIRONMENT, SIG_PROXY, environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args


def _spec(args: Args) -> dict[str, Any]:
    """The model ExecSpec of the flags."""
    given = {
        "command": args["command"],
        "env": environment(args["env"], args["env_file"]),
        "workdir": args["workdir"],
        "user": args["user"],
        "tty": args["tty"],
        "stdin": args["interactive"],
    }
    wanted: dict[str, Any] = {key: value for key, value in given.items() if value}
    if args["tty"]:
        from boxy_cli.session import terminal_environment
        from boxy_cli.terminal import window_size

        wanted["env"] = {**terminal_environment(), **wanted.get("env", {})}
        wanted["rows"], wanted["cols"] = window_size(0, 1, 2)
    return wanted


def execute(context: Context, args: Args) -> int:
    """Run it; with -d only start it."""
    from boxy_cli.commands.run import check_terminal

    wanted = _spec(args)
    path = box_path(args["box"], "exec")
    if args["detach"]:
        say(context.client.request("POST", path, body=wanted, timeout=None)["session"])
        return 0
    check_terminal(wanted)
    keys = keys_in_force(args["detach_keys"])
    upgraded = context.client.upgrade(path, body=wanted, meanwhile=_import_session)
    from boxy_cli.session import Wishes, converse
    from boxy_cli.stream import Session

    wishes = Wishes(stdin=args["interactive"], keys=keys, proxy=not args["no_sig_proxy"])
    return converse(upgraded, args["box"], Session(tty=args["tty"], owner=True), wishes)


def _import_session() -> None:
    """Load what carries the bytes, while the daemon has its own work."""
    import boxy_cli.session  # noqa: F401


COMMANDS = {
    "exec": Command(
        "exec",
        execute,
        description="Run a further command in a running box, with all of the box's confinement. "
        "The exit status is the command's. Flags after BOX belong to the command.",
        options=(
            Option("-i", "--interactive", help="keep standard input open"),
            Option("-t", "--tty", help="give it a terminal"),
            Option("-d", "--detach", help="leave it in the background"),
            *ENVIRONMENT,
            Option("-w", "--workdir", metavar="FOLDER", help="folder that the command starts in"),
            Option("-u", "--user", metavar="USER[:GROUP]", help="who runs the command"),
            DETACH_KEYS,
            SIG_PROXY,
        ),
        arguments=(BOX, Argument("COMMAND", "command and its arguments", count="+")),
        passthrough=True,
        examples=(
            ("boxy exec -it web sh", "a shell in the box web"),
            ("boxy exec web cat /etc/hosts > hosts", "a file out of it"),
        ),
    )
}
