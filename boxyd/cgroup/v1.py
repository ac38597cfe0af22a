"""cgroup v1: one hierarchy for each controller, or for a few mounted together.

Constraint: Documentation/admin-guide/cgroup-v1/.  A new cpuset is empty and takes no process
until it has CPUs and memory nodes; memory.limit_in_bytes may never exceed
memory.memsw.limit_in_bytes; a frozen process cannot die; buffered writes are charged to nobody.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence

from boxy_core.errors import Timeout, Unsupported
from boxy_core.models import Limits
from boxyd.cgroup import files, killing
from boxyd.cgroup.devices import DeviceRule
from boxyd.cgroup.hierarchy import Hierarchy, make_path
from boxyd.cgroup.limits import DEFAULT_PIDS, Setting, quota_usec, rate
from boxyd.cgroup.reader import (
    CPU_USEC,
    MEMORY_LIMIT,
    MEMORY_RECLAIMABLE,
    MEMORY_USAGE,
    OOM_KILLS,
    PIDS,
    PIDS_LIMIT,
    THROTTLED_USEC,
    Files,
    blkio_bytes,
    fields,
    limit,
    number,
)

_NO_LIMIT = "-1"
_HIGHEST_RATE = 2**63 - 1
_IO_BYTES = "blkio.throttle.io_service_bytes_recursive"


class V1Hierarchy(Hierarchy):
    """One hierarchy with the controllers that its folder is named after (`cpu,cpuacct`)."""

    @property
    def options(self) -> str:
        """The mount options that name it; a hierarchy without controllers has a name of its own."""
        return ",".join(sorted(self.controllers)) or f"none,name={self.name}"

    def prepare(self, parent: str) -> None:
        """Make `parent`, let its children inherit CPUs and nodes, let I/O be counted."""
        for path in make_path(self.mount + self._base, parent):
            if "memory" in self.controllers:
                with contextlib.suppress(OSError):  # Linux 5.11 knows nothing else
                    files.write(path + "/memory.use_hierarchy", "1")
            if "cpuset" in self.controllers:
                self._inherit(path)
        if "blkio" in self.controllers:
            _count_io(self.path(parent))

    def _inherit(self, path: str) -> None:
        above = os.path.dirname(path)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not files.read(f"{path}/{name}").strip():
                files.write(f"{path}/{name}", files.read(f"{above}/{name}").strip())
        files.write(path + "/cgroup.clone_children", "1")

    def settings(
        self, limits: Limits, available: frozenset[str], numbers: dict[str, str]
    ) -> Iterator[Setting]:
        """Each limit in v1's words, where `available` has the file for it."""
        made = [*_memory(limits), *_cpu(limits), *_io(limits, available, numbers)]
        pids = "max" if limits.pids == -1 else str(limits.pids or DEFAULT_PIDS)
        made.append(Setting("pids", "pids.max", pids))
        made += [
            Setting("hugetlb", f"hugetlb.{size}.limit_in_bytes", str(amount), key=size)
            for size, amount in limits.hugetlb.items()
        ]
        return (setting for setting in made if setting.file in available)

    def sources(self, relative: str) -> Files:
        """The counters of this hierarchy's controllers."""
        path = self.path(relative)
        found = Files()
        if "cpuacct" in self.controllers:
            found.always.append((path + "/cpuacct.usage", number(CPU_USEC, 1000)))
        if "memory" in self.controllers:
            inactive = (b"total_inactive_file", MEMORY_RECLAIMABLE, 1)
            found.always.append((path + "/memory.usage_in_bytes", number(MEMORY_USAGE)))
            found.memory.append((path + "/memory.stat", fields(inactive)))
            found.settings.append((path + "/memory.limit_in_bytes", limit(MEMORY_LIMIT)))
            found.busy.append((path + "/memory.oom_control", fields((b"oom_kill", OOM_KILLS, 1))))
        if "pids" in self.controllers:
            found.busy.append((path + "/pids.current", number(PIDS)))
            found.settings.append((path + "/pids.max", limit(PIDS_LIMIT)))
        if "cpu" in self.controllers:
            throttled = (b"throttled_time", THROTTLED_USEC, 1000)
            found.busy.append((path + "/cpu.stat", fields(throttled)))
        if "blkio" in self.controllers:
            found.busy.append((f"{path}/{_IO_BYTES}", blkio_bytes))
        return found

    def allow_devices(self, relative: str, rules: Sequence[DeviceRule]) -> None:
        """Refuse all devices but these.  Raises OSError."""
        path = self.path(relative)
        files.write(path + "/devices.deny", "a")
        files.write(path + "/devices.allow", *map(str, rules))


def _count_io(path: str) -> None:
    """Make the kernel count I/O, by a limit that no disk can reach.

    blk-throttle counts on a disk only from the first rule for it onwards (since Linux 6.9).
    """
    for disk in _whole_disks():
        with contextlib.suppress(OSError):
            files.write(path + "/blkio.throttle.read_bps_device", f"{disk} {_HIGHEST_RATE}")


def _whole_disks() -> Iterator[str]:
    """`MAJOR:MINOR` of each disk that is not made of others: those count what these carry."""
    for disk in os.scandir("/sys/block"):
        made_of = os.path.join(disk.path, "slaves")
        if disk.name.startswith(("loop", "ram", "zram")):
            continue
        with contextlib.suppress(OSError):
            if not os.path.isdir(made_of) or not os.listdir(made_of):
                yield files.read(os.path.join(disk.path, "dev")).strip()


# ------------------------------------------------------------------ limits in v1's words


def _memory(limits: Limits) -> Iterator[Setting]:
    memory, swap = limits.memory, limits.memory_swap
    limit = _NO_LIMIT if memory is None else str(memory)
    yield Setting("memory", "memory.limit_in_bytes", limit, memory is None)
    free = memory is None or swap == -1
    both = _NO_LIMIT if free else str(swap or memory)
    yield Setting("memory_swap", "memory.memsw.limit_in_bytes", both, free)
    soft = limits.memory_reservation
    text = _NO_LIMIT if soft is None else str(soft)
    yield Setting("memory_reservation", "memory.soft_limit_in_bytes", text, soft is None)


def _cpu(limits: Limits) -> Iterator[Setting]:
    quota = _NO_LIMIT if limits.cpus is None else str(quota_usec(limits.cpus))
    yield Setting("cpus", "cpu.cfs_quota_us", quota, limits.cpus is None)
    shares = limits.cpu_shares
    yield Setting("cpu_shares", "cpu.shares", str(shares or 1024), shares is None)
    yield Setting("cpuset", "cpuset.cpus", limits.cpuset or "", limits.cpuset is None)


def _io(limits: Limits, available: frozenset[str], numbers: dict[str, str]) -> Iterator[Setting]:
    weight = limits.io_weight
    bfq = "blkio.bfq.weight" in available
    name, usual = ("blkio.bfq.weight", 100) if bfq else ("blkio.weight", 500)
    yield Setting("io_weight", name, str(weight or usual), weight is None)
    kinds = {"io_read_bps": "read_bps", "io_write_bps": "write_bps"}
    kinds |= {"io_read_iops": "read_iops", "io_write_iops": "write_iops"}
    for device in sorted(set(numbers.values())):
        for field, word in kinds.items():
            allowed = rate(limits, field, device, numbers)
            file = f"blkio.throttle.{word}_device"
            yield Setting(field, file, f"{device} {allowed or 0}", allowed is None, key=device)


# ------------------------------------------------------------------ freezing and killing


class FreezerLife:
    """Freezing by the v1 freezer and killing one by one, where no unified hierarchy is at hand.

    `freezer` is the box's cgroup there ("" without that controller), `members` its cgroup in
    some hierarchy: all list the same processes.
    """

    def __init__(self, freezer: str, members: str, relative: str) -> None:
        self._state = freezer + "/freezer.state" if freezer else ""
        self._members = members
        self._relative = relative

    def pids(self) -> list[int]:
        """The processes, those of cgroups below included."""
        return killing.pids_below(self._members)

    def populated(self) -> bool:
        """Whether a living process is in it."""
        return bool(self.pids())

    def frozen(self) -> bool:
        """Whether every process stands still."""
        with contextlib.suppress(FileNotFoundError):
            return bool(self._state) and files.read(self._state).strip() == "FROZEN"
        return False

    def freeze(self, timeout: float) -> None:
        """Freeze, and wait until it is so; undone if it takes too long.

        Raises Timeout; Unsupported without the freezer.
        """
        if not self._state:
            raise Unsupported(
                "this machine cannot pause a box: its kernel has no cgroup freezer",
                hint="mount the v1 freezer controller, or boot with cgroup v2",
            )
        if not self._frozen_within(timeout):
            self.thaw()
            raise Timeout(
                f"the box did not stand still within {timeout:g} s; it runs on",
                hint="a process in it waits in the kernel, often for a disk or a network drive",
            )

    def _frozen_within(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        pause = 0.0005
        while time.monotonic() < deadline:
            files.write(self._state, "FROZEN")  # again: for those forked since
            if self.frozen():
                return True
            time.sleep(pause)
            pause = min(pause * 2, 0.02)
        return self.frozen()

    def thaw(self) -> None:
        """Let it run on."""
        if self._state:
            files.write(self._state, "THAWED")

    def kill(self, timeout: float) -> None:
        """Stop all, signal all, let all go on into their death; until none is left."""
        with contextlib.suppress(FileNotFoundError):
            killing.kill_until_gone(
                self.pids, self._relative, timeout, stop=self._stop, go_on=self.thaw
            )

    def _stop(self) -> bool:
        return bool(self._state) and self._frozen_within(0.2)
