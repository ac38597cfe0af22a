"""One epoll and a handler for each descriptor: all that the shim's loop is."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN, OUT = select.EPOLLIN, select.EPOLLOUT
HUP = select.EPOLLHUP | select.EPOLLERR


class Poller:
    """Calls `handler(events)` when a descriptor is ready; a handler may remove any other."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, in that many seconds."""
        self._timers.append((time.monotonic() + seconds, call))

    def add(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Watch `fd`."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def modify(self, fd: int, events: int) -> None:
        """Watch `fd` for other events.  A hang-up is always told."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch `fd` no longer; before it is closed.  Nothing happens if it was not watched."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Whether `fd` is being watched."""
        return fd in self._handlers

    def once(self, deadline: float | None) -> None:
        """Wait until something happens or the monotonic clock shows `deadline`; handle it."""
        if self._timers:
            soonest = min(at for at, _ in self._timers)
            deadline = soonest if deadline is None else min(soonest, deadline)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        get = self._handlers.get
        for fd, events, handler in [(f, e, get(f)) for f, e in self._epoll.poll(timeout)]:
            if handler and get(fd) is handler:  # not one that took the number of a closed one
                handler(events)
        if self._timers:
            self._ring_timers(time.monotonic())

    def _ring_timers(self, now: float) -> None:
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, call in due:
            call()
