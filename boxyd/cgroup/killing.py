"""Killing the processes of a cgroup one by one, where the kernel has no way to kill it whole."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from boxy_core.errors import Timeout
from boxyd.cgroup import files

_STALLED = 10
"""Looks at unchanged processes, 2 ms apart, before they are killed once more."""


def pids_below(path: str) -> list[int]:
    """The processes of a cgroup and of those below it, as the host numbers them."""
    found: set[int] = set()
    for folder, _, _ in os.walk(path):
        try:
            found.update(map(int, files.read(folder + "/cgroup.procs").split()))
        except OSError:  # gone meanwhile; or a threaded cgroup, whose leader is listed above
            continue
    found.discard(0)  # a process of another PID namespace: not ours to name
    return sorted(found)


def kill_until_gone(
    pids: Callable[[], list[int]],
    relative: str,
    timeout: float,
    *,
    stop: Callable[[], bool] = lambda: False,
    go_on: Callable[[], None] = lambda: None,
) -> None:
    """Send SIGKILL to all that `pids` tells, again and again until none is left.

    `stop` freezes them, so that none forks away before its turn, and tells whether all stand
    still; `go_on` lets them run into their death.  `relative` is the cgroup they must be in.
    Raises Timeout.
    """
    deadline = time.monotonic() + timeout
    while pids():
        still = stop()
        for pid in pids():
            if still:  # who cannot move cannot end: the number is not given out again
                _send(pid)
            else:
                _kill(pid, f"/{relative}/")
        go_on()
        left = _wait_while_fewer(pids, deadline)
        if left and time.monotonic() > deadline:
            raise survived(left, timeout)


def _wait_while_fewer(pids: Callable[[], list[int]], deadline: float) -> list[int]:
    """Wait as long as they die; those that are left when it stalls for a moment."""
    left = pids()
    stalled = 0
    while left and stalled < _STALLED and time.monotonic() < deadline:
        time.sleep(0.002)
        now = pids()
        stalled = 0 if len(now) < len(left) else stalled + 1
        left = now
    return left


def _send(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _kill(pid: int, place: str) -> None:
    """Kill `pid` if it still is a process of the cgroup: numbers are given out again."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if any(place in line + "/" for line in files.read(f"/proc/{pid}/cgroup").splitlines()):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return
    finally:
        os.close(descriptor)


def survived(pids: list[int], timeout: float) -> Timeout:
    """The error for processes that SIGKILL did not end in time."""
    shown = ", ".join(map(str, pids[:5])) + (" ..." if len(pids) > 5 else "")
    return Timeout(
        f"{len(pids)} processes of the box were still there {timeout:g} s after SIGKILL: {shown}",
        hint="they wait in the kernel, often for a disk; /proc/PID/stack tells where",
    )
