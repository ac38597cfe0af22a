"""`boxy record` and `boxy replay`: a box's terminal as an asciicast file, and back."""

from __future__ import annotations

import os
import signal
import sys
import time

from boxy_cli.context import Context, note
from boxy_cli.detach import keys_in_force
from boxy_core.client.blocking import box_path
from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.flags.options import Argument, Command, Option
from boxy_core.flags.shared import BOX, DETACH_KEYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args
    from boxy_core.recorder import Recorder

ALIVE = ("running", "paused", "stopping")


def record(context: Context, args: Args) -> int:
    """Attach to a box, or start it, and record what is seen."""
    from boxy_cli.terminal import window_size
    from boxy_core.recorder import Recorder, default_name

    box = context.client.request("GET", box_path(args["box"]))
    watching = args["quiet"] or args["no_stdin"] or not (os.isatty(0) and os.isatty(1))
    rows, cols = window_size(0, 1, 2)
    title = args["title"] or f"{box['name']}: {' '.join(box.get('args') or [])}".strip()
    path = args["file"] or default_name(box["name"], time.time())
    recorder = Recorder(path, (cols, rows), title, overwrite=args["overwrite"])
    if watching:  # a shell starts what a script puts into the background with SIGINT ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    note(f"recording {box['name']} into {path}")
    try:
        status = _record(context, args, box, recorder, watching=watching)
    except KeyboardInterrupt:
        status = 0
    finally:
        seconds = recorder.seconds
        recorder.close()
    if recorder.trouble:
        raise BoxyError(recorder.trouble, hint="boxy replay plays what is there")
    note(f"{seconds:.0f} seconds recorded; boxy replay {path} plays them")
    return status


def _record(
    context: Context, args: Args, box: dict[str, Any], recorder: Recorder, *, watching: bool
) -> int:
    from boxy_cli.session import Wishes, converse
    from boxy_cli.stream import Session
    from boxy_cli.terminal import window_size

    tty, alive = bool(box["spec"].get("tty")), box["status"] in ALIVE
    stdin = bool(box["spec"].get("stdin")) and not watching
    rows, cols = window_size(0, 1, 2) if tty and not watching else (None, None)
    wishes = Wishes(stdin=stdin, keys=keys_in_force(args["detach_keys"]), announce=True,
                    proxy=False)  # fmt: skip
    wishes.recorder, wishes.mute, wishes.record_input = recorder, args["quiet"], args["input"]
    query: dict[str, Any] = {"stdin": int(stdin), "rows": rows, "cols": cols}
    if alive:
        query["replay"] = 1
        upgraded = context.client.upgrade(box_path(box["id"], "attach"), query=query)
    else:
        upgraded = context.client.upgrade(box_path(box["id"], "start"), query=query, body={})
    session = Session(tty=tty, owner=not alive, history=alive)
    return converse(upgraded, box["name"], session, wishes)


def replay(context: Context, args: Args) -> int:
    """Play a recording."""
    path = args["file"]
    if args["console"]:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "boxy_tui.app", "--replay", path])
    recording = _read(path)
    if args["idle_limit"] is not None:
        recording = recording.shortened(args["idle_limit"])
    from boxy_cli.player import Player, everything

    if not os.isatty(1):
        sys.stdout.buffer.write(everything(recording))
        return 0
    _play(Player(recording, speed=args["speed"] or 1.0, output=1), recording, args["at"] or 0.0)
    return 0


def _read(path: str) -> Any:
    from boxy_core import cast

    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as lines:
            return cast.read(lines, path)
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}", hint="name a file that boxy record wrote"
        ) from None


def _play(player: Any, recording: Any, start: float) -> None:
    from boxy_cli.player import KEYS
    from boxy_cli.terminal import Terminal, window_size

    rows, cols = window_size(1, 0)
    if cols < recording.columns or rows < recording.rows:
        note(
            f"this terminal has {cols} columns and {rows} rows, the recording "
            f"{recording.columns} and {recording.rows}: it will look wrong"
        )
    terminal = Terminal(0) if os.isatty(0) else None
    if terminal is not None:
        note(KEYS)
        terminal.raw()
    try:
        if start:
            player.go_to(start)
        player.play(0 if terminal is not None else None)
    finally:
        if terminal is not None:
            terminal.restore()
    sys.stdout.write("\r\n")
    note(
        f"{'stopped' if player.ended else 'the end'}: {player.now:.0f} of {recording.length:.0f} s"
    )


def _positive(text: str) -> float:
    try:
        value = float(text.removesuffix("x").removesuffix("s"))
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise InvalidRequest(f"{text!r} is not a number above 0", hint="as in 1, 2.5")
    return value


COMMANDS = {
    "record": Command(
        "record",
        record,
        description="Record a box's terminal as an asciicast file, as boxy attach shows it: keys "
        "go to the box, ctrl-p ctrl-q ends the recording and leaves the box running. A box that "
        "does not run is started, and recorded from its first byte. Without a terminal, or with "
        "--no-stdin, it only watches. asciinema and its players can show the file.",
        options=(
            Option("-q", "--quiet", help="show nothing here; ctrl-c ends the recording"),
            Option("--no-stdin", help="only watch; ctrl-c ends the recording"),
            Option("--input", help="record the keys as well: also passwords"),
            Option("--title", metavar="TEXT", help="the recording's title (box and command)"),
            Option("--overwrite", help="replace a file that is there"),
            DETACH_KEYS,
        ),
        arguments=(
            BOX,
            Argument("FILE", "where to write (BOX-DATE-TIME.cast)", count="?", kind="file"),
        ),
        examples=(
            ("boxy record web demo.cast", "ctrl-p ctrl-q ends it"),
            ("boxy record -q web &", "watch it in the background"),
        ),
    ),
    "replay": Command(
        "replay",
        replay,
        description="Play a recording by boxy record or asciinema: space pauses, arrow keys go 5 "
        "seconds, 0 to 9 to a tenth of it, + and - change the speed, q ends. Into a file or pipe "
        "it is written at once.",
        options=(
            Option("-s", "--speed", metavar="N", parse=_positive, help="so many times as fast (1)"),
            Option("-i", "--idle-limit", metavar="SECONDS", parse=_positive,
                   help="cut pauses down to this"),
            Option("--at", metavar="SECONDS", parse=_positive, help="begin there"),
            Option("-c", "--console", help="play it in the console, in a pane with a time bar"),
        ),
        arguments=(Argument("FILE", "the recording", kind="file"),),
        examples=(("boxy replay -i 2 demo.cast", "no pause over two seconds"),),
    ),
}  # fmt: skip
