"""cgroup v2: the unified hierarchy, alone or beside v1 controllers (hybrid).

Constraint: Documentation/admin-guide/cgroup-v2.rst.  A controller exists in a cgroup only if its
parent's cgroup.subtree_control names it, all the way down; and a cgroup that hands controllers
to its children may hold no processes itself ("no internal processes"), the real root excepted.
"""

from __future__ import annotations

import errno
import math
import os
import re
from collections.abc import Iterator

from boxy_core.errors import Timeout
from boxy_core.models import Limits
from boxyd.cgroup import files, killing
from boxyd.cgroup.hierarchy import Hierarchy, make_path
from boxyd.cgroup.limits import DEFAULT_PIDS, PERIOD_USEC, Setting, quota_usec, rate
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
    fields,
    io_stat,
    limit,
    number,
    pressures,
)

USED = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")
LEAF = "boxyd"
"""The cgroup into which the processes move that stand in the way of handing on controllers."""


class V2Hierarchy(Hierarchy):
    """The unified hierarchy.

    `handed` are the controllers to hand down to boxes: none in a hybrid set-up, where v1 has
    them.  `own` is the daemon's own cgroup, from which it may move itself out of the way.
    """

    def __init__(
        self, mount: str, name: str, handed: frozenset[str], base: str = "", own: str = ""
    ) -> None:
        super().__init__(mount, name, handed, base)
        self._own = own

    def prepare(self, parent: str) -> None:
        """Make `parent` and hand the controllers down to its children."""
        top = self.mount + self._base
        self._hand_down(top)
        for path in make_path(top, parent):
            self._hand_down(path)

    def keep_handed(self, parent: str) -> None:
        """Reckon only with the controllers that really reach the children of `parent`."""
        self.controllers &= files.words(self.path(parent) + "/cgroup.subtree_control")

    def _hand_down(self, path: str) -> None:
        present = files.words(path + "/cgroup.controllers")
        done = files.words(path + "/cgroup.subtree_control")
        missing = sorted((self.controllers & present) - done)
        try:
            if missing and not _is_real_root(path):
                self._clear(path)
        except OSError as error:
            for controller in missing:
                self._complain(controller, path, error)
            return
        for controller in missing:
            try:
                files.write(path + "/cgroup.subtree_control", "+" + controller)
            except OSError as error:
                self._complain(controller, path, error)

    def _clear(self, path: str) -> None:
        """See to it that no process is in `path` itself.  Raises OSError where that is not ours.

        The kernel would take cpu and pids all the same, and turn the cgroup into the root of a
        threaded subtree, in which there is no memory controller and no process can be born.
        """
        if not files.read(path + "/cgroup.procs").strip():
            return
        if not self._may_clear(path):
            raise OSError(errno.EBUSY, "processes of others are in it")
        _move_into_leaf(path)

    def _may_clear(self, path: str) -> bool:
        """Only what is ours to arrange: our own cgroup, or the root of our cgroup namespace."""
        return path in (self.mount, self.mount + self._own)

    def _complain(self, controller: str, path: str, error: OSError) -> None:
        sentence = (
            f"The cgroup controller {controller} could not be handed down from {path} "
            f"({error.strerror}), so boxes have no limits of that kind."
        )
        if sentence not in self.notices:
            self.notices.append(sentence)

    def settings(
        self, limits: Limits, available: frozenset[str], numbers: dict[str, str]
    ) -> Iterator[Setting]:
        """Each limit in v2's words, where `available` has the file for it."""
        made = [*_memory(limits), *_cpu(limits), *_io(limits, available, numbers)]
        made += [Setting("pids", "pids.max", _count(limits.pids))]
        made += [
            Setting("hugetlb", f"hugetlb.{size}.max", str(amount), key=size)
            for size, amount in limits.hugetlb.items()
        ]
        return (setting for setting in made if setting.file in available)

    def sources(self, relative: str) -> Files:
        """The counters; pressure is there in a hybrid set-up too."""
        path = self.path(relative)
        found = Files(rare=pressures(path))
        if "cpu" in self.controllers:
            usage = (b"usage_usec", CPU_USEC, 1), (b"throttled_usec", THROTTLED_USEC, 1)
            found.always.append((path + "/cpu.stat", fields(*usage)))
        if "memory" in self.controllers:
            found.always.append((path + "/memory.current", number(MEMORY_USAGE)))
            found.memory.append(
                (path + "/memory.stat", fields((b"inactive_file", MEMORY_RECLAIMABLE, 1)))
            )
            found.settings.append((path + "/memory.max", limit(MEMORY_LIMIT)))
            found.busy.append((path + "/memory.events", fields((b"oom_kill", OOM_KILLS, 1))))
        if "pids" in self.controllers:
            found.busy.append((path + "/pids.current", number(PIDS)))
            found.settings.append((path + "/pids.max", limit(PIDS_LIMIT)))
        if "io" in self.controllers:
            found.busy.append((path + "/io.stat", io_stat))
        return found


def _is_real_root(path: str) -> bool:
    """The root of the machine's hierarchy is the one cgroup that tells of no events."""
    return not os.path.exists(path + "/cgroup.events")


def _move_into_leaf(path: str) -> None:
    """Move every process of `path` into a leaf below it, ourselves among them."""
    leaf = f"{path}/{LEAF}"
    if not os.path.isdir(leaf):
        files.make(leaf)
    for _ in range(10):  # more may be forked meanwhile
        pids = files.read(path + "/cgroup.procs").split()
        if not pids:
            return
        for pid in pids:
            try:
                files.write(leaf + "/cgroup.procs", pid)
            except ProcessLookupError:
                continue


# ------------------------------------------------------------------ limits in v2's words


def _memory(limits: Limits) -> Iterator[Setting]:
    memory, swap = limits.memory, limits.memory_swap
    if memory is None or swap == -1:
        yield Setting("memory_swap", "memory.swap.max", "max", default=True)
    else:
        yield Setting("memory_swap", "memory.swap.max", str((swap or memory) - memory))
    yield Setting("memory", "memory.max", "max" if memory is None else str(memory), memory is None)
    low = limits.memory_reservation
    yield Setting("memory_reservation", "memory.low", str(low or 0), low is None)


def _cpu(limits: Limits) -> Iterator[Setting]:
    quota = "max" if limits.cpus is None else str(quota_usec(limits.cpus))
    yield Setting("cpus", "cpu.max", f"{quota} {PERIOD_USEC}", limits.cpus is None)
    shares = limits.cpu_shares
    weight = 100 if shares is None else weight_of_shares(shares)
    yield Setting("cpu_shares", "cpu.weight", str(weight), shares is None)
    yield Setting("cpuset", "cpuset.cpus", (limits.cpuset or "") + "\n", limits.cpuset is None)


def weight_of_shares(shares: int) -> int:
    """cpu.weight (1 to 10000, usually 100) for v1's shares (2 to 262144, usually 1024).

    The curve through all three pairs, as the OCI runtimes agreed on: the straight line that was
    used before gave 39 for the usual 1024, so that boxes lost to everything beside them.
    """
    power = math.log2(max(2, min(shares, 262_144)))
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _io(limits: Limits, available: frozenset[str], numbers: dict[str, str]) -> Iterator[Setting]:
    weight = limits.io_weight
    if "io.bfq.weight" in available:
        yield Setting("io_weight", "io.bfq.weight", str(weight or 100), weight is None)
    else:
        scaled = 100 if weight is None else 1 + (weight - 10) * 9999 // 990
        yield Setting("io_weight", "io.weight", str(scaled), weight is None)
    kinds = {"io_read_bps": "rbps", "io_write_bps": "wbps"}
    kinds |= {"io_read_iops": "riops", "io_write_iops": "wiops"}
    for device in sorted(set(numbers.values())):
        for field, word in kinds.items():
            allowed = rate(limits, field, device, numbers)
            text = f"{device} {word}={'max' if allowed is None else allowed}"
            yield Setting(field, "io.max", text, allowed is None, key=f"{device} {word}")


def _count(pids: int | None) -> str:
    return "max" if pids == -1 else str(pids or DEFAULT_PIDS)


# ------------------------------------------------------------------ freezing and killing


class UnifiedLife:
    """Freezing and killing through the unified hierarchy's own files.

    A frozen cgroup of v2 can be killed, and is reached by one write however many forks race.
    """

    def __init__(self, path: str, relative: str) -> None:
        self._path = path
        self._relative = relative

    def pids(self) -> list[int]:
        """The processes, those of cgroups below included."""
        return killing.pids_below(self._path)

    def populated(self) -> bool:
        """Whether a living process is in it."""
        return files.field(self._path + "/cgroup.events", "populated") == 1

    def frozen(self) -> bool:
        """Whether every process stands still."""
        return files.field(self._path + "/cgroup.events", "frozen") == 1

    def freeze(self, timeout: float) -> None:
        """Freeze, and wait until it is so; undone if it takes too long.  Raises Timeout."""
        files.write(self._path + "/cgroup.freeze", "1")
        if not files.wait_for_line(self._path + "/cgroup.events", "frozen 1", timeout):
            files.write(self._path + "/cgroup.freeze", "0")
            raise Timeout(
                f"the box did not stand still within {timeout:g} s; it runs on",
                hint="a process in it waits in the kernel, often for a disk or a network drive",
            )

    def thaw(self) -> None:
        """Let it run on."""
        files.write(self._path + "/cgroup.freeze", "0")

    def kill(self, timeout: float) -> None:
        """Kill everything at once by cgroup.kill (Linux 5.14), before that one by one."""
        try:
            files.write(self._path + "/cgroup.kill", "1")
        except FileNotFoundError:
            self._kill_one_by_one(timeout)
        if not files.wait_for_line(self._path + "/cgroup.events", "populated 0", timeout):
            raise killing.survived(self.pids(), timeout)

    def _kill_one_by_one(self, timeout: float) -> None:
        killing.kill_until_gone(
            self.pids, self._relative, timeout, stop=self._stop, go_on=self.thaw
        )

    def _stop(self) -> bool:
        files.write(self._path + "/cgroup.freeze", "1")
        return files.wait_for_line(self._path + "/cgroup.events", "frozen 1", 0.2)


def own_cgroup(text: str) -> str:
    """Our place in the unified hierarchy from /proc/self/cgroup, "" for the root.  Pure.

    Once we moved ourselves out of the way, the place is the cgroup above.
    """
    match = re.search(r"^0::(/.*)$", text, re.MULTILINE)
    path = match.group(1).rstrip("/") if match else ""
    return os.path.dirname(path) if os.path.basename(path) == LEAF else path
