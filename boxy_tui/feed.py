"""Brings what the daemon says into the State: the watch and stats streams, and what they call for.

Constraint: never polls.  Lists are asked for once per daemon life and after a resync; afterwards
one event leads to at most one question about one box.  A lost daemon is tried again with a growing
pause; nothing that is known is thrown away meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from boxy_core.client.aio import Client
from boxy_core.errors import BoxyError, DaemonUnreachable, NotFound
from boxy_core.models import Box, Event, Image, Stats, convert
from boxy_tui.state import State

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 4.0
"""Seconds between tries to reach the daemon."""
MANY = 16
"""More changed boxes than this are listed at once rather than asked for one by one."""
PAST = 50
"""Events from before the console came that are asked for."""
QUICK = 10.0
"""Seconds that a cheap answer may take."""


class Feed:
    """Keeps `state` true for as long as `run` runs; `changed` is called after each change."""

    def __init__(self, client: Client, state: State, changed: Callable[[], None]) -> None:
        self.client = client
        self.state = state
        self._changed = changed
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self._retry_now = asyncio.Event()

    async def run(self) -> None:
        """Follow the daemon for ever, through its restarts."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._follow()
            except BoxyError as error:
                if self.state.link == "live":
                    pause = FIRST_PAUSE
                self.state.disconnected(error)
            except OSError as error:
                self.state.disconnected(DaemonUnreachable(f"the daemon was lost: {error}"))
            self._changed()
            try:
                async with asyncio.timeout(pause):
                    await self._retry_now.wait()
            except TimeoutError:
                pass
            self._retry_now.clear()
            pause = min(LONGEST_PAUSE, pause * 2)

    def retry(self) -> None:
        """Try to reach the daemon at once."""
        self._retry_now.set()

    async def _follow(self) -> None:
        version = await self.client.request("GET", "/version", within=QUICK)
        tasks = [self._watch(version), self._stats(), self._fetch()]
        await _together(tasks)

    async def _watch(self, version: dict[str, Any]) -> None:
        state = self.state
        query = {"since": state.cursor} if state.cursor is not None else None
        async with self.client.stream("GET", "/watch", query=query) as answer:
            lines = answer.lines()
            hello = await anext(lines, None)
            if hello is None:
                raise DaemonUnreachable("the daemon ended the event stream")
            first = state.cursor is None
            if state.greeted(int(hello["cursor"]), str(hello.get("boot", ""))):
                await self._list_all()
            state.connected(version)
            self._changed()
            if first:
                await self._past(int(hello["cursor"]))
            async for line in lines:
                await self._event(convert(Event, line))
        raise DaemonUnreachable("the daemon ended the event stream")

    async def _past(self, upto: int) -> None:
        """What happened last before we came: the events that the daemon keeps, up to this one."""
        past: list[Event] = []
        query = {"since": max(0, upto - PAST)}
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(QUICK),
                self.client.stream("GET", "/watch", query=query) as answer,
            ):
                lines = answer.lines()
                await anext(lines, None)  # the greeting
                async for line in lines:
                    event = convert(Event, line)
                    if event.type != "resync":  # there are fewer of them than we asked for
                        past.append(event)
                    if event.cursor >= upto:
                        break
        self.state.add_past(event for event in past if event.cursor <= upto)
        self._changed()

    async def _event(self, event: Event) -> None:
        effect = self.state.apply(event)
        if effect.resync:
            await self._list_all()
        if effect.images:
            await self._list_images()
        if effect.fetch:
            self._wanted.add(effect.fetch)
            self._wake.set()
        self._changed()

    async def _stats(self) -> None:
        async with self.client.stream("GET", "/stats", query={"stream": 1}) as answer:
            async for line in answer.lines():
                self.state.add_samples(convert(list[Stats], line["boxes"]))
                self._changed()
        raise DaemonUnreachable("the daemon ended the stats stream")

    async def _fetch(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, set()
            if len(wanted) > MANY:
                await self._list_boxes()
            else:
                for box_id in wanted:
                    await self.refresh(box_id)
            self._changed()

    async def refresh(self, box_id: str) -> None:
        """Ask for one box's full record."""
        try:
            answer = await self.client.request("GET", f"/boxes/{box_id}", within=QUICK)
        except NotFound:
            self.state.drop_box(box_id)
        else:
            self.state.put_box(convert(Box, answer))

    async def history(self, box_id: str) -> None:
        """Ask once for what the daemon remembers of a box."""
        if not self.state.lacks_history(box_id):
            return
        self.state.add_history(box_id, [])
        answer = await self.client.request("GET", f"/boxes/{box_id}/history", within=QUICK)
        self.state.add_history(box_id, convert(list[Stats], answer or []))
        self._changed()

    async def _list_all(self) -> None:
        await self._list_boxes()
        await self._list_images()

    async def _list_boxes(self) -> None:
        answer = await self.client.request("GET", "/boxes", query={"all": 1}, within=QUICK)
        self.state.list_boxes(convert(list[Box], answer))

    async def _list_images(self) -> None:
        answer = await self.client.request("GET", "/images", within=QUICK)
        self.state.list_images(convert(list[Image], answer))


async def _together(tasks: list[Coroutine[Any, Any, None]]) -> None:
    """Run all until the first ends; raise its error as it is, not wrapped in a group."""
    running = [asyncio.ensure_future(task) for task in tasks]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
