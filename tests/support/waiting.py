"""Waiting for what must come to be: a test never sleeps and hopes, it waits for the condition.

The time allowed is a hang's, not a duration: on a machine that works on other things, too, what
takes a moment here may take half a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONG_ENOUGH = 45.0


def eventually(
    holds: Callable[[], object],
    seconds: float = LONG_ENOUGH,
    *,
    every: float = 0.02,
    what: Callable[[], object] | str = "it",
) -> None:
    """Return as soon as `holds()` is true; the test fails with `what` if it never is.

    Args:
        holds: asked again and again.
        seconds: how long it is asked.
        every: the pause between two questions, in seconds.
        what: what was waited for, or a function that tells how things stand at the end.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"{told}: never came to be, in {seconds:g} s")
        time.sleep(every)


async def eventually_async(
    holds: Callable[[], object], seconds: float = LONG_ENOUGH, *, every: float = 0.005
) -> None:
    """The same in an event loop, which goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"it never came to be, in {seconds:g} s")
        await asyncio.sleep(every)
