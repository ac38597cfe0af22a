"""Work that blocks, in a thread, for the event loop.

Constraint: a thread cannot be stopped.  If the request that waits for it is cancelled, what the
thread uses (a descriptor!) must not be let go before it is done; so the wait goes on, and the
cancellation is passed on afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """The function's result, from a thread."""
    return await wait_finished(begin(function, *arguments, **named))


def begin(function: Callable[..., T], *arguments: Any, **named: Any) -> asyncio.Future[T]:
    """Start it; `wait_finished` must follow."""
    call = partial(function, *arguments, **named)
    return asyncio.get_running_loop().run_in_executor(None, call)


async def wait_finished(future: asyncio.Future[T]) -> T:
    """The result of what was begun; not before it is done, cancelled or not."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return future.result()
