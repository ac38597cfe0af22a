"""Control groups: what a box may use, what it used, and a handle on all of its processes.

Constraint: the hosts differ (v2, v1, both, none), the callers do not know.  `detect` looks at
the file systems mounted below a root, and makes the one driver that fits.
"""

from __future__ import annotations

from collections.abc import Callable

from boxyd.cgroup.detection import detect_hierarchies
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.cgroup.interface import Cgroup, CgroupMount, CgroupPlan, Driver
from boxyd.cgroup.null import NullDriver
from boxyd.cgroup.reader import Reader
from boxyd.runtime.cgroup_calls import statfs_type

__all__ = [
    "DEFAULT_DEVICES",
    "Cgroup",
    "CgroupMount",
    "CgroupPlan",
    "DeviceRule",
    "Driver",
    "Reader",
    "detect",
]


def detect(
    root: str = "/sys/fs/cgroup",
    parent: str = "boxy",
    *,
    magic: Callable[[str], int] = statfs_type,
    own: str | None = None,
    unified: bool = True,
) -> Driver:
    """The driver for the cgroups mounted at `root`; `parent` is the cgroup above all boxes.

    Never raises: where nothing can be used the null driver says why.  `magic` tells the file
    system of a path, `own` is the text of /proc/self/cgroup; `unified=False` leaves the v2 side
    of a hybrid host aside.  These are for tests.
    """
    try:
        own = own if own is not None else _own()
        return detect_hierarchies(root, parent, magic, own, unified)
    except OSError as error:
        return NullDriver(f"{error.filename or root}: {error.strerror}")
    except LookupError as error:
        return NullDriver(str(error.args[0]))


def _own() -> str:
    with open("/proc/self/cgroup", encoding="ascii") as file:
        return file.read()
