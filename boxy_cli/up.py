"""From a fresh start to an open console: what `make run` does once Boxy is installed.

    up.py --check   say what this machine lacks, before anything is installed
    up.py           daemon running, a box to look at, console open

Leaving the console leaves daemon and boxes as they are. The check must work with nothing but
the standard library, so what stands on more is imported late.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boxy_cli import prerequisites
from boxy_core.errors import BoxyError, DaemonUnreachable, Denied, NotFound, Unsupported
from boxy_core.errors import Timeout as TimedOut
from boxy_core.paths import Paths, default_paths

if TYPE_CHECKING:
    from boxy_core.client.blocking import Client

READY_WITHIN = 15.0  # seconds; a first start on a slow disk takes about one
LOG_LINES = 5
IMAGE = "host"
WELCOME = "welcome"


def main(argv: list[str] | None = None) -> int:
    """Run the errand; 0 when all is well, 1 after one sentence on stderr."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments == ["--check"]:
            check(default_paths())
        elif arguments:
            print("usage: python -m boxy_cli.up [--check]", file=sys.stderr)
            return 2
        else:
            bring_up(default_paths())
            open_console()
    except BoxyError as error:
        hint = f"\n  hint: {error.hint}" if error.hint else ""
        print(f"boxy: {error}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check(paths: Paths) -> None:
    """Raise `Unsupported` for what is missing; nothing is where a daemon runs already.

    Somebody who is not root may still use a daemon that root started.
    """
    if _listens(paths.socket):
        return
    host = prerequisites.Host.read()
    lacking = prerequisites.missing(host)
    if lacking:
        raise Unsupported("\nboxy: ".join(lacking))
    for sentence in prerequisites.degraded(host):
        print(f"boxy: {sentence}", file=sys.stderr)


def _listens(path: str) -> bool:
    """Whether somebody listens on this socket. Raises `Denied` where we may not ask."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except PermissionError:
            raise Denied(
                f"a daemon runs, but {path} admits only root and the group boxy",
                hint="say: sudo make run; or join: sudo usermod -aG boxy $USER, and log in again",
            ) from None
        except OSError:
            return False
    return True


def bring_up(paths: Paths) -> None:
    """Have a daemon and, for a newcomer's first look, a box that runs."""
    from boxy_core.client.blocking import Client

    client = Client(paths)
    if not answers(client):
        check(paths)
        start_daemon(paths, client)
    ensure_box(client)


def answers(client: Client) -> bool:
    """Whether a daemon is there. Raises what it says if it refuses us."""
    try:
        client.request("GET", "/version")
    except DaemonUnreachable:
        return False
    return True


def start_daemon(paths: Paths, client: Client) -> None:
    """Start `boxyd` in a session of its own and wait until it answers.

    Raises:
        Unsupported: it ended at once; the message carries the end of its log.
        TimedOut: it runs but does not answer.
    """
    log = Path(paths.run) / "boxyd.log"
    log.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    print("Starting boxyd ...", file=sys.stderr)
    with log.open("ab") as output:
        daemon = subprocess.Popen(
            [sys.executable, "-P", "-m", "boxyd"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_WITHIN
    while not answers(client):
        if daemon.poll() is not None and not answers(client):
            raise Unsupported(
                f"boxyd ended with status {daemon.returncode} as soon as it was started. "
                f"The end of {log}:\n{_tail(log)}"
            )
        if time.monotonic() > deadline:
            raise TimedOut(
                f"boxyd (pid {daemon.pid}) was started but does not answer on {paths.socket}.",
                hint=f"what it does is written in {log}.",
            )
        time.sleep(0.02)
    daemon.returncode = 0  # it stays when we go; Popen must not warn of that


def ensure_box(client: Client) -> None:
    """Have a running box on the image `host`: any there is, else our own, named `welcome`."""
    boxes: list[dict[str, Any]] = client.request("GET", "/boxes", query={"all": "1"})
    ours = [box for box in boxes if box["image"] == IMAGE]
    if any(box["status"] in ("running", "paused", "starting") for box in ours):
        return
    if not any(box["name"] == WELCOME for box in boxes):
        try:
            client.request("POST", "/boxes", body=_welcome_spec())
        except NotFound:
            print(
                f"boxy: no image `{IMAGE}` is on the search path; go on without.", file=sys.stderr
            )
            return
    elif not any(box["name"] == WELCOME for box in ours):
        return  # somebody else's box bears the name; the newcomer's time is over
    client.request("POST", f"/boxes/{WELCOME}/start", body={})


def _welcome_spec() -> dict[str, Any]:
    return {
        "image": IMAGE,
        "name": WELCOME,
        "hostname": WELCOME,
        "tty": True,
        "stdin": True,
        "labels": {"boxy.made-by": "make run"},
    }


def open_console() -> None:
    """Become the console; it never returns. Without a terminal, say how to go on instead."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print("Boxy is up. The console needs a terminal; here `boxy ps` shows your boxes.")
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "boxy_tui.app"])


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
    return "\n".join("  " + line for line in lines)


if __name__ == "__main__":
    sys.exit(main())
