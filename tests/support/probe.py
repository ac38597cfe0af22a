"""Whether this machine can run the tests that make real boxes, and what it lacks if not."""

from __future__ import annotations

import asyncio
import shutil
from functools import cache

from boxy_cli.prerequisites import Host, missing
from boxyd.network import ability


@cache
def privileged() -> tuple[str, ...]:
    """What keeps the privileged tier from running here, as sentences; empty when it can run."""
    return tuple(missing(Host.read()))


@cache
def end_to_end() -> tuple[str, ...]:
    """What keeps the end-to-end tier from running here; empty when it can run."""
    if shutil.which("tmux") is None:
        return (*privileged(), "tmux is not installed; say: apt install tmux.")
    return privileged()


@cache
def networks() -> str:
    """Why boxes cannot be connected to networks here; "" if they can."""
    return asyncio.run(ability.problem())


NEEDS = {"privileged": privileged, "e2e": end_to_end}
