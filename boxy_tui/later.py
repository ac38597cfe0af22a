"""What a worker is given to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec

P = ParamSpec("P")


def later(
    function: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs
) -> Callable[[], Awaitable[object]]:
    """A call for `run_worker`, made only when the worker begins.

    A coroutine that is made at once is never awaited where the console ends before the worker
    began, and Python says so on stderr, in the terminal that was just given back.
    """
    return partial(function, *args, **kwargs)
