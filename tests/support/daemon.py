"""A real `boxyd` for a test: a process of its own, in the test's own corner of the machine."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from boxy_core.client.blocking import Client
from boxy_core.errors import BoxyError, DaemonUnreachable
from boxy_core.paths import Paths, default_paths
from tests.support import nursery
from tests.support.images import REPOSITORY
from tests.support.waiting import eventually

READY_WITHIN = 60.0
STOPS_WITHIN = 45.0


PROGRAM = ["-m", "boxyd"]


def hurried(**constants: float) -> list[str]:
    """A program that is the daemon with other values in its modules: shorter pauses.

    Args:
        constants: `network_fabric__LINGER=0.2` is LINGER of boxyd.network.fabric.
    """
    lines = ["import sys"]
    for name, value in constants.items():
        module, _, constant = name.partition("__")
        dotted = "boxyd." + module.replace("_", ".")
        lines.append(f"import {dotted}; {dotted}.{constant} = {value!r}")
    lines += ["from boxyd.main import main", "sys.exit(main())"]
    return ["-c", "\n".join(lines)]


@functools.cache
def boxy_program() -> list[str]:
    """What runs `boxy`: the installed script, which starts in half of the time, if it is this
    checkout's."""
    script = Path(sys.executable).with_name("boxy")
    if script.is_file() and repr(str(REPOSITORY)) in script.read_text().partition("\ntry:")[0]:
        return [str(script)]
    return [sys.executable, "-P", "-m", "boxy_cli.main"]


class Daemon:
    """One daemon that can be stopped, killed and started again, with a CLI bound to it.

    Args:
        folder: holds root, run and log; short, since a socket's path has 108 bytes.
        cgroup: the root of its boxes below each cgroup hierarchy, as `boxy/test-1234`.
        registries: registry folders, searched in order.
    """

    def __init__(self, folder: Path, cgroup: str, registries: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.log = folder / "boxyd.log"
        self.env = {
            **{name: value for name, value in os.environ.items() if not _steers_boxy(name)},
            "BOXY_ROOT": str(folder / "root"),
            "BOXY_RUN": str(folder / "run"),
            "BOXY_SOCKET": str(folder / "s"),
            "BOXY_REGISTRY_PATH": ":".join(map(str, registries)) or str(folder / "none"),
            "BOXY_CGROUP": cgroup,
            "BOXY_DEFAULT_NETWORK": "none",  # bridges on the machine are a matter of few tests
            "BOXY_IDS": str(folder / "ids"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
        }
        self.options: list[str] = []
        self.prefix: list[str] = []
        """a command that the daemon is run by, as `nsenter` in another network namespace"""
        self.program = PROGRAM
        """what the interpreter runs; see `hurried`"""
        self.forked = True
        """whether it may be born in the nursery, where only what comes before `main` differs"""
        self._process: subprocess.Popen[bytes] | nursery.Newborn | None = None

    @property
    def paths(self) -> Paths:
        """Where this daemon keeps its things."""
        return default_paths(env=self.env)

    @property
    def pid(self) -> int:
        """The daemon's process id; it must run."""
        assert self._process is not None, "the daemon was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    # -------------------------------------------------------------- its life

    def start(self, *options: str) -> None:
        """Start it, with further command-line options, and wait until it answers."""
        assert not self.running, "the daemon runs already"
        self.options = list(options)
        with self.log.open("ab") as output:
            may = self.forked and not self.prefix and self.program == PROGRAM
            newborn = nursery.born(options, self.env, output) if may else None
            self._process = newborn or self._run(options, output)
        self._wait_ready()

    def _run(self, options: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start it as a program of its own, as a user does."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-P", *self.program, *options],
            cwd="/",
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def stop(self) -> int:
        """End it as a supervisor would, by SIGTERM; boxes stay. Returns its exit status."""
        assert self._process is not None, "the daemon was not started"
        self._process.terminate()
        return self._process.wait(STOPS_WITHIN)

    def kill(self) -> None:
        """End it as the OOM killer would; boxes stay."""
        assert self._process is not None, "the daemon was not started"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(STOPS_WITHIN)

    def restart(self) -> None:
        """Stop it and start it with the same options."""
        self.stop()
        self.start(*self.options)

    def close(self) -> None:
        """Remove its boxes and stop it, whatever state the test left it in."""
        if self._process is None:
            return
        if not self.running:
            self.start()
        try:
            self.remove_boxes()
        finally:
            self.stop()
            self._process = None

    def remove_boxes(self) -> None:
        """Remove every box, running or not."""
        for box in self.request("GET", "/boxes", query={"all": "1"}):
            try:
                self.request("DELETE", f"/boxes/{box['id']}", query={"force": "1"})
            except BoxyError as error:
                if error.code != "not-found":  # one with --rm may go by itself meanwhile
                    raise

    def remove_all(self) -> None:
        """Remove every box, volume and network of a user's."""
        self.remove_boxes()
        for volume in self.request("GET", "/volumes"):
            self.request("DELETE", f"/volumes/{volume['name']}", query={"force": "1"})
        for network in self.request("GET", "/networks"):
            if network["name"] not in ("bridge", "host", "none"):
                self.request("DELETE", f"/networks/{network['name']}")

    def wait_empty(self) -> None:
        """Wait until nothing is left of any box in its folders."""
        places = (self.paths.boxes, f"{self.paths.run}/boxes")
        eventually(
            lambda: not any(os.listdir(place) for place in places if os.path.exists(place)),
            what="no folder of a box",
        )

    def _wait_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            try:
                self.request("GET", "/version")
            except DaemonUnreachable:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
        self._process.kill()
        status = self._process.wait()
        raise AssertionError(f"boxyd did not get ready (status {status}):\n{self.log_text()}")

    # -------------------------------------------------------------- its clients

    def client(self) -> Client:
        """A new blocking client of this daemon."""
        return Client(self.paths)

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """One request on a connection of its own; the decoded answer."""
        return self.client().request(method, path, **arguments)

    def boxy(
        self, *arguments: str, stdin: bytes | str = b"", timeout: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `boxy` with these arguments; its status, stdout and stderr as text."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.env,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        stdout, stderr = (
            text.decode(errors="surrogateescape") for text in (done.stdout, done.stderr)
        )
        return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)

    def run(self, *arguments: str, stdin: bytes | str = b"", timeout: float = 60.0) -> str:
        """Like `boxy`, for what must succeed: its stdout, without the last newline."""
        done = self.boxy(*arguments, stdin=stdin, timeout=timeout)
        assert done.returncode == 0, f"boxy {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout.removesuffix("\n")

    def command(self, *arguments: str) -> list[str]:
        """The argument list that runs `boxy` here; give it `env` as well."""
        return [*boxy_program(), *arguments]

    def wait_status(self, ref: str, status: str, seconds: float = 45.0) -> dict[str, Any]:
        """Wait until the box's status is `status`; the box."""
        deadline = time.monotonic() + seconds
        while True:
            box: dict[str, Any] = self.request("GET", f"/boxes/{ref}")
            if box["status"] == status:
                return box
            if time.monotonic() > deadline:
                raise AssertionError(f"{ref} did not become {status}: {json.dumps(box)}")
            time.sleep(0.02)

    def log_text(self) -> str:
        """What the daemon wrote to its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _steers_boxy(name: str) -> bool:
    """Whether a variable would make this daemon or its clients somebody else's."""
    return name.startswith("BOXY_") and not name.startswith("BOXY_TEST_")
