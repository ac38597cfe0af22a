"""A box that shares namespaces with another one, and the clocks of one that has its own.

Nobody enters a pid namespace but at birth, and what is to be owned by the other box's user
namespace must be made by somebody in it.  So the shim forks a helper, which enters the other
box's namespaces and there makes the box's first process as the shim's own child (CLONE_PARENT);
the helper is the shim's child, too, which waits for its end.

Constraint: the other box is hostile, too: the helper is not dumpable, opens nothing by a path
of that box's but /dev/shm, and is in its namespaces for the length of one clone3.
"""

from __future__ import annotations

import array
import os
import signal
import socket
import time

from boxyd.runtime import command, report
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.notes import start_time as start_time_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from boxyd.runtime.birth import Cgroup, Running

_PLAIN = sys_.RESOLVE_NO_SYMLINKS | sys_.RESOLVE_NO_MAGICLINKS | sys_.RESOLVE_IN_ROOT


def open_other(pid: int, start_time: int) -> int:
    """A pidfd of the other box's main process.  Raises OSError if that has ended meanwhile."""
    fd = os.pidfd_open(pid)
    try:
        if start_time_of(pid) == start_time:
            return fd
    except OSError:
        pass
    os.close(fd)
    raise OSError(3, "the box whose namespaces are to be shared has ended")


def clone(
    plan: dict[str, Any],
    flags: int,
    cgroup: Cgroup,
    tasks: Sequence[int],
    ours: socket.socket,
    theirs: socket.socket,
    running: Running,
    first: Callable[[], NoReturn],
) -> None:
    """Make the first process, which calls `first`, in the other box's namespaces.

    The helper that did it is left to our parent, as `running.helper`.  Raises OSError, StartFailed.
    """
    other = open_other(plan["join"]["pid"], plan["join"]["start_time"])
    entered = 0
    for name in plan["join"]["namespaces"]:
        entered |= sys_.NAMESPACES[name]
    try:
        pid, running.helper, move = cgroup.clone(sys_.CLONE_PARENT)
        if pid == 0:
            ours.close()
            _help(other, entered, flags, tasks, theirs, first)
        if move:
            cgroup.move(pid)
        theirs.close()
        ours.send(b"go")
        _hear(ours, cgroup, pid, running)
    finally:
        os.close(other)


def _hear(ours: socket.socket, cgroup: Cgroup, helper: int, running: Running) -> None:
    """Serve the helper until the first process is born.  Raises StartFailed."""
    ours.settimeout(report.TIMEOUT)
    while True:
        word, fds = report.receive(ours)
        if word == b"cgroup":
            cgroup.move(helper)
            ours.send(b"moved")
        elif word == b"born" and fds:
            running.pidfd = fds[0]
            running.pid = _pid_of(fds[0])
            return
        elif word[:1] == b"!":
            raise report.failure(word)
        else:
            raise report.step_failed("join", 0, "the helper that enters the other box died")


def _pid_of(pidfd: int) -> int:
    with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                return int(line[4:])
    return -1


def _help(
    other: int,
    entered: int,
    flags: int,
    tasks: Sequence[int],
    sync: socket.socket,
    first: Callable[[], NoReturn],
) -> NoReturn:
    """Enter, make the first process there, tell the shim its pidfd, end."""
    from boxyd.runtime import init

    try:
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        init.enter_cgroup(sync, tasks)
        if sync.recv(16) != b"go":
            os._exit(125)
        sys_.setns(other, entered)
        os.close(other)
        if entered & sys_.CLONE_NEWUSER:
            init.become_root()
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
        pid, pidfd = sys_.clone3(flags | sys_.CLONE_PARENT, exit_signal=0)
        if pid == 0:
            first()
        report.send(sync, b"born", [pidfd])
    except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
        report.fail(sync, "join", error)
    os._exit(0)


def shared_memory(pid: int, start_time: int) -> int:
    """A copy of the mount at /dev/shm of the box whose main process this is.

    Looked up by a child in that box's mount namespace, without following a link.
    """
    other = open_other(pid, start_time)
    ours, theirs = socket.socketpair()
    child, pidfd = sys_.clone3(0)
    if child == 0:
        try:
            sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
            command.forget_imports()
            sys_.setns(other, sys_.CLONE_NEWNS)
            root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            shm = sys_.openat2(root, "/dev/shm", os.O_PATH | os.O_DIRECTORY, _PLAIN)
            rights = array.array("i", [sys_.open_tree("", directory=shm)])
            theirs.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            theirs.send(f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(0)
    os.close(other)
    theirs.close()
    try:
        word, fds = report.receive(ours)
    finally:
        ours.close()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    if not fds:
        number, _, text = word.decode().partition(" ")
        raise OSError(int(number or 0), text or "the helper died", "/dev/shm")
    return fds[0]


def own_clocks() -> None:
    """Have the next children live in a time namespace whose clocks begin now (time_namespaces(7)).

    The shim itself stays in the host's.  Offsets can be set until the first process enters.
    """
    sys_.unshare(sys_.CLONE_NEWTIME)
    lines = []
    for name, clock in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        seconds = int(time.clock_gettime(clock))
        lines.append(f"{name} {-seconds} 0\n")
    with open("/proc/self/timens_offsets", "wb", buffering=0) as file:
        file.write("".join(lines).encode())
