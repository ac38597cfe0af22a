"""The driver for a host whose cgroups cannot be used: boxes run, unlimited, and it says so.

A driver that does nothing rather than `None`, so that nobody has to ask whether there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from boxy_core.errors import Unsupported
from boxy_core.models import Limits
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.cgroup.interface import CgroupFile, CgroupMount, CgroupPlan
from boxyd.cgroup.limits import asked, check_values, unsupported
from boxyd.cgroup.reader import Files, Reader, net_dev

_WHAT_IT_MEANS = (
    "Boxes run WITHOUT ANY LIMIT of memory, CPU or processes, cannot be paused, and show no "
    "resource use. Mount a cgroup hierarchy that the daemon may write (cgroup v2 at "
    "/sys/fs/cgroup), then restart it."
)


class NullDriver:
    """Implements `Driver` without cgroups; `reason` is a clause that says why there are none."""

    kind = "null"

    def __init__(self, reason: str) -> None:
        self.controllers: frozenset[str] = frozenset()
        self.mounts: list[CgroupMount] = []
        self.notices = [f"NO CGROUPS: {reason}. {_WHAT_IT_MEANS}"]

    def check(self, limits: Limits) -> list[str]:
        """Refuse every limit that the user asked for."""
        check_values(limits)
        for field in sorted(asked(limits)):
            if (field, limits.pids) != ("pids", -1):
                raise unsupported(field)
        return list(self.notices)

    def create(
        self,
        relative: str,
        limits: Limits,
        devices: Sequence[DeviceRule] | None = DEFAULT_DEVICES,
    ) -> NullGroup:
        """A cgroup that is none."""
        return NullGroup(self.check(limits))

    def at(self, relative: str) -> NullGroup:
        """A cgroup that is none."""
        return NullGroup(list(self.notices))

    def open(self, relative: str, limits: Limits | None = None) -> NullGroup:
        """A cgroup that is none."""
        return NullGroup(list(self.notices))

    def close(self) -> None:
        """Nothing is open."""


class NullGroup:
    """Implements `Cgroup` without one; a box's processes end with its PID 1 all the same."""

    def __init__(self, notices: list[str]) -> None:
        self.notices = notices

    def plan(self) -> CgroupPlan:
        """There is nothing to get into."""
        return CgroupPlan([], [], "", "")

    def set(self, limits: Limits) -> list[str]:
        """Refuse every limit that the user asked for."""
        for field in sorted(asked(limits)):
            raise unsupported(field)
        return self.notices

    def freeze(self, timeout: float = 5.0) -> None:
        """Raises Unsupported."""
        raise Unsupported(
            "this machine cannot pause a box: the daemon has no cgroups to use",
            hint="mount cgroup v2 at /sys/fs/cgroup and restart the daemon",
        )

    def thaw(self) -> None:
        """Nothing is ever frozen."""

    def frozen(self) -> bool:
        """Never."""
        return False

    def kill(self, timeout: float = 5.0) -> None:
        """Nothing to kill by: the death of PID 1 takes its PID namespace along."""

    def pids(self) -> list[int]:
        """Not known."""
        return []

    def populated(self) -> bool:
        """Not known."""
        return False

    def oom_kills(self) -> int:
        """Not known."""
        return 0

    def reader(self, net_pid: int = 0) -> Reader:
        """Reads the network's counters only."""
        return Reader(Files([(f"/proc/{net_pid}/net/dev", net_dev)] if net_pid else []))

    def files(self, limits: Limits) -> list[CgroupFile]:
        """There are none."""
        return []

    def remove(self) -> None:
        """There is nothing."""

    def close(self) -> None:
        """Nothing is open."""
