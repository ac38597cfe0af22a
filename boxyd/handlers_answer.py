"""Answers that are not errors: JSON, JSON lines, bytes without end.

Constraint: a stream is a connection of its own.  The socket's own back-pressure holds a slow
reader (we wait in `send`, at no cost), and a reader that leaves ends the stream at once, also
while nothing happens that could be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from boxy_core.errors import BoxyError
from boxyd.hijack import door_of
from boxyd.house import House

HOUSE = web.AppKey("house", House)
JSON = "application/json"
LINES = "application/x-ndjson"
FRAMES = "application/vnd.boxy.stream"

Tell = Callable[[dict[str, Any]], None]
"""takes a step of what is under way, which is told as a line"""

_encoder = msgspec.json.Encoder()


def answer(content: object, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_encoder.encode(content), status=status, content_type=JSON)


def line(content: object) -> bytes:
    """A line of an NDJSON answer."""
    return _encoder.encode(content) + b"\n"


@contextlib.asynccontextmanager
async def stream(request: web.Request, kind: str) -> AsyncIterator[web.StreamResponse]:
    """An answer that is sent bit by bit; the block ends when the client leaves or we close.

    Its end is told by the last chunk, so a client can tell it from a daemon that died.
    """
    response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-store"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    house = request.app[HOUSE]
    task = asyncio.current_task()
    assert task is not None
    door_of(request).on_lost(task.cancel)
    closing = asyncio.create_task(house.closing.wait())
    closing.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    try:
        yield response
    except asyncio.CancelledError:
        if not house.closing.is_set():
            raise
        task.uncancel()
    finally:
        closing.cancel()
    response.force_close()


async def told(
    request: web.Request, key: str, work: Callable[[Tell], Awaitable[object]]
) -> web.StreamResponse:
    """Answer with a line for each step, and the result (under `key`) or the error as the last."""
    steps: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def run() -> None:
        try:
            steps.put_nowait({key: await work(steps.put_nowait)})
        except BoxyError as error:
            steps.put_nowait({"error": error.to_wire()})

    async with stream(request, LINES) as out:
        working = asyncio.create_task(run())
        try:
            step: dict[str, Any] = {"step": ""}
            while "step" in step:
                step = await steps.get()
                await out.write(line(step))
        finally:
            working.cancel()
    return out
