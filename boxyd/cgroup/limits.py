"""Limits as the kernel wants them: checking their values, and the vocabulary of settings.

Pure but for looking up a block device's number.  The settings themselves are made by v1.py and
v2.py, each in its hierarchy's words; here is what both share.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from boxy_core.errors import InvalidRequest, Unsupported
from boxy_core.models import Limits
from boxy_core.units import format_size

DEFAULT_PIDS = 4096
"""Tasks in a box that asked for nothing: enough for any service, too few for a fork bomb."""
MINIMUM_MEMORY = 6 << 20
"""Below this not even a shell starts (the same floor as Docker's)."""
PERIOD_USEC = 100_000
"""The kernel's default period of CPU bandwidth (sched-bwc.rst)."""

_CPU_LIST = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_PAGE_SIZE = re.compile(r"\d+[KMG]B")
_IO = ("io_read_bps", "io_write_bps", "io_read_iops", "io_write_iops")
_SIZES = {"memory", "memory_reservation"}
_RANGES: dict[str, tuple[float, float]] = {
    "memory": (MINIMUM_MEMORY, 1 << 62),
    "memory_reservation": (0, 1 << 62),
    "cpus": (0.01, 1 << 20),
    "cpu_shares": (2, 262_144),
    "pids": (1, 1 << 22),
    "io_weight": (10, 1000),
}

WHAT = {
    "memory": "a memory limit",
    "memory_swap": "a limit of memory and swap together",
    "memory_reservation": "a memory reservation",
    "cpus": "a number of CPUs",
    "cpu_shares": "a CPU weight",
    "cpuset": "a choice of CPUs",
    "pids": "a limit of processes",
    "io_weight": "an I/O weight",
    "io_read_bps": "a limit of bytes read a second",
    "io_write_bps": "a limit of bytes written a second",
    "io_read_iops": "a limit of reads a second",
    "io_write_iops": "a limit of writes a second",
    "hugetlb": "a limit of huge pages",
}
"""Each field of Limits in words, for sentences."""


class Setting(NamedTuple):
    """One value for one file of a box's cgroup."""

    field: str
    """of Limits"""
    file: str
    text: str
    default: bool = False
    """the value that a new cgroup has anyway"""
    key: str = ""
    """tells settings of one file apart: the device"""


def asked(limits: Limits) -> set[str]:
    """The fields that the user gave a value."""
    return {name for name in WHAT if getattr(limits, name) not in (None, {})}


def check_values(limits: Limits) -> None:
    """Refuse values that make no sense on any host.  Raises InvalidRequest naming the field."""
    for name, (low, high) in _RANGES.items():
        value = getattr(limits, name)
        if value is not None and not low <= value <= high and (name, value) != ("pids", -1):
            show = format_size if name in _SIZES else str
            bound = f"{show(low)} or more" if value < low else f"{show(high)} or less"
            raise InvalidRequest(
                f"the limit {name} is {show(value)}, but must be {bound}",
                hint="docs/how-to/limits.md tells what each may be",
            )
    _check_swap(limits)
    if limits.cpuset is not None and not _CPU_LIST.fullmatch(limits.cpuset):
        raise InvalidRequest(
            f"the limit cpuset is {limits.cpuset!r}, which is no list of CPUs",
            hint='write numbers and ranges, such as "0-2,7"',
        )
    for name in _IO:
        for device, rate in getattr(limits, name).items():
            if rate < 1:
                raise InvalidRequest(
                    f"the limit {name} of {device} is {rate}, but must be 1 or more",
                    hint="docs/how-to/limits.md tells what each may be",
                )
    for size, amount in limits.hugetlb.items():
        if not _PAGE_SIZE.fullmatch(size) or amount < 0:
            raise InvalidRequest(
                f"the limit hugetlb names the page size {size!r} with {amount} bytes",
                hint='write the size as in /sys/kernel/mm/hugepages, such as "2MB"',
            )


def _check_swap(limits: Limits) -> None:
    swap = limits.memory_swap
    if swap is None or swap == -1:
        return
    if limits.memory is None:
        raise InvalidRequest(
            "the limit memory_swap needs the limit memory",
            hint="give both, or memory alone, which then allows no swap",
        )
    if swap < limits.memory:
        raise InvalidRequest(
            f"the limit memory_swap is {swap}, less than memory, which is {limits.memory}",
            hint="memory_swap counts memory and swap together",
        )


def unsupported(field: str) -> Unsupported:
    """The error for a limit that the user asked for and this host has no means to keep."""
    return Unsupported(
        f"this machine cannot keep {WHAT[field]}: its kernel lacks the cgroup control for it",
        hint="leave that limit out; `boxy info` lists what this machine lacks",
        limit=field,
    )


def disks(limits: Limits) -> dict[str, str]:
    """The devices that the limits name: path to `MAJOR:MINOR` of the whole disk.

    Raises InvalidRequest if one is no block device.
    """
    paths = {path for name in _IO for path in getattr(limits, name)}
    return {path: disk_number(path) for path in sorted(paths)}


def disk_number(path: str) -> str:
    """`MAJOR:MINOR` of a block device; a partition's disk, as bandwidth belongs to disks."""
    try:
        info = os.stat(path)
    except OSError as error:
        raise InvalidRequest(
            f"there is no block device {path}: {error.strerror}", hint="lsblk lists them"
        ) from None
    if not stat.S_ISBLK(info.st_mode):
        raise InvalidRequest(f"{path} is not a block device", hint="lsblk lists them")
    number = f"{os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    folder = os.path.realpath(f"/sys/dev/block/{number}")
    if os.path.exists(folder + "/partition"):
        with open(os.path.dirname(folder) + "/dev", encoding="ascii") as file:
            return file.read().strip()
    return number


def rate(limits: Limits, field: str, number: str, numbers: dict[str, str]) -> int | None:
    """What `field` allows for the disk `number`; None: all."""
    rates: dict[str, int] = getattr(limits, field)
    return min((value for path, value in rates.items() if numbers[path] == number), default=None)


def quota_usec(cpus: float) -> int:
    """The CPU time of each period; the kernel takes no less than a millisecond."""
    return max(1000, round(cpus * PERIOD_USEC))
