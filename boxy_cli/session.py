"""From an upgraded connection to an exit status: terminal made raw, bytes carried, end told.

Constraint: imported by run, exec, attach and start while the daemon is at work on their request,
so its imports cost no time.
"""

from __future__ import annotations

import posix
import sys

from boxy_cli.context import note
from boxy_cli.detach import DetachKeys, describe_keys
from boxy_cli.stream import Ended, Session, Stream
from boxy_core.lean import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_cli.terminal import Terminal
    from boxy_core.client.blocking import Upgraded
    from boxy_core.recorder import Recorder

STDIN, STDOUT, STDERR = 0, 1, 2
LOST_CONNECTION = 125


class Wishes:
    """How the user wants to be connected.

    `stdin`: ours goes to the box.  `keys` leave it (none: ()).  `announce`: say so.  `proxy`:
    signals are passed on.
    """

    def __init__(
        self, *, stdin: bool, keys: tuple[bytes, ...], announce: bool = False, proxy: bool = True
    ) -> None:
        self.stdin = stdin
        self.keys = keys
        self.announce = announce
        self.proxy = proxy
        self.left = False  # the session goes on without us
        self.recorder: Recorder | None = None
        self.mute = self.record_input = False


def converse(upgraded: Upgraded, name: str, session: Session, wishes: Wishes) -> int:
    """Carry bytes until the session ends or is left; the exit status."""
    sys.stdout.flush()
    interactive = session.tty and wishes.stdin and posix.isatty(STDIN)
    terminal = _terminal() if interactive else None
    keys = wishes.keys if interactive else ()
    if keys and wishes.announce:
        note(f"attached to {name}; {describe_keys(keys)} detaches")
    watched = session.tty and not wishes.mute and any(posix.isatty(fd) for fd in (STDIN, STDOUT))
    stream = Stream(
        upgraded,
        session,
        stdin=STDIN if wishes.stdin else None,
        notice=_notice,
        detach=DetachKeys(keys) if keys else None,
        forward=wishes.proxy and not interactive,
        size=_terminal_size(terminal) if watched else None,
    )
    if wishes.recorder is not None:
        stream.record(wishes.recorder, mute=wishes.mute, typed=wishes.record_input)
    try:
        if terminal is not None:
            terminal.raw()
        ended = stream.run()
    finally:
        upgraded.socket.close()
        if terminal is not None:
            terminal.restore()
    wishes.left = ended.how != "exit"
    return _finish(ended, stream, name)


def _terminal() -> Terminal:
    from boxy_cli.terminal import Terminal  # a pipeline needs none

    return Terminal(STDIN)


def _terminal_size(terminal: Terminal | None) -> Any:
    from boxy_cli.terminal import window_size

    def size() -> tuple[int, int]:
        if terminal is not None:
            terminal.again()
        return window_size(STDOUT, STDIN)

    return size


def _finish(ended: Ended, stream: Stream, name: str) -> int:
    """Put the screen right, tell the user what there is to tell, and give the status."""
    if stream.modes is not None and posix.isatty(STDOUT):
        undo = stream.modes.undo(always=ended.how != "exit")
        posix.write(STDOUT, undo)
    if ended.how == "detached":
        posix.write(STDERR, b"\r\n")
        note(f"detached from {name}, which goes on; boxy attach {name} returns to it")
        return 0
    if stream.output_closed:
        return 128 + 13  # SIGPIPE, as the shell would see of a command in a pipeline
    if ended.how == "exit":
        if ended.info.get("oom"):
            note(f"{name} ran out of memory and was killed; boxy update --memory gives it more")
        return int(ended.info["status"]) & 0xFF
    note(f"the connection to {name} was lost: {ended.why}")
    sys.stderr.write(f"      boxy ps -a shows whether it still runs, boxy attach {name} returns\n")
    return LOST_CONNECTION


def _notice(text: str) -> None:
    """A line of our own in the middle of the box's, or behind the `^C` that a terminal echoes."""
    before = "\n" if posix.isatty(STDERR) else ""
    try:
        posix.write(STDERR, f"{before}boxy: {text}\n".encode())
    except OSError:
        return


def terminal_environment() -> dict[str, str]:
    """What a program in the box must know of this terminal: TERM, if images know it, COLORTERM."""
    here = environ()
    term = here.get("TERM", "")
    families = ("xterm", "screen", "tmux", "linux", "vt", "rxvt")
    known = term.startswith(families) and term.count("-") <= 1
    env = {"TERM": term if known else "xterm-256color"}
    if here.get("COLORTERM"):
        env["COLORTERM"] = here["COLORTERM"]
    return env
