"""The one thread for what blocks in the kernel: links, addresses, rules.

Constraint: the kernel does such work under one lock (rtnl) of its own, which it may hold for
many milliseconds while it takes down the network of a box that ended.  So it is never waited
for in the daemon's loop, and more threads would only wait for each other.

A thread can be in another network namespace than its process: that is how a box's interface is
configured (setns(2) changes the calling thread).  A thread that cannot come back must not do
anything more, so it ends the daemon; the boxes go on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from boxyd.network.rtnetlink import Netlink
from boxyd.runtime import syscalls as sys_

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("boxyd.network")


class Worker:
    """Runs functions in the network's thread, in order."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="boxy-net")

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the thread do it, and wait; who is cancelled does not stop it."""
        future = self._pool.submit(function, *args, **kwargs)
        return await asyncio.shield(asyncio.wrap_future(future))

    def close(self) -> None:
        """Let the thread end when it has done what was asked."""
        self._pool.shutdown(wait=True)


@contextlib.contextmanager
def inside(netns: int) -> Iterator[Netlink]:
    """A netlink socket of the network namespace that the fd `netns` stands for.

    The thread itself is back before this yields.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        sys_.setns(netns, sys_.CLONE_NEWNET)
        try:
            link = Netlink()
        finally:
            try:
                sys_.setns(home, sys_.CLONE_NEWNET)
            except OSError:
                log.critical("the network's thread is lost in the network of a box")
                os._exit(70)
    finally:
        os.close(home)
    with link:
        yield link
