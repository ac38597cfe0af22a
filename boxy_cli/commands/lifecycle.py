"""The commands that move boxes from one state to another: start, stop, restart, kill, rm ..."""

from __future__ import annotations

from boxy_cli.context import Context, note, report, say
from boxy_cli.detach import keys_in_force
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, Conflict, InvalidRequest
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.flags.shared import BOX, BOXES, DETACH_KEYS, SIG_PROXY, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Args


def start(context: Context, args: Args) -> int:
    """Start boxes; with -a stay with the one."""
    if args["attach"] or args["interactive"]:
        return _start_attached(context, args)

    def one(ref: str) -> None:
        with _unless_already(context, ref, ("running",)):
            context.client.request("POST", box_path(ref, "start"), body={}, timeout=None)

    return context.for_each(args["box"], one)


class _unless_already:  # noqa: N801 - reads as a phrase
    """A box that is already where the command would bring it is no failure, as in Docker."""

    def __init__(self, context: Context, ref: str, states: tuple[str, ...]) -> None:
        self._context = context
        self._ref = ref
        self._states = states

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Conflict):
            return False
        box = self._context.client.request("GET", box_path(self._ref))
        return box["status"] in self._states


def _start_attached(context: Context, args: Args) -> int:
    if len(args["box"]) != 1:
        raise InvalidRequest("-a and -i take one box", hint="start the others without them")
    box = context.client.request("GET", box_path(args["box"][0]))
    if box["status"] in ("running", "paused", "stopping"):
        note(f"{box['name']} is running already")
        from boxy_cli.commands.attach import join

        return join(context, box, args, stdin=args["interactive"], replay=True)
    from boxy_cli.session import Wishes, converse
    from boxy_cli.stream import Session
    from boxy_cli.terminal import window_size

    keys = keys_in_force(args["detach_keys"])
    spec = box["spec"]
    tty, stdin = bool(spec.get("tty")), args["interactive"] and bool(spec.get("stdin"))
    rows, cols = window_size(0, 1, 2) if tty else (None, None)
    wishes = Wishes(stdin=stdin, keys=keys, announce=True, proxy=not args["no_sig_proxy"])
    upgraded = context.client.upgrade(
        box_path(box["id"], "start"),
        query={"stdin": int(stdin), "rows": rows, "cols": cols},
        body={},
    )
    return converse(upgraded, box["name"], Session(tty=tty, owner=True), wishes)


def stop(context: Context, args: Args) -> int:
    """Stop boxes."""
    return _with_grace(context, args, "stop", already=("created", "exited", "lost"))


def restart(context: Context, args: Args) -> int:
    """Restart boxes."""
    return _with_grace(context, args, "restart")


def _with_grace(context: Context, args: Args, action: str, already: tuple[str, ...] = ()) -> int:
    def one(ref: str) -> None:
        path, query = box_path(ref, action), {"timeout": args["time"]}
        with _unless_already(context, ref, already):
            context.client.request("POST", path, query=query, body={}, timeout=None)

    return context.for_each(args["box"], one)


def kill(context: Context, args: Args) -> int:
    """Send a signal."""

    def one(ref: str) -> None:
        query = {"signal": args["signal"] or "SIGKILL"}
        context.client.request("POST", box_path(ref, "kill"), query=query, body={})

    return context.for_each(args["box"], one)


def pause(context: Context, args: Args) -> int:
    """Freeze boxes."""
    return context.for_each(
        args["box"],
        lambda ref: context.client.request("POST", box_path(ref, "pause"), body={}),
    )


def unpause(context: Context, args: Args) -> int:
    """Let boxes go on."""
    return context.for_each(
        args["box"],
        lambda ref: context.client.request("POST", box_path(ref, "unpause"), body={}),
    )


def wait(context: Context, args: Args) -> int:
    """Wait for each box in turn; print exit statuses in the order of the names."""
    failed = 0
    query = {"condition": args["condition"] or "exited"}
    for ref in args["box"]:
        try:
            info = context.client.request("GET", box_path(ref, "wait"), query=query, timeout=None)
        except BoxyError as error:
            if error.code == "daemon-unreachable":
                raise
            report(error)
            failed = 1
        else:
            say(str(info.get("status", 0)))
    return failed


def remove(context: Context, args: Args) -> int:
    """Remove boxes."""
    query = {"force": args["force"] or None, "volumes": args["volumes"] or None}

    def one(ref: str) -> bool:
        try:
            context.client.request("DELETE", box_path(ref), query=query, timeout=None)
        except BoxyError as error:
            if not (args["force"] and error.code == "not-found"):
                raise
            note(error.message)  # with -f that is no failure: it is as it should be
            return False
        return True

    return context.for_each(args["box"], one)


def rename(context: Context, args: Args) -> int:
    """Rename a box."""
    query = {"name": args["name"]}
    context.client.request("POST", box_path(args["box"], "rename"), query=query, body={})
    return 0


_TIME = Option(
    "-t", "--time", metavar="TIME", parse=seconds, aliases=("--timeout",),
    help="grace period before SIGKILL: 30s, 1m; -1 for ever (10s, or the box's own)",
)  # fmt: skip

COMMANDS = {
    "start": Command(
        "start",
        start,
        description="Start boxes that are created or have exited.",
        options=(
            Option("-a", "--attach", help="stay with its output and exit with its status"),
            Option("-i", "--interactive", help="and give it this standard input"),
            DETACH_KEYS,
            SIG_PROXY,
        ),
        arguments=(BOXES,),
        examples=(("boxy start -ai job", "start it again and see it"),),
    ),
    "stop": Command(
        "stop",
        stop,
        description="Send a box its stop signal (SIGTERM unless the box or its image says "
        "otherwise) and SIGKILL after the grace period.",
        options=(_TIME,),
        arguments=(BOXES,),
    ),
    "restart": Command(
        "restart",
        restart,
        description="Stop boxes as boxy stop does, and start them again.",
        options=(_TIME,),
        arguments=(BOXES,),
    ),
    "kill": Command(
        "kill",
        kill,
        description="Send a signal to the main process of boxes; SIGKILL ends the whole box.",
        options=(
            Option(
                "-s", "--signal", metavar="SIGNAL", kind="signal", help="name or number (SIGKILL)"
            ),
        ),
        arguments=(BOXES,),
        examples=(("boxy kill -s HUP web", "have a server read its configuration again"),),
    ),
    "pause": Command(
        "pause", pause, description="Freeze every process of boxes.", arguments=(BOXES,)
    ),
    "unpause": Command(
        "unpause", unpause, description="Let frozen boxes go on.", arguments=(BOXES,)
    ),
    "wait": Command(
        "wait",
        wait,
        description="Wait until boxes have ended and print their exit statuses.",
        options=(
            Option(
                "--condition",
                metavar="STATE",
                choices=("exited", "removed"),
                help="what to wait for (exited)",
            ),
        ),
        arguments=(BOXES,),
    ),
    "rm": Command(
        "rm",
        remove,
        description="Remove boxes with all that they wrote. A running box is only removed with -f.",
        options=(
            Option("-f", "--force", help="kill it first; not existing is no error"),
            Option("-v", "--volumes", help="remove its anonymous volumes as well"),
        ),
        arguments=(BOXES,),
    ),
    "rename": Command(
        "rename",
        rename,
        description="Give a box another name; it may be running.",
        arguments=(BOX, Argument("NAME", "the new name")),
    ),
}
