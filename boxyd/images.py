"""The image store as the daemon uses it: never two unpackings of one image, never in the loop.

Constraint: `resolve` and `list` of the store are cheap and are called inline; `prepare` takes
seconds and runs in a thread.  Whoever asks for an image that is being unpacked waits for that
unpacking, and hears of its progress.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from boxy_core.errors import NotFound
from boxy_core.models import Image
from boxyd.events import Events

Progress = Callable[[str, int, int], None]
"""called with the step's name, bytes done, bytes in all (0: unknown)"""

log = logging.getLogger("boxyd.images")


class Store(Protocol):
    """What the daemon uses of boxy_core.image.store.ImageStore."""

    def list(self) -> list[Image]:
        """Every image of every registry folder."""

    def resolve(self, name: str) -> Image:
        """One image, ready or not."""

    def prepare(self, name: str, progress: Progress) -> Image:
        """The image, unpacked; blocks."""


class Images:
    """Images by name, unpacked when they are needed."""

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._under_way: dict[str, _Preparing] = {}
        self.fetch: Callable[[str, Progress | None], Awaitable[Image]] | None = None
        """gets an image that is not here; None: nothing is fetched"""

    def list(self) -> list[Image]:
        """All images of the registry folders; broken ones carry their problem."""
        return self._store.list()

    def resolve(self, name: str) -> Image:
        """The image, unpacked or not.  Raises NotFound, ImageError."""
        return self._store.resolve(name)

    async def ready(self, name: str, progress: Progress | None = None) -> Image:
        """The image, unpacked; pulled if it is not here.  Raises NotFound, Denied, ImageError.

        A caller that is cancelled does not stop an unpacking that others may wait for.
        """
        try:
            image = self._store.resolve(name)
        except NotFound:
            if self.fetch is None:
                raise
            return await self.fetch(name, progress)
        if image.ready:
            return image
        preparing = self._under_way.get(image.name)
        if preparing is None:
            preparing = self._under_way[image.name] = _Preparing(self._store, image.name)
            preparing.task.add_done_callback(lambda _: self._prepared(preparing))
        return await preparing.wait(progress)

    def _prepared(self, preparing: _Preparing) -> None:
        self._under_way.pop(preparing.name, None)
        task = preparing.task
        if not task.cancelled() and task.exception() is None:
            self._events.emit("image.prepared", name=preparing.name, image=task.result().id)


class _Preparing:
    """One unpacking under way, and those who want to hear of it."""

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._listeners: list[Progress] = []
        self.task = asyncio.create_task(self._run())

    async def wait(self, progress: Progress | None) -> Image:
        if progress is not None:
            self._listeners.append(progress)
        try:
            return await asyncio.shield(self.task)
        finally:
            if progress is not None:
                self._listeners.remove(progress)

    async def _run(self) -> Image:
        log.info("unpacking the image %s", self.name)
        return await asyncio.to_thread(self._store.prepare, self.name, self._progress)

    def _progress(self, step: str, done: int, total: int) -> None:
        """Called in the unpacking thread."""
        self._loop.call_soon_threadsafe(self._tell, step, done, total)

    def _tell(self, step: str, done: int, total: int) -> None:
        for listener in self._listeners:
            listener(step, done, total)
