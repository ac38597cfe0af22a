"""What the console does to boxes: one coroutine for each verb, each one request.

Constraint: no widgets.  What is done shows by the daemon's events; a failure is raised as the
BoxyError that the daemon sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from boxy_core.client.aio import Client
from boxy_core.errors import BoxyError, NotFound
from boxy_core.models import Box, Image, Status, convert
from boxy_tui.state import State

GRACE = 10.0
MARGIN = 30.0
"""Seconds beyond a box's own grace period that a stop may take."""
AT_ONCE = 8
"""Requests under way at a time for a deed on many boxes."""

PAST = {"stop": "stopped", "start": "started", "restart": "restarted", "kill": "killed",
        "pause": "paused", "remove": "removed"}  # fmt: skip


class Deeds:
    """The verbs, on one daemon."""

    def __init__(self, client: Client, state: State) -> None:
        self._client = client
        self._state = state
        self._verbs: dict[str, Callable[[Box], Awaitable[object]]] = {
            "stop": self._stop,
            "start": self.start,
            "restart": self._restart,
            "kill": self._kill,
            "pause": self._pause,
            "remove": self._remove,
        }

    async def do(self, verb: str, boxes: Sequence[Box]) -> list[tuple[Box, BoxyError]]:
        """Do it to all of them, several at a time; the failures."""
        gate = asyncio.Semaphore(AT_ONCE)
        failed: list[tuple[Box, BoxyError]] = []

        async def one(box: Box) -> None:
            async with gate:
                try:
                    await self._verbs[verb](box)
                except BoxyError as error:
                    failed.append((box, error))

        await asyncio.gather(*(one(box) for box in boxes))
        return failed

    async def create(self, spec: dict[str, Any]) -> Box:
        """Make a box; it does not run yet."""
        box = convert(Box, await self._client.request("POST", "/boxes", body=spec))
        self._state.put_box(box)
        return box

    async def update(self, box: Box, limits: dict[str, Any]) -> Box:
        """Put other limits in force; None takes one away."""
        answer = await self._client.request("POST", f"/boxes/{box.id}/update", body=limits)
        changed = convert(Box, answer)
        self._state.put_box(changed)
        return changed

    async def change_ports(self, box: Box, change: dict[str, Any]) -> Box:
        """Publish ports and take them back, at once if the box lives."""
        answer = await self._client.request("POST", f"/boxes/{box.id}/ports", body=change)
        changed = convert(Box, answer)
        self._state.put_box(changed)
        return changed

    async def start(self, box: Box) -> Box:
        """Start it, with nobody attached."""
        answer = await self._client.request("POST", f"/boxes/{box.id}/start", body={})
        return convert(Box, answer)

    async def prepare(self, name: str, say: Callable[[str], None], *, quiet: bool = False) -> None:
        """Unpack an image, with progress.  `quiet`: nothing is said when there is nothing to do."""
        known: Image | None = next((i for i in self._state.images if i.name == name), None)
        if quiet and (known is None or known.ready):
            return
        path = f"/images/{name}/prepare"
        async with self._client.stream("POST", path) as answer:
            async for line in answer.lines():
                if "step" in line:
                    total = line.get("total") or 0
                    share = f" {100 * line.get('done', 0) // total} %" if total else ""
                    say(f"{name}: {line['step']}{share}")

    async def remove_image(self, name: str) -> None:
        """Forget an image; raises Conflict naming the boxes that use it."""
        await self._client.request("DELETE", f"/images/{name}")

    async def _stop(self, box: Box) -> None:
        grace = GRACE if box.spec.stop_timeout is None else box.spec.stop_timeout
        await self._client.request("POST", f"/boxes/{box.id}/stop", within=grace + MARGIN)

    async def _restart(self, box: Box) -> None:
        grace = GRACE if box.spec.stop_timeout is None else box.spec.stop_timeout
        await self._client.request("POST", f"/boxes/{box.id}/restart", within=grace + MARGIN)

    async def _kill(self, box: Box) -> None:
        await self._client.request("POST", f"/boxes/{box.id}/kill", query={"signal": "KILL"})

    async def _pause(self, box: Box) -> None:
        verb = "unpause" if box.status is Status.PAUSED else "pause"
        await self._client.request("POST", f"/boxes/{box.id}/{verb}")

    async def _remove(self, box: Box) -> None:
        try:
            await self._client.request("DELETE", f"/boxes/{box.id}", query={"force": 1})
        except NotFound:
            self._state.drop_box(box.id)
