"""Daemons by fork, of one process that has loaded `boxyd`: ready in a tenth of the time.

Most of a daemon's start is the interpreter and its imports, the same in every test.  Each test
process has one nursery, which loads them once and then forks; what comes after, from `main` on,
is each daemon's own.  Only variables named BOXY_* may differ from the nursery's: others may
have been read while it loaded.

The wire is a SOCK_SEQPACKET: per birth one message, JSON of arguments and environment, with
three descriptors: the child's stdin, its output, and the pipe that is told its end.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

from tests.support.images import REPOSITORY

_MOST = 1 << 17
"""bytes of a message; an environment is a few thousand"""


class Newborn:
    """A forked daemon, with as much of the face of subprocess.Popen as a test needs."""

    def __init__(self, pid: int, ended: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Its exit status (negative: the signal), or None while it lives."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status.  Raises TimeoutExpired after `timeout` seconds."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(["boxyd"], timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended: its pid is reaped and may be somebody else's."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poller = select.poll()
            poller.register(self._ended, select.POLLIN)
            if poller.poll(None if timeout is None else timeout * 1000):
                told = os.read(self._ended, 16)
                os.close(self._ended)
                assert told, "the nursery died before the daemon"
                self.returncode = int(told)
        return self.returncode


def born(arguments: Sequence[str], env: Mapping[str, str], output: IO[bytes]) -> Newborn | None:
    """A daemon with these arguments; None where it must be started as a program of its own."""
    if _foreign(env) != _foreign(os.environ):
        return None
    ended, tell = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    message = json.dumps([list(arguments), dict(env)]).encode()
    door = _door(frozenset(_foreign(os.environ).items()))
    try:
        socket.send_fds(door, [message], [nothing, output.fileno(), tell])
    finally:
        os.close(tell)
        os.close(nothing)
    return Newborn(int(door.recv(16)), ended)


def _foreign(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that are not Boxy's."""
    mine = ("BOXY_", "PYTEST_CURRENT_TEST", "PYTHONPATH", "PYTHONUNBUFFERED")
    return {name: value for name, value in env.items() if not name.startswith(mine)}


@functools.lru_cache(maxsize=1)
def _door(foreign: frozenset[tuple[str, str]]) -> socket.socket:
    """The way to this test process's nursery; it ends when this socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.support.nursery", str(theirs.fileno())],
            cwd="/",
            env={**dict(foreign), "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        ).returncode = 0  # nobody waits for it: it ends with this process
    return ours


# ------------------------------------------------------------------ the nursery's own process


def _nurse(door: socket.socket) -> None:
    """Fork a daemon for each message; tell each one's end; leave when nobody can ask any more."""
    from boxyd.main import main

    gc.freeze()
    living: dict[int, tuple[int, int]] = {}  # pidfd -> (pid, the pipe to tell)
    poller = select.poll()
    poller.register(door, select.POLLIN)
    while True:
        for ready, _ in poller.poll():
            if ready != door.fileno():
                poller.unregister(ready)
                _tell(ready, *living.pop(ready))
                continue
            message, fds, _, _ = socket.recv_fds(door, _MOST, 3)
            if not message:
                return
            arguments, env = json.loads(message)
            pid = os.fork()
            if pid == 0:
                for fd in (door.detach(), *living, *(tell for _, tell in living.values())):
                    os.close(fd)
                _become(fds, env)
                sys.exit(main(arguments))
            living[watch := os.pidfd_open(pid)] = (pid, fds[2])
            poller.register(watch, select.POLLIN)
            os.close(fds[0])
            os.close(fds[1])
            door.send(str(pid).encode())


def _become(fds: Sequence[int], env: Mapping[str, str]) -> None:
    """Be a process as a supervisor starts it: session, streams and environment of its own."""
    os.setsid()
    stdin, output, tell = fds
    for fd, place in ((stdin, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    for fd in (stdin, output, tell):
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["boxyd"]


def _tell(watch: int, pid: int, tell: int) -> None:
    os.close(watch)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # the test is over
        os.write(tell, str(os.waitstatus_to_exitcode(status)).encode())
    os.close(tell)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as mine:
        _nurse(mine)
