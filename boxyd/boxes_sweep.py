"""Taking away what a box leaves on the host.

Constraint: quick where little is to be done (a fresh box has a handful of files), and never in
the loop's way where much is.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator

from boxy_core.errors import BoxyError
from boxyd.cgroup.interface import Cgroup
from boxyd.trees import removing

INLINE_STEPS = 64
"""entries of a box's folder that are removed at once; more go to a thread"""

log = logging.getLogger("boxyd.boxes")


async def empty(trash: str) -> None:
    """Remove a folder that `State.discard` set aside: at once if little is in it."""
    if not trash:
        return
    try:
        steps = removing(trash)
        if sum(1 for _ in itertools.islice(steps, INLINE_STEPS)) == INLINE_STEPS:
            await asyncio.to_thread(_exhaust, steps)
    except OSError as error:
        log.warning("%s stays until the daemon's next start: %s", trash, error)


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def remove_group(group: Cgroup) -> None:
    """Remove a box's cgroup; what cannot be is logged, and removed by the daemon's next start."""
    try:
        group.remove()
    except (BoxyError, OSError) as error:
        log.warning("the cgroup stays until the daemon's next start: %s", error)
