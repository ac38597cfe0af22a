"""The midwife: a spare shim's child that makes one box, hands it to the shim, and ends.

Making a box touches a thousand objects of the interpreter, and each touch takes a page that was
shared until then (a reference count is in the object).  A process that ends afterwards takes
all that along; the shim, which stays, has done next to nothing.  The box's first process is
made as the shim's own child (CLONE_PARENT), so that the shim waits for it, and it dies with
the shim.

Constraint: single-threaded; it dies with its shim; what it found out it tells over one socket:
the launch message as it came, `born` with the new process's pidfd, then `runs` with every
descriptor, or `!` and the error.
"""

from __future__ import annotations

import gc
import os
import signal

from boxy_core import wirejson
from boxy_core.errors import BoxyError
from boxyd.runtime import birth, report, stage
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.notes import complain, trace
from boxyd.runtime.steps import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn


def wait_for_box(link: socket.socket, shim: socket.socket, zygote: int) -> NoReturn:
    """Wait for a launch message, tell the zygote that it is taken, make the box, end.

    The pipe `zygote` is closed when the box runs.
    """
    where = ""
    try:
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        sys_.set_title("boxy-shim (midwife)")
        warm_up()
        message, fds = report.receive(link)
        if message:
            link.close()
            os.write(zygote, b"taken")
            request = wirejson.loads(message)
            wires = birth.Wires(request, fds)
            if isinstance(request["plan"], dict):
                message = wirejson.dumps({**request, "plan": _lean(request["plan"])})
            report.send(shim, message, fds)
            for fd in fds:
                os.close(fd)
            plan = plan_of(request)
            where = plan["box"]
            _deliver(plan, wires, shim)
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


def _lean(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan without the steps that are taken once: a shim holds it as long as the box lives."""
    return {**plan, "steps": [step for step in plan["steps"] if BY_NAME[step["do"]].joins]}


def _deliver(plan: dict[str, Any], wires: birth.Wires, shim: socket.socket) -> None:
    """Make the box; tell the shim how it went."""

    def born(running: birth.Running) -> None:
        helper = [running.helper] if running.helper >= 0 else []
        report.send(shim, b"born", [running.pidfd, *helper])

    try:
        steps = birth.steps_of(plan)
        running = birth.start(plan, birth.Cgroup(plan["cgroup"]), steps, born, wires)
    except BoxyError as error:
        shim.send(b"!" + wirejson.dumps(error.to_wire()))
        return
    ends = {"stdin": running.stdin, "stdout": running.stdout, "stderr": running.stderr,
            "root": running.host.root}  # fmt: skip
    fds = sorted(set(ends.values()) - {-1})
    places = {name: fds.index(fd) for name, fd in ends.items() if fd >= 0}
    told = {"fds": places, "took": running.took, "notices": running.host.notices}
    report.send(shim, b"runs" + wirejson.dumps(told), fds)


def warm_up() -> None:
    """Go through the motions of a start: what is touched for the first time costs a page
    fault, which is several microseconds under a hypervisor and far more than the work."""
    gc.disable()
    words = wirejson.dumps(_SAMPLE)
    birth.steps_of(wirejson.loads(words))
    for fd in (stage.user_namespace([[0, 1 << 30, 1 << 16]]), stage.dev(1 << 30)):
        os.close(fd)
    for sock in report.pair():
        sock.close()


_SAMPLE = {
    "steps": [
        {"do": "hostname", "name": "boxy"},
        {"do": "bind", "source": "/", "target": "/", "read_only": True, "map_ids": False},
        {"do": "mask", "paths": ["/proc/kcore"]},
        {"do": "capabilities", "keep": ["chown"]},
    ]
}
