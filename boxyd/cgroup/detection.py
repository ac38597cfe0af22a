"""Finds out which cgroups a host has, by the magic numbers of the mounted file systems.

Constraint: the layout is that of systemd and of every container runtime: v2 at the root itself,
or a tmpfs with a folder for each v1 hierarchy, named after its controllers, and perhaps one
for v2 ("unified").  Links such as cpu -> cpu,cpuacct are further names, not further trees.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from boxyd.cgroup import files
from boxyd.cgroup.driver import HierarchyDriver
from boxyd.cgroup.v1 import V1Hierarchy
from boxyd.cgroup.v2 import USED, V2Hierarchy, own_cgroup

CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
"""linux/magic.h"""
_LEFT_TO_V2 = frozenset(USED) - {"hugetlb"}
"""What a hybrid host may have moved from v1 to the v2 side and every box needs."""

_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS)
_KNOWN = frozenset(("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb"))
_KNOWN |= {"memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"}


def detect_hierarchies(
    root: str, parent: str, magic: Callable[[str], int], own: str, unified: bool
) -> HierarchyDriver:
    """The driver for what is mounted at `root`.  Raises OSError, LookupError (a clause)."""
    if magic(root) == CGROUP2_SUPER_MAGIC:
        return _pure(root, parent, own_cgroup(own))
    old: list[V1Hierarchy] = []
    beside: V2Hierarchy | None = None
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if not entry.is_dir(follow_symlinks=False):
            continue
        kind = magic(entry.path)
        if kind == CGROUP_SUPER_MAGIC:
            controllers = frozenset(entry.name.split(",")) & _KNOWN
            old.append(V1Hierarchy(entry.path, entry.name, controllers))
        elif kind == CGROUP2_SUPER_MAGIC and unified:
            handed = files.words(entry.path + "/cgroup.controllers") & _LEFT_TO_V2
            beside = V2Hierarchy(entry.path, entry.name, handed)
    if not old and beside is None:
        raise LookupError(f"nothing is mounted at {root}")
    return HierarchyDriver(_writable(old, parent), beside, parent)


def _writable(old: list[V1Hierarchy], parent: str) -> list[V1Hierarchy]:
    """Those in which boxes can be made; a read-only one among others is left aside."""
    kept, last = [], None
    for hierarchy in old:
        try:
            hierarchy.available(parent)
            kept.append(hierarchy)
        except OSError as error:
            last = error
    if last is not None and not kept:
        raise last
    return kept


def _pure(root: str, parent: str, own: str) -> HierarchyDriver:
    """v2 alone: at the root where we may, else in the cgroup that was delegated to us."""
    present = files.words(root + "/cgroup.controllers")
    used = frozenset(present.intersection(USED))
    try:
        return HierarchyDriver([], V2Hierarchy(root, "", used, own=own), parent)
    except OSError as error:
        if error.errno not in _REFUSALS or not own:
            raise
    present = files.words(f"{root}{own}/cgroup.controllers")
    used = frozenset(present.intersection(USED))
    return HierarchyDriver([], V2Hierarchy(root, "", used, base=own, own=own), parent)
