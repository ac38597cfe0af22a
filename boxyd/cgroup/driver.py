"""The driver for hosts that have cgroups: v2, v1, or v1 with an empty v2 beside it (hybrid).

Constraint: nothing is left behind when making a cgroup fails half-way; what the host lacks is
told once, at the start, in whole sentences.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from boxy_core.errors import NotFound, Unsupported
from boxy_core.models import Limits
from boxyd.cgroup import files
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.cgroup.devices_bpf import DevicePrograms
from boxyd.cgroup.group import Group
from boxyd.cgroup.hierarchy import Hierarchy
from boxyd.cgroup.interface import CgroupMount
from boxyd.cgroup.limits import asked, check_values, disks, unsupported
from boxyd.cgroup.v1 import V1Hierarchy
from boxyd.cgroup.v2 import V2Hierarchy

_MISSING = {
    "memory": "memory limits, memory use and the detection of an out-of-memory kill",
    "cpu": "limits and weights of CPU time",
    "pids": "the limit of processes, which stops fork bombs",
    "io": "limits and counters of disk I/O",
    "cpuset": "the choice of CPUs",
}
_WHAT_STILL_HOLDS = (
    "Only the user namespace and the missing capability keep this box from the host's devices."
)
_IN_V2_WORDS = {"blkio": "io", "cpuacct": "cpuacct"}


class HierarchyDriver:
    """Implements `Driver`.  `parent` is the cgroup above all boxes, prepared at once.

    Raises OSError if nothing may be made there.
    """

    def __init__(
        self, old: Sequence[V1Hierarchy], unified: V2Hierarchy | None, parent: str
    ) -> None:
        self.kind = "v2" if not old else "hybrid" if unified else "v1"
        self._unified = unified
        self._old = old
        self._hierarchies: list[Hierarchy] = [*old, *([unified] if unified else [])]
        self._parent = parent
        self._programs = DevicePrograms()
        for hierarchy in self._hierarchies:
            hierarchy.available(parent)
        if unified:
            unified.keep_handed(parent)
        self.controllers = frozenset(
            _IN_V2_WORDS.get(c, c) for h in self._hierarchies for c in h.controllers
        )

    @property
    def notices(self) -> list[str]:
        """What this host lacks."""
        found = [
            f"This machine has no cgroup controller {name}: boxes go without {text}."
            for name, text in _MISSING.items()
            if name not in self.controllers
        ]
        found += [notice for h in self._hierarchies for notice in h.notices]
        if "memory" in self.controllers and not self._counts_swap():
            found.append(
                "This kernel does not limit swap by cgroup: a box with a memory limit may swap "
                "beyond it. Boot with swapaccount=1, or without swap."
            )
        return found

    def _counts_swap(self) -> bool:
        names = {"memory.swap.max", "memory.memsw.limit_in_bytes"}
        return any(names & h.available(self._parent) for h in self._hierarchies)

    @property
    def mounts(self) -> list[CgroupMount]:
        """What a box's own /sys/fs/cgroup consists of."""
        found = [CgroupMount(h.name, "cgroup", h.options) for h in self._old]
        if self._unified:
            found.append(CgroupMount(self._unified.name, "cgroup2", ""))
        return found

    def check(self, limits: Limits) -> list[str]:
        """Refuse limits that cannot be kept here, making nothing."""
        check_values(limits)
        wanted = asked(limits)
        if not wanted:
            return []
        numbers = disks(limits)
        kept = {
            setting.field
            for hierarchy in self._hierarchies
            for setting in hierarchy.settings(limits, hierarchy.available(self._parent), numbers)
        }
        for field in sorted(wanted - kept):
            raise unsupported(field)
        return []

    def create(
        self,
        relative: str,
        limits: Limits,
        devices: Sequence[DeviceRule] | None = DEFAULT_DEVICES,
    ) -> Group:
        """Make a box's cgroup in every hierarchy; see `Driver.create`."""
        check_values(limits)
        group = Group(self._hierarchies, self._unified, relative)
        with ExitStack() as undo:
            for hierarchy in self._hierarchies:
                self._make(hierarchy, group, relative)
                undo.callback(hierarchy.remove, relative, group.kill)
            group.start_with(limits)
            if devices is not None:
                group.notices += self._allow(group, relative, devices)
            undo.pop_all()
        return group

    @staticmethod
    def _make(hierarchy: Hierarchy, group: Group, relative: str) -> None:
        try:
            try:
                hierarchy.make(relative)
            except FileExistsError:  # of a daemon that was cut off
                hierarchy.remove(relative, group.kill)
                hierarchy.make(relative)
        except OSError as error:
            raise Unsupported(
                f"the cgroup {hierarchy.path(relative)} could not be made: {error.strerror}",
                hint="look at `boxy info` for what this machine lacks, and at the free memory",
            ) from None

    def _allow(self, group: Group, relative: str, rules: Sequence[DeviceRule]) -> list[str]:
        """Put the device rules in force: by the v1 controller, or by BPF; notices."""
        try:
            for hierarchy in self._old:
                if "devices" in hierarchy.controllers:
                    hierarchy.allow_devices(relative, rules)
                    return []
            if self._unified is not None:
                self._programs.attach(self._unified.path(relative), rules)
                return []
            reason = "this kernel has neither the v1 controller nor cgroup v2"
        except OSError as error:
            reason = error.strerror or str(error)
        return [f"DEVICES ARE NOT RESTRICTED by cgroup: {reason}. {_WHAT_STILL_HOLDS}"]

    def at(self, relative: str) -> Group:
        """The cgroup of that name, which need not be there yet: to plan with."""
        return Group(self._hierarchies, self._unified, relative)

    def open(self, relative: str, limits: Limits | None = None) -> Group:
        """The cgroup that is already there."""
        if not any(os.path.isdir(h.path(relative)) for h in self._hierarchies):
            raise NotFound(
                f"the cgroup {relative} is gone",
                hint="the box has ended, or somebody removed its cgroup: boxy ps -a",
            )
        group = Group(self._hierarchies, self._unified, relative)
        group.knows(limits)
        return group

    def close(self) -> None:
        """Drop the loaded device programs; what is attached stays in force.

        The cgroup above the boxes goes too, unless boxes are still in it.
        """
        self._programs.close()
        for hierarchy in self._hierarchies:
            with suppress(OSError):
                files.unmake(hierarchy.path(self._parent))
