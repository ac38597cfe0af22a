"""`boxy` on a real terminal: raw while attached, sized, left by keys, always put back."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boxy_core import cast
from tests.support.daemon import Daemon

SIZED = "until stty size | grep -q '^20 7''0'; do sleep 0.1; done; stty size\r"
"""says `20 70` once the new size is there: it may come behind what was typed after it"""


class Screen:
    """A client on a pseudo-terminal of its own."""

    def __init__(self, daemon: Daemon, *words: str, rows: int = 24, cols: int = 80) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            daemon.command(*words), env=daemon.env | {"TERM": "xterm-256color"},
            stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
        )  # fmt: skip

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, text: str, seconds: float = 45.0) -> None:
        """Wait until the text appears behind what was expected last."""
        wanted = text.encode()
        deadline = time.monotonic() + seconds
        while wanted not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{text!r} did not come, but {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        self.seen = self.seen.partition(wanted)[2]

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def raw(self) -> bool:
        mode: list[Any] = termios.tcgetattr(self.slave)
        return not mode[3] & (termios.ECHO | termios.ICANON)

    def wait(self) -> int:
        """The client's status, with all its output taken off the terminal."""
        deadline = time.monotonic() + 45
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
        assert self.process.returncode is not None, "the client did not end"
        assert termios.tcgetattr(self.slave) == self.before, "the terminal was not put back"
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def screen(daemon: Daemon) -> Iterator[Callable[..., Screen]]:
    made: list[Screen] = []

    def make(*words: str, **size: int) -> Screen:
        made.append(Screen(daemon, *words, **size))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_shell_has_a_terminal_of_the_right_size_that_follows(
    screen: Callable[..., Screen],
) -> None:
    one = screen("run", "-it", "--rm", "alpine", rows=33, cols=99)
    one.type("stty size; tty\r")
    one.expect("33 99")
    one.expect("/dev/pts/0")
    assert one.raw()
    one.resize(20, 70)
    one.type(SIZED)
    one.expect("20 70")
    one.type("exit 3\r")
    assert one.wait() == 3


def test_ctrl_c_goes_to_the_program_in_the_box(screen: Callable[..., Screen]) -> None:
    one = screen("run", "-it", "--rm", "alpine")
    # a command of its own says ready: busybox's shell loses a SIGINT that comes while it forks
    one.type("sh -c 'echo rea\"\"dy; exec sleep 100'\r")
    one.expect("ready")
    one.type("\x03")
    one.type("echo status=$?\r")
    one.expect("status=130")
    one.type("exit\r")
    assert one.wait() == 130 or one.process.returncode == 0


def test_detach_and_attach_twice_and_two_at_once(
    daemon: Daemon, screen: Callable[..., Screen]
) -> None:
    first = screen("run", "-it", "--name", "ed", "alpine")
    first.type("x=kept; echo rea''dy\r")
    first.expect("ready")
    first.type("\x10\x11")
    first.expect("detached from ed")
    assert first.wait() == 0
    assert daemon.request("GET", "/boxes/ed")["status"] == "running"
    second, third = screen("attach", "ed"), screen("attach", "ed")
    for one in (second, third):
        one.expect("ctrl-p ctrl-q detaches")
        one.expect("ready")  # what was printed before
    second.type("echo $x-$x\r")
    for one in (second, third):
        one.expect("kept-kept")
    third.type("\x10\x11")
    assert third.wait() == 0
    second.type("exit 4\r")
    assert second.wait() == 4


def test_detach_keys_can_be_chosen(daemon: Daemon, screen: Callable[..., Screen]) -> None:
    one = screen("run", "-it", "--name", "ed", "--detach-keys", "ctrl-],d", "alpine")
    one.type("echo rea''dy\r")
    one.expect("ready")
    one.type("\x1dd")
    one.expect("detached")
    assert one.wait() == 0


def test_a_full_screen_program_that_is_left_leaves_a_clean_terminal(
    screen: Callable[..., Screen],
) -> None:
    one = screen("run", "-it", "--name", "ed", "alpine")
    one.type("printf '\\033[?1049h\\033[?25l\\033[?1000hfull'\r")
    one.expect("\x1b[?1000h")
    one.type("\x10\x11")
    one.expect("\x1b[?25h")
    one.expect("\x1b[?1049l")
    assert one.wait() == 0


def test_killing_the_daemon_changes_nothing_in_an_attached_terminal(
    daemon: Daemon, screen: Callable[..., Screen]
) -> None:
    one = screen("run", "-it", "--name", "ed", "alpine")
    one.type("echo rea''dy\r")
    one.expect("ready")
    daemon.kill()
    one.type("echo still''here\r")
    one.expect("stillhere")
    daemon.start()
    one.type("exit 7\r")
    assert one.wait() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_client_that_is_ended_by_a_signal_puts_the_terminal_back(
    daemon: Daemon, screen: Callable[..., Screen], number: signal.Signals
) -> None:
    one = screen("run", "-it", "--name", "ed", "alpine")
    one.type("echo rea''dy\r")
    one.expect("ready")
    assert one.raw()
    one.process.send_signal(number)
    assert one.wait() == -number
    assert daemon.request("GET", "/boxes/ed")["status"] == "running"


def test_a_box_that_is_killed_puts_the_terminal_back(
    daemon: Daemon, screen: Callable[..., Screen]
) -> None:
    one = screen("run", "-it", "--name", "ed", "alpine")
    one.type("echo rea''dy\r")
    one.expect("ready")
    daemon.run("kill", "ed")
    assert one.wait() == 137


def test_exec_gives_a_second_terminal(daemon: Daemon, screen: Callable[..., Screen]) -> None:
    daemon.run("run", "-d", "--name", "web", "alpine", "sleep", "100")
    one = screen("exec", "-it", "web", "sh", rows=31, cols=91)
    one.type("tty; stty size\r")
    one.expect("/dev/pts/")
    one.expect("31 91")
    one.type("exit 8\r")
    assert one.wait() == 8


def test_a_box_is_recorded_from_its_start_and_the_recording_plays(
    daemon: Daemon, screen: Callable[..., Screen], tmp_path: Path
) -> None:
    path = tmp_path / "demo.cast"
    daemon.run("create", "-it", "--name", "film", "alpine", "sh", "-c", "echo take 1; exec sh")
    one = screen("record", "--input", "film", str(path), rows=30, cols=90)
    one.expect("take 1")
    one.type("stty size; echo é\r")
    one.expect("30 90")
    one.resize(20, 70)
    one.type(SIZED)
    one.expect("20 70")
    one.type("\x10\x11")
    one.expect("seconds recorded")
    assert one.wait() == 0
    assert daemon.request("GET", "/boxes/film")["status"] == "running"
    with path.open() as lines:
        recording = cast.read(lines, "demo")
    assert (recording.columns, recording.rows, recording.title) == (
        90, 30, "film: sh -c echo take 1; exec sh",
    )  # fmt: skip
    codes = [event.code for event in recording.events]
    assert codes[0] == cast.OUTPUT
    assert cast.INPUT in codes
    assert [event.data for event in recording.events if event.code == cast.RESIZE] == ["70x20"]
    assert daemon.run("replay", str(path)).startswith("take 1\r\n")
    two = screen("replay", "--speed", "16", str(path), rows=30, cols=90)
    two.expect("20 70")
    two.expect("the end")
    assert two.wait() == 0
    assert "is there already" in daemon.boxy("record", "film", str(path)).stderr


def test_a_recording_in_a_scripts_background_is_ended_by_sigint(
    daemon: Daemon, tmp_path: Path
) -> None:
    path = tmp_path / "watch.cast"
    daemon.run("run", "-dt", "--name", "film", "alpine", "sh", "-c", "echo take 1; sleep 600")
    ours = " ".join(daemon.command("record", "-q", "film", str(path)))
    script = (
        f"{ours} & sleep 0.2; until grep -q take {path}; do sleep 0.1; done; kill -INT $!; wait $!"
    )
    done = subprocess.run(["bash", "-c", script], env=daemon.env, capture_output=True, timeout=50,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0
    assert "seconds recorded" in done.stderr
