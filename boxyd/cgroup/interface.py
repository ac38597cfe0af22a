"""What the daemon sees of cgroups: a driver that makes them, and the cgroup of one box.

Constraint: nothing outside this package knows which version of cgroups a host has.  Methods
named freeze, thaw, kill and remove may block for as long as their timeout says; call them from
a thread where waiting hurts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from boxy_core.models import Limits
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.cgroup.reader import Reader


class CgroupPlan(NamedTuple):
    """How a process gets into a box's cgroup; plain data for the plan of a box.

    Writing a foreign pid to `cgroup.procs` takes the kernel's thread-group lock, which costs
    an RCU grace period (10 ms and more on an idle machine).  A single-threaded process that
    writes "0" to `tasks` moves itself without that lock, and clone3's CLONE_INTO_CGROUP needs
    no move at all.
    """

    tasks: list[str]
    """v1 `tasks` files: opened by the shim, "0" written by the new process itself"""
    procs: list[str]
    """the same places as `cgroup.procs`: the way for kernels that refuse the others"""
    into: str
    """the v2 cgroup for CLONE_INTO_CGROUP, "" if there is none"""
    oom: str
    """a file with a line `oom_kill N`, "" if there is none"""


class CgroupFile(NamedTuple):
    """A file of a box's cgroup that is worth looking at."""

    path: str
    field: str
    """the field of Limits that it holds, "" for a counter"""


class CgroupMount(NamedTuple):
    """One file system of the view that a box gets of its own cgroup."""

    target: str
    """below /sys/fs/cgroup; "" is that folder itself"""
    type: str
    """"cgroup" or "cgroup2" """
    options: str


@runtime_checkable
class Cgroup(Protocol):
    """The cgroup of one box, in every hierarchy at once."""

    @property
    def notices(self) -> list[str]:
        """What this host could not give, one sentence each."""

    def plan(self) -> CgroupPlan:
        """How a process gets in."""

    def set(self, limits: Limits) -> list[str]:
        """Put exactly these limits in force, now; notices.

        Raises Unsupported, InvalidRequest, or Conflict if the box already uses more memory.
        """

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop every process and wait until all stand still.  Raises Timeout, Unsupported."""

    def thaw(self) -> None:
        """Let them run on."""

    def frozen(self) -> bool:
        """Whether every process stands still."""

    def kill(self, timeout: float = 5.0) -> None:
        """Kill everything, frozen or forking as it may be; returns when empty, or Timeout."""

    def pids(self) -> list[int]:
        """The processes, as the host numbers them."""

    def populated(self) -> bool:
        """Whether a living process is in it."""

    def oom_kills(self) -> int:
        """How many processes the kernel killed for want of memory."""

    def reader(self, net_pid: int = 0) -> Reader:
        """A reader of counters; `net_pid` is a process in the box's network (0: none)."""

    def files(self, limits: Limits) -> list[CgroupFile]:
        """The files behind these limits, and those that count what is used."""

    def remove(self) -> None:
        """Kill what is left and remove the cgroup and any below it; harmless if it is gone."""

    def close(self) -> None:
        """Forget it without removing it."""


@runtime_checkable
class Driver(Protocol):
    """Makes cgroups on the kind of host that `kind` names."""

    @property
    def kind(self) -> str:
        """One of "v2", "v1", "hybrid" (v1 with an empty v2 beside it) and "null"."""

    @property
    def controllers(self) -> frozenset[str]:
        """What can be limited and counted, in v2's words: cpu, cpuset, io, memory, pids, ..."""

    @property
    def notices(self) -> list[str]:
        """What this host lacks, one sentence each."""

    @property
    def mounts(self) -> list[CgroupMount]:
        """What a box's own /sys/fs/cgroup consists of."""

    def check(self, limits: Limits) -> list[str]:
        """Refuse limits that cannot be kept here, making nothing; notices.

        Raises InvalidRequest for a value out of range, Unsupported for one that this host
        has no means for.
        """

    def create(
        self,
        relative: str,
        limits: Limits,
        devices: Sequence[DeviceRule] | None = DEFAULT_DEVICES,
    ) -> Cgroup:
        """Make the cgroup `relative` (such as boxy/0123456789ab) under these limits.

        `devices` are the only ones that may be opened or made; None: all.  A left-over of
        that name is emptied and made anew.  On failure nothing is left behind.
        """

    def at(self, relative: str) -> Cgroup:
        """The cgroup of that name, which need not be there yet: to plan with."""

    def open(self, relative: str, limits: Limits | None = None) -> Cgroup:
        """The cgroup that is already there, with the limits it has.  Raises NotFound."""

    def close(self) -> None:
        """Give back what the driver keeps open."""
