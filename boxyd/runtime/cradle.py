"""The cradle: what a box is born into, made before anyone asks for it.

Most of a start is the kernel's work for things that are the same for every box: namespaces, a
/sys, a /dev with its terminals and shared memory, the places of /sys that are covered.  So a
midwife makes a process ahead, in new namespaces whose ids are those that the next box most
likely gets; the process makes all that, leaves the host's tree, and waits.  A launch message
whose plan wants exactly this is handed to it; any other box is made the long way.

At the launch it goes on as the box's first process (`syscalls.go_on`): born into the box's pid
namespace and cgroup, but in the same memory, so that not one page has to be copied.  What is
left of the old process sleeps and may never run again: it is stopped as soon as the new one is
there, and killed when the command runs.

Constraints: until it is the box's, it is the host's root without a user of its own there (a v2
cgroup lets only the host's root be born into it), so it makes files nowhere; it holds nothing
of the host's, or a disk could not be unmounted while a box is waited for; single-threaded.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import time

from boxy_core import wirejson
from boxyd.runtime import birth, command, init, report, stage
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps import Inside, Mask, Step, from_json, kernel
from boxyd.runtime.steps.root import STAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

MOST = 240
"""descriptors that one message can carry (SCM_MAX_FD is 253)"""
NEEDED = {"user", "mount", "net"}
_TREES = ("/sys", "/dev")


def recipe_of(plan: dict[str, Any], steps: Sequence[Step]) -> dict[str, Any] | None:
    """What of this plan could be made ahead for a next one like it; None: too little.

    Namespaces, steps, and how many covers of files the other steps will need.
    """
    names, made = plan["namespaces"], _made_ahead(plan, steps)
    usual = NEEDED.issubset(names) and "time" not in names and not plan["join"]
    if not usual or not {"sysfs", "dev"}.issubset(step["do"] for step in made):
        return None
    masks = [step for step in birth.late_of(steps) if isinstance(step, Mask)]
    return {"namespaces": names, "steps": made, "covers": sum(mask.files() for mask in masks)}


def _made_ahead(plan: dict[str, Any], steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [data for data, step in zip(plan["steps"], steps, strict=True) if step.ahead()]


class Cradle:
    """One that waits, seen by the midwife; where it could not be made, no box fits."""

    def __init__(self, recipe: dict[str, Any], base: int, dev: int) -> None:
        """`dev` is closed.  Raises OSError if there is no process."""
        self.recipe = recipe
        self.id_map = [[0, base, stage.IDS]]
        self.pid = self._pidfd = -1
        self._sock, theirs = report.pair()
        self._ready = False
        flags = sys_.CLONE_PARENT
        for name in recipe["namespaces"]:
            if name not in {"cgroup", "pid"}:
                flags |= sys_.NAMESPACES[name]
        made = [stage.scaffold(base), sys_.open_tree("/proc"), dev]
        try:
            self.pid, self._pidfd = sys_.clone3(flags, exit_signal=0)
            if self.pid == 0:
                self._sock.close()
                _lie_in_wait(theirs, recipe, made)
        finally:
            theirs.close()
            for fd in made:
                os.close(fd)
        try:
            stage.write_maps(self.pid, f"0 {base} {stage.IDS}\n")
            self._sock.settimeout(report.TIMEOUT)
            self._sock.send(b"mapped")
            self._ready = self._sock.recv(16) == b"ready"
        except OSError:
            return  # the next box says what is wrong, in words

    def fits(self, plan: dict[str, Any], steps: Sequence[Step]) -> bool:
        """Whether the box that is asked for is one that can be born here."""
        if not self._ready or plan["id_map"] != self.id_map:
            return False
        if plan["namespaces"] != self.recipe["namespaces"]:
            return False
        return not plan["join"] and _made_ahead(plan, steps) == list(self.recipe["steps"])

    def offer(self, message: bytes) -> None:
        """Show it the launch message, so that it reads the plan while we prepare."""
        try:
            self._sock.send(message)
        except OSError:
            return  # `bear` finds out

    def bear(
        self, steps: Sequence[Step], stdio: list[int], tasks: list[int], cgroup: birth.Cgroup
    ) -> tuple[int, socket.socket, bool]:
        """Have the first process born, with what was prepared for `steps`: its pidfd, our end of
        its socket, whether it must be moved into its cgroup.  Raises OSError; then there is none.
        """
        into = cgroup.open_into()
        fds: list[int] = []
        try:
            parcel = _packed([[s.prepared() for s in steps], stdio, tasks, into], fds)
            if len(fds) > MOST:
                raise OSError(0, "more descriptors than fit into one message")
            report.send(self._sock, marshal.dumps(parcel), fds)
        finally:
            if into >= 0:
                os.close(into)
        word, born = report.receive(self._sock)
        if word[:4] != b"born" or len(born) != 2:
            raise OSError(0, "the process that was made ahead died")
        signal.pidfd_send_signal(self._pidfd, signal.SIGSTOP)
        sync = socket.socket(fileno=born[1])
        sync.send(b"alone")
        return born[0], sync, word == b"born, move"

    def close(self) -> None:
        """End what is left of the process; our parent, whose child it is, waits for it."""
        if self._pidfd >= 0:
            birth.kill(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._sock.close()


# ------------------------------------------------------------------------ inside


class _Trees(Step):
    """What was made ahead is put where the box has it: a step of no plan's."""

    def __init__(self, inside: Inside, covers: list[int]) -> None:
        self.do = "ahead"  # type: ignore[misc]
        self.covers = covers
        self._trees = [(path, inside.open(path)) for path in _TREES]

    def apply(self, inside: Inside) -> None:
        """Move each with all that is mounted on it."""
        inside.covers = self.covers
        for path, mount in self._trees:
            inside.attach_own(mount, path)


def _lie_in_wait(sock: socket.socket, recipe: dict[str, Any], mounts: list[int]) -> NoReturn:
    """Make what the recipe says, wait for a launch, become the box."""
    try:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        sys_.set_title("boxy-shim (cradle)")
        if sock.recv(16) == b"mapped":
            trees = _make(recipe, *mounts)
            sock.send(b"ready")
            _be_born(sock, trees)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the midwife must hear of it
        report.fail(sock, "cradle", error)
    os._exit(0)


def _make(recipe: dict[str, Any], tree: int, proc: int, dev: int) -> _Trees:
    """Take the steps of the recipe on a tree of our own, and let the host's go.

    Only its /proc stays until the box has one: the kernel lets nobody see a process list who
    has not seen one before.
    """
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    os.umask(0o022)
    inside = Inside(terminal=False)
    sys_.make_private("/")
    sys_.move_mount(tree, STAGE)
    os.chdir(STAGE)
    sys_.move_mount(proc, "proc")
    inside.root = os.open("ahead", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for data in recipe["steps"]:
        step = from_json(data)
        if step.do == "dev":
            step.take_over({"_mount": dev})
        step.apply(inside)
    command.forget_imports()
    sys_.pivot_root(".", ".")
    sys_.umount(".")
    os.chdir("/")
    if "pid" in recipe["namespaces"]:
        sys_.unshare(sys_.CLONE_NEWPID)
    trees = _Trees(inside, kernel.covers(inside, recipe["covers"]))
    for fd in (tree, proc, dev):
        os.close(fd)
    return trees


def _be_born(sock: socket.socket, trees: _Trees) -> None:
    """Read the plan that is offered, wait for what the midwife prepared for it, go on as the
    box's first process.  Returns where we are not needed."""
    message, _ = report.receive(sock)
    if not message:
        return
    plan = wirejson.loads(message)["plan"]
    if not isinstance(plan, dict):
        return
    steps = birth.steps_of(plan)
    parcel, fds = report.receive(sock, size=1 << 18, most=MOST)
    if not parcel:
        return
    prepared, stdio, tasks, into = _unpacked(marshal.loads(parcel), fds)  # noqa: S302 - our midwife made it
    left = birth.late_of(steps)
    for step, made in zip(left, prepared, strict=True):
        step.take_over(made)
    left.insert(1, trees)  # behind the overlay, with which every plan begins
    move = birth.Cgroup(plan["cgroup"]).go_on(into)
    init.main(plan, init.Birth(_alone(sock, move), left, stdio, tasks))


def _alone(sock: socket.socket, move: bool) -> socket.socket:
    """Tell the midwife that we are born, and wait until what we were cannot run any more: our
    end of a socket that it has no copy of.

    Whatever goes wrong, we must not end before: that would wake it.  Both end with the shim, and
    we after so long that there is none any more.
    """
    try:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        ours, theirs = report.pair()
        me = os.pidfd_open(os.getpid())
        report.send(sock, b"born, move" if move else b"born", [me, theirs.fileno()])
        theirs.close()
        os.close(me)
        if ours.recv(16) == b"alone":
            return ours
    except BaseException:  # noqa: BLE001, S110 - no error is worth waking it
        pass
    time.sleep(2 * report.TIMEOUT)
    os._exit(125)


def _packed(value: Any, fds: list[int]) -> Any:
    """`value` with each descriptor, that is each int, replaced by its place in `fds`."""
    if type(value) is int:
        if value < 0:
            return value
        fds.append(value)
        return len(fds) - 1
    if isinstance(value, dict):
        return {name: _packed(inner, fds) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(inner, fds) for inner in value]
    return value


def _unpacked(value: Any, fds: list[int]) -> Any:
    """The way back."""
    if type(value) is int:
        return fds[value] if value >= 0 else value
    if isinstance(value, dict):
        return {name: _unpacked(inner, fds) for name, inner in value.items()}
    if isinstance(value, list):
        return [_unpacked(inner, fds) for inner in value]
    return value
