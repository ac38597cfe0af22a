"""The new process, from clone3 to execve: it makes the box around itself, then gives up power.

Constraints: between `go` and `pivot` it is root only in its own user namespace; it opens no
path of the host's; after `pivot` nothing can be imported.  It dies with its shim.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import stat
import struct
import termios
import time

from boxyd.runtime import command, report
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps import Inside, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Any, NoReturn


class Birth:
    """What the shim hands to a new process: its end of the socket, its descriptors, its work.

    `stdio` are the three pipe ends, or none for a terminal; `tasks` are the open v1 `tasks`
    files by which it moves itself into its cgroup.
    """

    def __init__(
        self, sync: socket.socket, steps: Sequence[Step], stdio: Sequence[int], tasks: Sequence[int]
    ) -> None:
        self.sync, self.steps, self.stdio, self.tasks = sync, steps, stdio, tasks


def main(plan: dict[str, Any], birth: Birth) -> NoReturn:
    """Become the box's main process; a failure is told to the shim and ends this process."""
    at = ["init"]
    try:
        _begin(plan, birth)
        inside = Inside(plan["terminal"])
        rest = list(birth.steps)
        while rest and not rest[0].joins:
            step = rest.pop(0)
            at[0] = step.do
            if step.do == "pivot":
                command.forget_imports()
            began = time.monotonic()
            step.apply(inside)
            at.append(f"{step.do}={1e3 * (time.monotonic() - began):.3f}")
        process = plan["process"]
        at[0] = "terminal" if plan["terminal"] else "stdio"
        if plan["terminal"]:
            control = not process["init"]
            take_terminal(inside, birth.sync, plan["rows"], plan["cols"], control=control)
        else:
            take_pipes(birth.stdio)
        at[0] = "workdir"
        command.enter(process["cwd"], make=True)
        process = {**process, "ulimits": plan["ulimits"]}
        finish(inside, birth.sync, rest, process, at, reaper=process["init"])
    except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
        report.fail(birth.sync, at[0], error)
    os._exit(125)


def finish(
    inside: Inside,
    sync: socket.socket,
    steps: Sequence[Step],
    process: dict[str, Any],
    at: list[str],
    *,
    reaper: bool,
) -> NoReturn:
    """Take the steps that drop power and become the command.

    `at` is the name of what is being done, and how long each step before took.

    The filter goes on last, right before execve: it may not even allow what comes before.
    """
    filters = [step for step in steps if step.do == "seccomp"]
    if not any(step.do == "no_new_privs" for step in steps):
        # Without that promise only CAP_SYS_ADMIN may load a filter (seccomp(2)): while it is there.
        before = [step for step in steps if step.do == "keyring"]
        rest = [step for step in steps if step not in (*before, *filters)]
        steps, filters = [*before, *filters, *rest], []
    for step in steps:
        if step not in filters:
            at[0] = step.do
            step.apply(inside)
    env = dict(process["env"])
    env.setdefault("HOME", inside.home or "/")
    die_with_parent(sync)
    command.reset_signals()

    def last() -> None:
        at[0] = "ulimit"
        for name, limits in process["ulimits"].items():
            resource.setrlimit(getattr(resource, "RLIMIT_" + name.upper()), tuple(limits))
        at[0] = "seccomp"
        sync.send(" ".join(["exec", *at[1:]]).encode())
        for step in filters:
            step.apply(inside)
        at[0] = "exec"
        if reaper:
            _stay_as_reaper(sync, terminal=inside.terminal)

    at[0] = "exec"
    command.execute(process["args"], env, last)


def die_with_parent(sync: socket.socket) -> None:
    """PR_SET_PDEATHSIG, said anew after each change of ids, which clears it (prctl(2)); if the
    shim has died before, nobody holds the other end of the socket."""
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    poll = select.poll()
    poll.register(sync, 0)
    if poll.poll(0):
        os._exit(125)


def _begin(plan: dict[str, Any], birth: Birth) -> None:
    """Enter the cgroup, wait until our ids are mapped, become root of the new namespaces."""
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    enter_cgroup(birth.sync, birth.tasks)
    if birth.sync.recv(16) != b"go":
        os._exit(125)
    if plan["id_map"]:
        become_root()
    die_with_parent(birth.sync)
    os.setsid()
    os.umask(0o022)
    if "cgroup" in plan["namespaces"]:
        sys_.unshare(sys_.CLONE_NEWCGROUP)


def enter_cgroup(sync: socket.socket, tasks: Sequence[int]) -> None:
    """Move ourselves into the v1 cgroups: a lone thread that moves itself needs no lock.

    Kernels before 5.16 check who writes instead of who opened: then the shim moves us.
    """
    try:
        for fd in tasks:
            os.write(fd, b"0")
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.ENOSPC}:
            raise
        sync.send(b"cgroup")
        if sync.recv(16) != b"moved":
            os._exit(125)


def become_root() -> None:
    """Root of the user namespace that we are in."""
    os.setresgid(0, 0, 0)
    os.setgroups([])
    os.setresuid(0, 0, 0)


def take_pipes(stdio: Sequence[int]) -> None:
    """The pipes become 0, 1 and 2; no stdin is the box's own null device."""
    stdin, stdout, stderr = stdio
    if stdin < 0:
        stdin = _nothing()
    command.place_stdio(stdin, stdout, stderr)


def _nothing() -> int:
    """The box's null device; a box may have put something else there, on which whoever opens it
    waits for ever: then the end of an empty pipe."""
    try:
        fd = os.open("/dev/null", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
            os.set_blocking(fd, True)
            return fd
        os.close(fd)
    except OSError:
        pass
    read, write = os.pipe2(os.O_CLOEXEC)
    os.close(write)
    return read


def take_terminal(
    inside: Inside, sync: socket.socket, rows: int, cols: int, *, control: bool
) -> None:
    """Make the terminal ours and give its other end to the shim.

    `control`: it becomes our controlling terminal; a reaper leaves that to its child.
    """
    fcntl.ioctl(inside.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
    if control:
        fcntl.ioctl(inside.slave, termios.TIOCSCTTY, 0)
    command.place_stdio(inside.slave, inside.slave, inside.slave)
    report.send(sync, b"terminal", [inside.master])
    os.close(inside.master)
    os.close(inside.slave)


# ------------------------------------------------------------------------ the reaping PID 1


def _stay_as_reaper(sync: socket.socket, *, terminal: bool) -> None:
    """Stay as PID 1, which hands signals on and reaps orphans; returns in the command's process.

    All power has been dropped and the filter is on; what is left here is a loop.
    """
    signals = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    child = os.fork()
    if child == 0:
        os.setsid()
        if terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    sync.close()
    sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)  # where the pid namespace is the host's
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    command.place_stdio(null, null, null)
    os.closerange(3, 64)
    sys_.set_name("boxy-init")
    sys_.set_title("boxy-init")
    _reap(child, signals)


def _reap(child: int, signals: set[signal.Signals]) -> NoReturn:
    """Until the command ends: its status is ours."""
    while True:
        number = signal.sigwaitinfo(signals).si_signo
        if number != signal.SIGCHLD:
            _hand_on(child, number)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                os._exit(125)
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
            if pid == 0:
                break


def _hand_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return
