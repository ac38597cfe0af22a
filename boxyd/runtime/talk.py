"""What a new process says to who made it, from its birth until its command runs.

Constraint: runs in the midwife and, for further commands, in the shim; see `report` for the form
of the words.
"""

from __future__ import annotations

import errno
import os

from boxyd.runtime import report
from boxyd.runtime.notes import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from boxy_core.errors import StartFailed
    from boxyd.runtime.birth import Cgroup, Running


def converse(sync: socket.socket, cgroup: Cgroup, running: Running) -> None:
    """Serve the new process until it became its command.  Raises StartFailed."""
    talk = Talk(sync, cgroup, running)
    while not talk.ended:
        try:
            talk.hear()
        except TimeoutError:
            text = f"the command did not run within {report.TIMEOUT:g} s"
            raise report.step_failed("init", errno.ETIMEDOUT, text) from None
    talk.check()


def times(word: bytes) -> dict[str, float]:
    """The milliseconds of each step from the new process's words `step=ms ...`."""
    took: dict[str, float] = {}
    for part in word.split():
        name, _, ms = part.decode().partition("=")
        took[name] = round(took.get(name, 0.0) + float(ms), 3)
    return took


class Talk:
    """What a new process says until its command runs; the end of the connection is the end.

    `exec` comes right before execve(2): an end without it is a process that was killed.
    """

    def __init__(self, sync: socket.socket, cgroup: Cgroup, running: Running) -> None:
        self.sync, self._cgroup, self._running = sync, cgroup, running
        self._before = cgroup.oom_kills()
        self._ready = self.born = False
        self._error: StartFailed | None = None
        self.ended = False

    def hear(self) -> None:
        """Receive and answer one word.  Raises OSError."""
        word, fds = report.receive(self.sync)
        if not word:
            self.ended = True
        elif word[:4] == b"exec":
            self._ready = True
            self._running.took = times(word[4:])
        elif word == b"terminal" and fds:
            self._running.take_master(fds.pop())
        elif word == b"born" and fds:
            self.born = True
            self._running.pidfd = fds.pop()
            self._running.pid = pid_of(self._running.pidfd)
        elif word == b"cgroup":
            self._cgroup.move(self._running.pid)
            self.sync.send(b"moved")
        elif word[:1] == b"!":
            self._error = self._error or report.failure(word)
        for fd in fds:
            os.close(fd)

    def check(self) -> None:
        """Raises StartFailed unless the command runs (or ran)."""
        if self._error:
            raise self._error
        if self._ready:
            return
        if self._cgroup.oom_kills() > self._before:
            text = "its memory limit is too small to start anything"
            raise report.step_failed("init", errno.ENOMEM, text)
        raise report.step_failed("init", 0, "the new process was killed before its command ran")


def pid_of(pidfd: int) -> int:
    """The pid, as we see it, of what the pidfd stands for (proc(5), fdinfo)."""
    for line in read(f"/proc/self/fdinfo/{pidfd}").splitlines():
        if line.startswith(b"Pid:"):
            return int(line[4:])
    return -1
