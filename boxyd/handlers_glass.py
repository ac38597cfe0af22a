"""Requests that show how a box works: what it is made of, what was done for it and how long.

Constraint: `told` wraps the handlers of changes, so that no handler has to think of its diary;
the note is taken when the answer is already on its way.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable

from aiohttp import web

from boxyd import boxes_visits
from boxyd import explain as explaining
from boxyd.diary import Timed
from boxyd.handlers_answer import HOUSE, answer
from boxyd.handlers_query import Query
from boxyd.hijack import peer_of
from boxyd.journal import about

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def told(handler: Handler) -> Handler:
    """`handler`, which changes the box that the path names, and a line in that box's diary."""
    what = handler.__name__.rstrip("_")

    @functools.wraps(handler)
    async def telling(request: web.Request) -> web.StreamResponse:
        house = request.app[HOUSE]
        box_id = house.shelf.find(request.match_info["ref"]).box.id
        peer = peer_of(request.transport)
        with Timed(what).noted(house.diary, box_id, (peer.pid, peer.uid)):
            return await handler(request)

    return telling


async def explain(request: web.Request) -> web.Response:
    """What the box is made of, read from the kernel now."""
    Query(request)
    house = request.app[HOUSE]
    record = house.shelf.find(request.match_info["ref"])
    with about(record.box.id):
        pids = boxes_visits.pids(record) if record.alive else []
        names = {endpoint.network for endpoint in record.box.networks}
        networks = [network for network in house.networks.all() if network.name in names]
        seen = await asyncio.to_thread(
            explaining.look, record.box, house.paths, pids, record.group, networks
        )
        return answer(explaining.explain(seen))


async def trace(request: web.Request) -> web.Response:
    """What was done for the box, and the waterfall of its last start."""
    Query(request)
    house = request.app[HOUSE]
    box = house.shelf.find(request.match_info["ref"]).box
    return answer({
        "id": box.id, "name": box.name, "created": box.created,
        "start": house.diary.start(box.id), "lines": house.diary.read(box.id),
    })  # fmt: skip
