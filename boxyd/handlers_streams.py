"""Requests whose answers go on: events, figures, logs, the progress of an unpacking."""

from __future__ import annotations

import asyncio

from aiohttp import web

from boxy_core.errors import BoxyError, Conflict
from boxyd.boxes_shelf import Record
from boxyd.handlers_answer import FRAMES, HOUSE, LINES, Tell, answer, line, stream, told
from boxyd.handlers_query import Query, empty_body
from boxyd.journal import about
from boxyd.logs import LogQuery, LogReader

MAX_CURSOR = 1 << 62


async def watch(request: web.Request) -> web.StreamResponse:
    """Events as they happen; the first line says where they begin."""
    query = Query(request, "since", "boot")
    events = request.app[HOUSE].events
    since = query.integer("since", -1, 0, MAX_CURSOR)
    if query.text("boot") not in ("", events.boot):
        since = 0  # of another daemon's life: long gone
    cursor = events.cursor if since < 0 else since
    async with stream(request, LINES) as out:
        await out.write(line({"cursor": cursor, "boot": events.boot}))
        async for batch in events.watch(cursor):
            await out.write(b"".join(map(line, batch)))
    return out


async def all_stats(request: web.Request) -> web.StreamResponse:
    """Every box's figures, each second, on one line."""
    query = Query(request, "stream")
    sampler = request.app[HOUSE].sampler
    ticks = sampler.watch()
    if not query.flag("stream", default=True):
        tick = await anext(aiter(ticks))
        return web.Response(body=tick.encoded, content_type="application/json")
    async with stream(request, LINES) as out:
        async for tick in ticks:
            await out.write(tick.encoded)
    return out


async def stats(request: web.Request) -> web.StreamResponse:
    """One box's figures, now or each second until it ends."""
    query = Query(request, "stream")
    house = request.app[HOUSE]
    record = house.shelf.find(request.match_info["ref"])
    if not query.flag("stream"):
        latest = house.sampler.latest(record.box.id)
        if latest is None:
            raise _no_figures(record)
        return answer(latest)
    _require_figures(record)
    async with stream(request, LINES) as out:
        async for tick in house.sampler.watch():
            sample = tick.get(record.box.id)
            if sample is not None:
                await out.write(line(sample))
            elif record.exited.done():
                break
    return out


def _require_figures(record: Record) -> None:
    if not record.alive:
        raise _no_figures(record)


def _no_figures(record: Record) -> BoxyError:
    name = record.box.name
    return Conflict(
        f"box {name} is not running ({record.box.status}), there is nothing to measure",
        hint=f"start it: boxy start {name}",
    )


async def logs(request: web.Request) -> web.StreamResponse:
    """What the box's main process wrote, as frames; with `follow` until the box ends."""
    query = Query(request, "follow", "tail", "since", "until", "timestamps")
    tail = query.text("tail")
    wanted = LogQuery(
        tail=-1 if tail in ("", "all") else query.integer("tail", -1, 0, 1 << 40),
        since=query.moment("since"),
        until=query.moment("until"),
        timestamps=query.flag("timestamps"),
        follow=query.flag("follow"),
    )
    house = request.app[HOUSE]
    record = house.shelf.find(request.match_info["ref"])
    with about(record.box.id):
        reader = LogReader(house.paths.box(record.box.id), wanted)
        async with stream(request, FRAMES) as out:
            try:
                await _send_logs(reader, record, out, follow=wanted.follow)
            finally:
                reader.close()
    return out


async def _send_logs(
    reader: LogReader, record: Record, out: web.StreamResponse, *, follow: bool
) -> None:
    """Send what there is; then what comes, until the box has ended and all is sent."""
    while True:
        ended = not record.alive and record.box.status != "starting"
        for frames in reader.frames():
            await out.write(frames)
            await asyncio.sleep(0)
        if reader.finished or not follow or ended:
            return
        await reader.wait_for_more(until=record.exited)


async def prepare(request: web.Request) -> web.StreamResponse:
    """Unpack an image, telling how far it is; its last line is the image or the error."""
    Query(request)
    await empty_body(request)
    images = request.app[HOUSE].images
    name = request.match_info["name"]
    if images.fetch is None:
        images.resolve(name)  # an unknown one is an ordinary error
    return await told(request, "image", lambda tell: unpacked(request, name, tell))


async def unpacked(request: web.Request, name: str, tell: Tell) -> object:
    """The image, ready for boxes; how far its unpacking is goes to `tell`."""

    def progress(step: str, done: int, total: int) -> None:
        tell({"step": step, "done": done, "total": total})

    return await request.app[HOUSE].images.ready(name, progress)
