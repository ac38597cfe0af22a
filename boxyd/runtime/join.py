"""A further command in a running box: it joins everything that the box is, or does not run.

Two processes, because a process never changes its own pid namespace: the joiner enters the
box's cgroups and namespaces and then makes the command's process inside, as the shim's own
child (CLONE_PARENT), so that the shim waits for it like for the main one.

Constraint: neither may ever be seen or traced from inside before execve: not dumpable, hidden
in the host's pid namespace until all is ready (CVE-2016-9962).
"""

from __future__ import annotations

import os
import signal

from boxyd.runtime import birth, command, init, report, talk
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps import Inside, Step, User
from boxyd.runtime.steps.kernel import open_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Any, NoReturn

TERM = "xterm-256color"


class Joining:
    """A command on its way into the box; `hear` until `ended`, then `finish`.

    Raises StartFailed at once when the joiner cannot even be made.
    """

    def __init__(
        self,
        plan: dict[str, Any],
        steps: Sequence[Step],
        cgroup: birth.Cgroup,
        box: int,
        spec: dict[str, Any],
    ) -> None:
        self.running = birth.Running(bool(spec["tty"]))
        ours, theirs = report.pair()
        self.joiner = -1
        """the joiner's pidfd"""
        lent: list[int] = []
        try:
            tasks = cgroup.open_tasks()
            lent += tasks
            stdio = self._make_stdio(plan, spec)
            lent += [fd for fd in stdio if fd >= 0]
            pid, self.joiner, move = cgroup.clone(0)
            if pid == 0:
                ours.close()
                work = init.Birth(theirs, _steps(steps, spec), stdio, tasks)
                _joiner(plan, spec, work, box)
            self.running.pid = pid
            self._admit(plan, cgroup, pid, move)
            ours.send(b"go")
        except OSError as error:
            self._abandon(ours)
            raise report.step_failed("join", error.errno or 0, str(error.strerror)) from None
        finally:
            theirs.close()
            for fd in lent:
                os.close(fd)
        self.talk = talk.Talk(ours, cgroup, self.running)

    def _make_stdio(self, plan: dict[str, Any], spec: dict[str, Any]) -> list[int]:
        if spec["tty"]:
            return []
        owner = plan["id_map"][0][1] if plan["id_map"] else 0
        theirs, ours = birth.pipes(bool(spec["stdin"]), owner)
        self.running.stdin, self.running.stdout, self.running.stderr = ours
        return theirs

    def _admit(self, plan: dict[str, Any], cgroup: birth.Cgroup, pid: int, move: bool) -> None:
        if move:
            cgroup.move(pid)
        birth.set_limits(plan, pid, self.running.host.notices)
        birth.forget_oom_grace(pid)

    def _abandon(self, ours: socket.socket) -> None:
        ours.close()
        if self.joiner >= 0:
            birth.kill(self.joiner)
            self.reap()
        self.running.close()

    def reap(self) -> None:
        """The joiner has ended, or will any moment."""
        os.waitid(os.P_PIDFD, self.joiner, os.WEXITED)
        os.close(self.joiner)
        self.joiner = -1

    def finish(self) -> birth.Running:
        """The command that runs now.  Raises StartFailed; then nothing is left of it.

        The joiner is still to be reaped, when its pidfd says so.
        """
        self.talk.sync.close()
        try:
            self.talk.check()
        except Exception:
            if self.talk.born:
                os.waitid(os.P_PIDFD, self.running.pidfd, os.WEXITED)
            self.running.close()
            raise
        return self.running


def _steps(steps: Sequence[Step], spec: dict[str, Any]) -> list[Step]:
    """The steps that a further command takes, as its own user."""
    joining = [step for step in steps if step.joins]
    if spec.get("user"):
        joining = [
            User(name=spec["user"], keep=step.keep) if isinstance(step, User) else step
            for step in joining
        ]
    return joining


def _joiner(plan: dict[str, Any], spec: dict[str, Any], work: init.Birth, box: int) -> NoReturn:
    """Enter the box; make the command's process there; tell the shim its pidfd; end."""
    try:
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        init.enter_cgroup(work.sync, work.tasks)
        if work.sync.recv(16) != b"go":
            os._exit(125)
        flags = 0
        joined = plan["join"]["namespaces"] if plan["join"] else []
        for name in (*plan["namespaces"], *joined):
            flags |= sys_.NAMESPACES[name]
        command.forget_imports()
        sys_.setns(box, flags)
        if plan["id_map"]:
            init.become_root()
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
        pid, pidfd = sys_.clone3(sys_.CLONE_PARENT, exit_signal=0)
        if pid == 0:
            _command(plan, spec, work)
        report.send(work.sync, b"born", [pidfd])
        work.sync.close()  # the shim waits for its end, not for ours, which takes longer
    except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
        report.fail(work.sync, "join", error)
    os._exit(0)


def _command(plan: dict[str, Any], spec: dict[str, Any], work: init.Birth) -> NoReturn:
    """In the box's pid namespace at last: terminal or pipes, folder, less power, execve."""
    at = ["join"]
    try:
        init.die_with_parent(work.sync)
        os.setsid()
        os.umask(0o022)
        inside = Inside(bool(spec["tty"]))
        inside.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        env = {**plan["process"]["env"], **spec["env"]}
        at[0] = "terminal"
        if spec["tty"]:
            env.setdefault("TERM", TERM)
            inside.master, inside.slave = open_terminal(inside)
            init.take_terminal(inside, work.sync, spec["rows"], spec["cols"], control=True)
        else:
            init.take_pipes(work.stdio)
        at[0] = "workdir"
        command.enter(spec.get("workdir") or plan["process"]["cwd"], make=False)
        process = {"args": spec["command"], "env": env, "ulimits": plan["ulimits"]}
        init.finish(inside, work.sync, work.steps, process, at, reaper=False)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the shim must hear of it
        report.fail(work.sync, at[0], error)
    os._exit(125)
