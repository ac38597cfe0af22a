"""The outer side of making a box: prepare, clone, map ids, let go, hear how it went.

Constraint: runs in the shim's midwife, single-threaded, in the host's namespaces.  It may
wait for the new process, because nothing else is the shim's business yet.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import socket
import time

from boxyd.runtime import init, netns, report, share, stage
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.notes import read
from boxyd.runtime.steps import BY_NAME, Host, Step, from_json
from boxyd.runtime.talk import converse, pid_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from boxyd.runtime.cradle import Cradle

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_CGROUP_BIRTH = {errno.EOPNOTSUPP, errno.EBUSY, errno.ENOSYS, errno.EINVAL, errno.E2BIG}


class Running:
    """A command that runs: its pid, its pidfd, and our ends of its terminal or pipes.

    Without a terminal `stdin` is -1 unless it was asked for; with one, `stdout` is the
    terminal's master end, `stderr` its slave, held open so that reading never ends early.
    """

    __slots__ = ("helper", "host", "pid", "pidfd", "stderr", "stdin", "stdout", "terminal", "took")

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.pid = self.pidfd = -1
        self.helper = -1
        """who made the process, if that took another one: its pidfd, to be waited for"""
        self.stdin = self.stdout = self.stderr = -1
        self.host = Host(0, -1)
        self.took: dict[str, float] = {}

    def take_master(self, master: int) -> None:
        """The terminal's other end has come; keep a slave end, too (TIOCGPTPEER)."""
        self.stdin = self.stdout = master
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        self.stderr = fcntl.ioctl(master, 0x5441, flags)

    def close(self) -> None:
        """Close what is still open."""
        for fd in {self.pidfd, self.helper, self.stdin, self.stdout, self.stderr} - {-1}:
            os.close(fd)
        self.host.close()


class Wires:
    """What came with the launch for the box's network: descriptors, -1 for none."""

    __slots__ = ("netns", "socket")

    def __init__(self, request: dict[str, Any], fds: list[int]) -> None:
        """Take them from the end of `fds`, where the daemon put them."""
        self.netns = fds.pop() if request.get("netns") else -1
        self.socket = fds.pop() if request.get("network") else -1

    def lend(self, host: Host) -> None:
        """They are the box's now, and closed in the shim once it runs."""
        host.network, host.netns = self.socket, self.netns
        for fd in (self.socket, self.netns):
            if fd >= 0:
                host.keep(fd)


class Cgroup:
    """How a new process of this box gets into its cgroup."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.tasks: list[str] = plan["tasks"]
        self.procs: list[str] = plan["procs"]
        self.into: str = plan["into"]
        self.oom: str = plan["oom"]

    def open_tasks(self) -> list[int]:
        """Open files into which the new process writes "0" to move itself."""
        return [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in self.tasks]

    def clone(self, flags: int) -> tuple[int, int, bool]:
        """clone3 with birth in the v2 cgroup: (pid, pidfd, whether the pid must be moved)."""
        end = 0 if flags & sys_.CLONE_PARENT else signal.SIGCHLD
        if not self.into:
            return *sys_.clone3(flags, exit_signal=end), bool(self.procs and not self.tasks)
        folder = self.open_into()
        try:
            return *sys_.clone3(flags, cgroup=folder, exit_signal=end), False
        except OSError as error:
            if error.errno not in _NO_CGROUP_BIRTH:
                raise
            return *sys_.clone3(flags, exit_signal=end), True
        finally:
            os.close(folder)

    def open_into(self) -> int:
        """The v2 cgroup's folder, for `go_on`; -1: there is none."""
        return os.open(self.into, FOLDER) if self.into else -1

    def go_on(self, into: int) -> bool:
        """Like `clone`, for a process that goes on as the new one (`syscalls.go_on`).

        Returns in the new one: whether it must be moved.  Raises OSError; then there is none.
        """
        if into < 0:
            sys_.go_on(sys_.CLONE_PARENT)
            return bool(self.procs and not self.tasks)
        try:
            sys_.go_on(sys_.CLONE_PARENT, cgroup=into)
        except OSError as error:
            if error.errno not in {*_NO_CGROUP_BIRTH, errno.EACCES}:
                raise
            sys_.go_on(sys_.CLONE_PARENT)
            return True
        return False

    def move(self, pid: int) -> None:
        """Write the pid into each hierarchy: slower, and possible everywhere."""
        for path in self.procs:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)

    def oom_kills(self) -> int:
        """How often the kernel killed a process of the box for memory; 0 when unknown."""
        try:
            for line in read(self.oom).splitlines():
                name, _, count = line.partition(b" ")
                if name == b"oom_kill":
                    return int(count)
        except (OSError, ValueError):
            pass
        return 0


def pipes(stdin: bool, owner: int) -> tuple[list[int], list[int]]:
    """(the command's three ends, ours); without `stdin` the first of each is -1.

    They belong to the box's root, or nobody inside could open /dev/stdout anew.
    """
    theirs, ours = [-1], [-1]
    if stdin:
        read, write = os.pipe2(os.O_CLOEXEC)
        theirs, ours = [read], [write]
    for _ in ("stdout", "stderr"):
        read, write = os.pipe2(os.O_CLOEXEC)
        theirs.append(write)
        ours.append(read)
    for fd in theirs:
        if fd >= 0 and owner:
            os.fchown(fd, owner, owner)
    return theirs, ours


class Ahead:
    """What was made before the box was asked for: by first id what a box of these ids needs, and
    a process that waits to become the likeliest box's first (None: there is none)."""

    __slots__ = ("cradle", "message", "spaces")

    def __init__(self, spaces: dict[int, stage.Ahead], cradle: Cradle | None = None) -> None:
        self.spaces, self.cradle = spaces, cradle
        self.message = b""
        """the launch message, if the whole plan is in it"""

    def cradle_for(self, plan: dict[str, Any], steps: Sequence[Step]) -> Cradle | None:
        """The process that waits, if this box can be made of it, which now reads the plan, too;
        otherwise it is ended."""
        if self.cradle is None:
            return None
        if not self.message or not self.cradle.fits(plan, steps):
            self.cradle.close()
            return None
        self.cradle.offer(self.message)
        return self.cradle


def start(
    plan: dict[str, Any],
    cgroup: Cgroup,
    steps: Sequence[Step],
    meanwhile: Callable[[Running], None],
    wires: Wires,
    ahead: Ahead,
    waits: Callable[[], None] | None = None,
) -> Running:
    """Make the box and start its main process, our parent's child.  Raises StartFailed; then
    nothing is left but a dead child for our parent to wait for.

    `meanwhile` is called while the new process is busy with the box; of what was made `ahead`
    that for this box's ids is used (and the rest left to our end: to let go of a mount takes
    milliseconds).  `waits` returns when the cgroup is there.
    """
    host = Host(plan["id_map"][0][1] if plan["id_map"] else 0, -1)
    wires.lend(host)
    cradle = ahead.cradle_for(plan, steps)
    host.waits = _waiting(host, cradle, waits)
    running = Running(plan["terminal"])
    running.host = host
    began = time.monotonic()
    lent: list[int] = []
    sync: socket.socket | None = None
    try:
        _prepare(plan, late_of(steps) if cradle else steps, host, ahead)
        prepared = time.monotonic()
        if not plan["terminal"]:
            lent, (running.stdin, running.stdout, running.stderr) = pipes(plan["stdin"], host.base)
        host.await_cgroup()
        tasks = cgroup.open_tasks()
        host.kept += tasks
        if cradle:
            sync = _bear(cradle, plan, cgroup, running, (late_of(steps), lent, tasks))
        if cradle and sync is None:
            _prepare(plan, [step for step in steps if step.ahead()], host, ahead)
        sync = sync or _clone(plan, cgroup, running, (steps, lent, tasks))
        sync.settimeout(report.TIMEOUT)
        sync.send(b"go")
        admitted = time.monotonic()
        meanwhile(running)
        converse(sync, cgroup, running)
        running.took = {
            "prepare": round(1e3 * (prepared - began), 3),
            "clone": round(1e3 * (admitted - prepared), 3),
            "inside": round(1e3 * (time.monotonic() - admitted), 3),
            **running.took,
        }
    except OSError as error:
        _undo(running)
        text = f"{error.strerror or error}"
        raise report.step_failed("clone", error.errno or 0, text) from None
    except BaseException:
        _undo(running)
        raise
    finally:
        for fd in lent:
            if fd >= 0:
                os.close(fd)
        if sync is not None:
            sync.close()
    return running


def _waiting(
    host: Host, cradle: Cradle | None, waits: Callable[[], None] | None
) -> Callable[[], None]:
    """What returns when the cgroup is there.  From then on the daemon has time for the network,
    which is there already where the process is."""

    def wait() -> None:
        if waits is not None:
            waits()
        if cradle is not None:
            _tell_network(host, cradle.pid)

    return wait


def _tell_network(host: Host, pid: int) -> None:
    """Have the daemon connect the network of that process, if it is to.  Raises OSError."""
    if host.network >= 0:
        netns.tell(host.network, pid)


def late_of(steps: Sequence[Step]) -> list[Step]:
    """Those that are not made ahead."""
    return [step for step in steps if not step.ahead()]


def _prepare(plan: dict[str, Any], steps: Sequence[Step], host: Host, ahead: Ahead) -> None:
    """Everything that is made before the clone.  Raises StartFailed."""
    name = "user namespace"
    try:
        made = ahead.spaces.pop(host.base, None)
        if made is not None and made.id_map == plan["id_map"]:
            host.userns, host.dev = host.keep(made.userns), made.dev
        elif plan["id_map"] and host.userns < 0:
            host.userns = host.keep(stage.user_namespace(plan["id_map"]))
        for step in steps:
            name = step.do
            step.prepare(host)
    except OSError as error:
        about = f" ({error.filename})" if error.filename else ""
        text = f"{error.strerror or error}{about}"
        raise report.step_failed(name, error.errno or 0, text) from None


def _bear(
    cradle: Cradle,
    plan: dict[str, Any],
    cgroup: Cgroup,
    running: Running,
    work: tuple[Sequence[Step], list[int], list[int]],
) -> socket.socket | None:
    """Have the process that was made ahead go on as the box's first: our end of its socket.

    None if it cannot: then nothing has happened.  Raises StartFailed.
    """
    try:
        running.pidfd, sync, move = cradle.bear(*work, cgroup)
    except TimeoutError:  # it may still be born, and must not beside another
        raise
    except OSError:
        cradle.close()
        if running.host.network >= 0:  # the daemon's end of it has gone with that process
            raise
        return None
    running.pid = pid_of(running.pidfd)
    _admit(plan, cgroup, running, move)
    return sync


def _clone(
    plan: dict[str, Any],
    cgroup: Cgroup,
    running: Running,
    work: tuple[Sequence[Step], list[int], list[int]],
) -> socket.socket:
    """Fork the box's first process: our end of its socket."""
    flags = sys_.CLONE_PARENT
    for name in plan["namespaces"]:
        if name == "time":
            share.own_clocks()
        elif name != "cgroup":  # unshared by the child, once it is in its cgroup
            flags |= sys_.NAMESPACES[name]
    ours, theirs = report.pair()
    birth = init.Birth(theirs, *work)
    try:
        with netns.entered(running.host.netns):
            move = _fork(plan, flags, cgroup, running, birth, ours)
        _admit(plan, cgroup, running, move)
        if "user" in plan["namespaces"]:
            text = "".join(f"{first} {base} {count}\n" for first, base, count in plan["id_map"])
            stage.write_maps(running.pid, text)
        _tell_network(running.host, running.pid)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours


def _fork(
    plan: dict[str, Any],
    flags: int,
    cgroup: Cgroup,
    running: Running,
    birth: init.Birth,
    ours: socket.socket,
) -> bool:
    """Whether the new process still has to be moved into its cgroup."""
    if plan["join"]:
        tasks, birth.tasks = birth.tasks, []
        share.clone(
            plan, flags, cgroup, tasks, ours, birth.sync, running, lambda: init.main(plan, birth)
        )
        return False
    pid, pidfd, move = cgroup.clone(flags)
    if pid == 0:
        ours.close()
        init.main(plan, birth)
    running.pid, running.pidfd = pid, pidfd
    return move


def _admit(plan: dict[str, Any], cgroup: Cgroup, running: Running, move: bool) -> None:
    """What only the host's root can do for any new process: cgroup and limits."""
    if move:
        cgroup.move(running.pid)
    set_limits(plan, running.pid, running.host.notices)
    forget_oom_grace(running.pid)


def set_limits(plan: dict[str, Any], pid: int, notices: list[str]) -> None:
    """The process's limits: the usual ones as far as the host lets, those asked for, or not.

    Raises StartFailed.
    """
    for name, (soft, hard) in plan["rlimits"].items():
        if name not in plan["ulimits"]:
            set_limit(pid, name, soft, hard, notices)
    for name, (soft, hard) in plan["ulimits"].items():
        _make_room(pid, name, soft, hard)


def _make_room(pid: int, name: str, soft: int, hard: int) -> None:
    """Raise a hard limit to what was asked for, which only the host's root may; the process
    lowers its limits to that itself, right before execve, since less may not do for us."""
    kind = getattr(resource, "RLIMIT_" + name.upper())
    now, most = resource.prlimit(pid, kind)
    if most == resource.RLIM_INFINITY or 0 <= hard <= most:
        return
    refused: list[str] = []
    set_limit(pid, name, now, hard, refused)
    if refused:
        text = f"{name} cannot be {soft}:{hard} on this host"
        raise report.step_failed("ulimit", errno.EPERM, text)


def set_limit(pid: int, name: str, soft: int, hard: int, notices: list[str]) -> None:
    """prlimit(2) from outside: root in a user namespace may not raise a hard limit itself."""
    kind = getattr(resource, "RLIMIT_" + name.upper())
    try:
        resource.prlimit(pid, kind, (soft, hard))
    except (PermissionError, ValueError):
        notices.append(f"the limit {name} cannot be raised to {hard} on this host")


def forget_oom_grace(pid: int) -> None:
    """The daemon may be spared by the OOM killer (systemd's OOMScoreAdjust); a box is not."""
    path = f"/proc/{pid}/oom_score_adj"
    if int(read(path)) >= 0:
        return
    with open(path, "wb") as file:
        file.write(b"0")


def kill(pidfd: int) -> None:
    """SIGKILL, unless the process has ended already."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return


def _undo(running: Running) -> None:
    if running.pidfd >= 0:
        kill(running.pidfd)
        poll = select.poll()
        poll.register(running.pidfd, select.POLLIN)
        poll.poll()  # until it has ended
    running.close()
    running.host.close_all()


def steps_of(plan: dict[str, Any]) -> list[Step]:
    """The plan's steps.  Raises StartFailed for one that this version does not know."""
    try:
        return [from_json(step) for step in plan["steps"]]
    except (ValueError, TypeError, KeyError) as error:
        raise report.step_failed("plan", errno.EINVAL, str(error)) from None


def joining_steps(plan: dict[str, Any]) -> list[Step]:
    """Those steps that every further command takes, prepared.  Raises StartFailed, OSError."""
    steps = [from_json(step) for step in plan["steps"] if BY_NAME[step["do"]].joins]
    host = Host(plan["id_map"][0][1] if plan["id_map"] else 0, -1)
    for step in steps:
        step.prepare(host)
    return steps
