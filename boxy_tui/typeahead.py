"""Keys that come faster than they are obeyed: each goes where the one before it led.

Constraint: Textual forwards a key to what has the focus when it is read, so of `/web` in one read
(a quick typist; every SSH line that lags) the last three would go to the table, and do what `w`,
`e` and `b` do to a box.  Here a key waits until the one before it has been obeyed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

Typed = events.Key | events.Paste
PATIENCE = 1.0
"""Seconds after which a key waits no longer for the one before it, whatever became of that."""
TRIPS = 2
"""The key itself, then what its widget made of it: a field's `Submitted` comes a trip later."""


class TypeAhead:
    """The keys under way.

    Args:
        app: the application.
        obey: hands a key to what has the focus.
    """

    def __init__(self, app: App[str], obey: Callable[[Typed], Awaitable[None]]) -> None:
        self._app = app
        self._obey = obey
        self._waiting: deque[Typed] = deque()
        self._turn = 0
        self._under_way = False

    async def take(self, event: Typed) -> None:
        """Obey a key, or let it wait until the one before it has been obeyed."""
        self._waiting.append(event)
        if not self._under_way:
            await self._next()
        elif len(self._waiting) == 1:
            self._app.set_timer(PATIENCE, lambda turn=self._turn: self._over(turn))

    async def _next(self) -> None:
        if not self._waiting or self._under_way:
            return
        event = self._waiting.popleft()
        target = self._app.focused or self._app.screen
        self._turn += 1
        self._under_way = True
        await self._obey(event)
        self._follow(self._turn, TRIPS, target)

    def _follow(self, turn: int, trips: int, node: MessagePump | None) -> None:
        """Come behind the key through the queues that it bubbles through, up to the application."""
        while node is not None and node is not self._app:
            parent = node._parent  # noqa: SLF001 - a pump tells it in no other way
            if node.call_later(self._follow, turn, trips, parent):
                return
            node = parent  # the other one is closing
        self._app.call_later(self._obeyed, turn, trips)

    def _obeyed(self, turn: int, trips: int) -> None:
        """Behind what the key asked of the application; a new screen is there and has its focus."""
        screen, focused = self._app.screen, self._app.focused
        after = partial(self._follow, turn, trips - 1, focused or screen)
        if trips == 1:
            after = partial(self._over, turn)
        if not screen.call_later(after):
            self._over(turn)

    def _over(self, turn: int) -> None:
        if turn == self._turn and self._under_way:
            self._under_way = False
            self._app.call_later(self._next)
