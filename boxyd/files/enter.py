"""Into a box, to stay there: its tree becomes ours, and its root's power all that we have.

Constraint: the process has one thread, imports nothing afterwards, and can never get back: what
it then does with a hostile box's files it does as that box's root, in that box's mounts.  The
box's own processes cannot see it, since it is in no pid namespace of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from boxyd.runtime import idmaps, steps
from boxyd.runtime import syscalls as sys_

_KEPT = (0, 1, 2, 3, 4, 27, 31)
"""capabilities(7): chown, dac_override, dac_read_search, fowner, fsetid, mknod, setfcap"""
_LAST = 63
_TREE = ("overlay", "bind", "share", "volume", "image_mount", "pivot")
"""the steps of a plan that make a box's files"""


def running(box: int, *, mapped: bool) -> None:
    """Enter the box whose first process the pidfd `box` stands for.  Raises OSError."""
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.setns(box, sys_.CLONE_NEWNS | (sys_.CLONE_NEWUSER if mapped else 0))
    os.close(box)
    _settle(mapped=mapped)


def stopped(told: Sequence[dict[str, Any]], base: int) -> None:
    """Make the tree of a box that does not run, seen by us alone, and enter it.

    `told` are the steps of its plan, `base` the host's number of its root (0: no user
    namespace).  A mount whose source is gone is left out.  Raises OSError.
    """
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    host = steps.Host(base, -1)
    ours = -1
    if base:
        # Of overlayfs's mounter, the host's root, too: see stage.user_namespace.
        both = idmaps.text(idmaps.same(), base) + f"{idmaps.COUNT} 0 1\n"
        host.userns = host.keep(idmaps.namespace(both, both))
        plain = idmaps.text(idmaps.same(), base)
        ours = host.keep(idmaps.namespace(plain, plain))
    made: list[steps.Step] = []
    for step in (steps.from_json(one) for one in told if one["do"] in _TREE):
        try:
            step.prepare(host)
        except OSError:
            if step.do == "overlay":
                raise
            continue
        made.append(step)
    sys_.unshare(sys_.CLONE_NEWNS)
    inside = steps.Inside(terminal=False)
    for step in made:
        step.apply(inside)
    if base:
        sys_.setns(ours, sys_.CLONE_NEWUSER)
    host.close_all()
    os.close(inside.root)
    _settle(mapped=base > 0)


def _settle(*, mapped: bool) -> None:
    if mapped:
        os.setresgid(0, 0, 0)
        os.setgroups([])
        os.setresuid(0, 0, 0)
    os.chdir("/")
    os.umask(0)
    for number in range(_LAST):
        if number not in _KEPT:
            try:
                sys_.prctl(sys_.PR_CAPBSET_DROP, number)
            except OSError:
                break  # past the last that this kernel knows
    kept = sum(1 << number for number in _KEPT)
    sys_.capset(kept, kept, 0)
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
