"""The midwife: a spare shim's child that makes one box, hands it to the shim, and ends.

Making a box touches a thousand objects of the interpreter, and each touch takes a page that was
shared until then (a reference count is in the object).  A process that ends afterwards takes
all that along; the shim, which stays, has done next to nothing.  The box's first process is
made as the shim's own child (CLONE_PARENT), so that the shim waits for it, and it dies with
the shim.

Constraint: single-threaded; it dies with its shim; what it found out it tells the shim over one
socket: the launch message as it came, `born` with the new process's pidfd, then `runs` with
every descriptor, or `!` and the error.  That the box runs it tells the daemon itself, over the
control connection which is the shim's from then on: the daemon goes on while the shim takes over.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import time

from boxy_core import wirejson
from boxy_core.errors import BoxyError
from boxyd.runtime import birth, cradle, report, stage
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.notes import complain, trace
from boxyd.runtime.steps import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def wait_for_box(link: socket.socket, shim: socket.socket, zygote: int, usual: Usual) -> NoReturn:
    """Wait for a launch message, tell the zygote that it is taken, make the box, end.

    Into the pipe `zygote` go the first id that the box after this most likely gets, at once,
    and when the box runs what it has in common with it; `usual` is what was said last.
    """
    where = ""
    try:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        sys_.set_title("boxy-shim (midwife)")
        ahead = warm_up(usual)
        message, fds = report.receive(link)
        if message:
            link.close()
            request = wirejson.loads(message)
            wires = birth.Wires(request, fds)
            plan = plan_of(request)
            where = plan["box"]
            base = plan["id_map"][0][1] if plan["id_map"] else 0
            os.write(zygote, b"%16d" % request.get("next", base))
            daemon = socket.socket(fileno=os.dup(fds[0]))
            if plan is request["plan"]:
                ahead.message = message
            _deliver(plan, wires, Family(zygote, shim, daemon, request, fds), ahead)
    except BaseException as error:  # noqa: BLE001 - the last resort of a process on its own
        complain(where, trace(error))
    os._exit(0)


def plan_of(request: dict[str, Any]) -> dict[str, Any]:
    """The plan in a launch message, or in the file that it names.  Raises OSError, ValueError."""
    plan: dict[str, Any] | str = request["plan"]
    if isinstance(plan, str):
        with open(plan, "rb") as file:
            plan = wirejson.loads(file.read())
    assert isinstance(plan, dict)
    return plan


class Family:
    """Those who hear of the box: the shim, over the shim's control connection the daemon, and the
    zygote.

    The shim hears of the launch when the box's first process is busy with itself: before, it
    would only take the processor from us.
    """

    def __init__(
        self,
        zygote: int,
        shim: socket.socket,
        daemon: socket.socket,
        request: dict[str, Any],
        fds: list[int],
    ) -> None:
        self._zygote, self._shim, self._daemon = zygote, shim, daemon
        self._request, self._fds = request, fds
        self._started = 0.0

    def wait_for_cgroup(self) -> None:
        """Return when the daemon has made it, if it makes one.  Raises OSError."""
        if self._request.get("waits") and self._daemon.recv(16) != b"go":
            raise OSError(errno.ECANCELED, "the daemon could not make its cgroup")

    def _hand_over(self) -> None:
        """Give the shim the launch, without the steps that are taken once: it holds the plan as
        long as the box lives."""
        request = self._request
        if isinstance(request["plan"], dict):
            steps = [step for step in request["plan"]["steps"] if BY_NAME[step["do"]].joins]
            request = {**request, "plan": {**request["plan"], "steps": steps}}
        report.send(self._shim, wirejson.dumps(request), self._fds)
        while self._fds:
            os.close(self._fds.pop())

    def born(self, running: birth.Running) -> None:
        """The box's first process is there."""
        self._hand_over()
        self._started = time.time()
        helper = [running.helper] if running.helper >= 0 else []
        report.send(self._shim, b"born %r" % self._started, [running.pidfd, *helper])

    def failed(self, error: BoxyError) -> None:
        """There is no box."""
        if self._fds:
            self._hand_over()
        self._shim.send(b"!" + wirejson.dumps(error.to_wire()))
        if self._started:
            self._shim.recv(16)  # what we left unread would reset the connection: see `runs`

    def runs(self, running: birth.Running, rest: int, recipe: dict[str, Any] | None = None) -> None:
        """The command runs; the daemon, whose client waits, hears it first, but not before the
        shim can be found by its files.  The zygote hears what the next box may have in common
        with this one, before the shim, which may end with its box and takes us along.

        The process `rest` is left for the shim to wait for.
        """
        if not self._shim.recv(16):
            return
        told = {"took": running.took, "notices": running.host.notices}
        hello = {
            "event": "started", "pid": running.pid, "shim_pid": os.getppid(),
            "started": self._started, **told,
        }  # fmt: skip
        _tell(self._daemon, wirejson.dumps(hello))
        if recipe:
            _teach(self._zygote, wirejson.dumps(recipe))
        ends = {"stdin": running.stdin, "stdout": running.stdout, "stderr": running.stderr,
                "root": running.host.root}  # fmt: skip
        fds = sorted(set(ends.values()) - {-1})
        places = {name: fds.index(fd) for name, fd in ends.items() if fd >= 0}
        more = {"fds": places, "rest": rest, **told}
        report.send(self._shim, b"runs" + wirejson.dumps(more), fds)


def _tell(daemon: socket.socket, packet: bytes) -> None:
    """Send it; if the daemon is gone, the next one will ask the shim."""
    try:
        daemon.send(packet)
    except OSError:
        return


def _teach(zygote: int, recipe: bytes) -> None:
    """Write it; if the zygote is gone, there is no next box of its."""
    try:
        os.write(zygote, recipe)
    except OSError:
        return


def _deliver(plan: dict[str, Any], wires: birth.Wires, family: Family, ahead: birth.Ahead) -> None:
    """Make the box; tell the family how it went."""
    try:
        steps = birth.steps_of(plan)
        cgroup = birth.Cgroup(plan["cgroup"])
        waits = family.wait_for_cgroup
        running = birth.start(plan, cgroup, steps, family.born, wires, ahead, waits)
    except BoxyError as error:
        if ahead.cradle:
            ahead.cradle.close()
        family.failed(error)
    else:
        rest = ahead.cradle.pid if ahead.cradle else 0
        family.runs(running, rest, cradle.recipe_of(plan, steps))
        if ahead.cradle:
            ahead.cradle.close()


class Usual:
    """What the next box most likely is: its first id, and what is the same for every such box
    (`cradle.recipe_of`; None: not known).  `hurry`: it is waiting already, so that nothing can
    be made ahead."""

    __slots__ = ("_last", "base", "hurry", "recipe")

    def __init__(self, base: int, recipe: dict[str, Any] | None = None) -> None:
        self.base, self.recipe, self.hurry = base, recipe, False
        self._last = recipe

    def learn(self, recipe: dict[str, Any]) -> None:
        """A box was like that; one that is not like those before it changes nothing yet."""
        if self.recipe is None or recipe == self._last:
            self.recipe = recipe
        self._last = recipe


def warm_up(usual: Usual) -> birth.Ahead:
    """Go through the motions of a start: what is touched for the first time costs a page
    fault, which is several microseconds under a hypervisor and far more than the work.

    What was made of it for the next box is returned; nothing, where the host allows no user
    namespace: then a box that needs one says why it has none.
    """
    gc.disable()
    words = wirejson.dumps(_SAMPLE)
    birth.steps_of(wirejson.loads(words))
    for sock in report.pair():
        sock.close()
    ahead = birth.Ahead({})
    try:
        space = ahead.spaces[usual.base] = stage.Ahead(usual.base)
        if usual.recipe and not usual.hurry:
            dev, space.dev = space.dev, -1
            ahead.cradle = cradle.Cradle(usual.recipe, usual.base, dev)
    except OSError:
        pass
    return ahead


_SAMPLE = {
    "steps": [
        {"do": "hostname", "name": "boxy"},
        {"do": "bind", "source": "/", "target": "/", "read_only": True, "map_ids": False},
        {"do": "mask", "paths": ["/proc/kcore"]},
        {"do": "capabilities", "keep": ["chown"]},
    ]
}
