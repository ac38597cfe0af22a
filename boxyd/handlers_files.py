"""Requests about a box's files.

Constraint: archives are never held: they go from a job to the client, or the other way, piece
by piece, as fast as the slower of the two.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from boxy_core.errors import InvalidRequest
from boxy_core.protocol import API
from boxyd.boxes_keep import Commit
from boxyd.files.jobs import PIECE, Job
from boxyd.handlers_answer import HOUSE, answer, stream
from boxyd.handlers_boxes import found
from boxyd.handlers_glass import told
from boxyd.handlers_query import Query, body, empty_body

TAR = "application/x-tar"
_MAX_OFFSET = 1 << 62
_BOX = API + "/boxes/{ref}"


def routes() -> list[web.RouteDef]:
    """The requests of this module."""
    return [
        web.get(_BOX + "/stat", look),
        web.get(_BOX + "/files", listing),
        web.get(_BOX + "/file", read),
        web.get(_BOX + "/archive", take_out),
        web.post(_BOX + "/archive", told(put_in)),
        web.get(_BOX + "/changes", changes),
        web.get(_BOX + "/export", export),
        web.get(_BOX + "/snapshots", snapshots),
        web.post(_BOX + "/snapshots", told(take_snapshot)),
        web.post(_BOX + "/snapshots/{name}/restore", told(restore_snapshot)),
        web.delete(_BOX + "/snapshots/{name}", told(remove_snapshot)),
        web.post(_BOX + "/clone", told(clone)),
        web.post(_BOX + "/commit", told(commit)),
    ]


def _path(query: Query) -> str:
    path = query.text("path")
    if not path.startswith("/") or "\0" in path or len(path) > 65536:
        raise InvalidRequest("path is an absolute path in the box", hint="?path=/etc/hosts")
    return path


async def look(request: web.Request) -> web.Response:
    """What is at a path."""
    query = Query(request, "path", "follow")
    files = request.app[HOUSE].files
    with found(request) as record:
        path, follow = _path(query), query.flag("follow")
        return answer(await files.ask(record, job="look", path=path, follow=follow))


async def listing(request: web.Request) -> web.Response:
    """What is in a folder."""
    query = Query(request, "path")
    with found(request) as record:
        path = _path(query)
        return answer(await request.app[HOUSE].files.ask(record, job="list", path=path))


async def read(request: web.Request) -> web.Response:
    """A piece of a file."""
    query = Query(request, "path", "offset")
    files = request.app[HOUSE].files
    with found(request) as record:
        path, offset = _path(query), query.integer("offset", 0, 0, _MAX_OFFSET)
        return answer(await files.ask(record, job="read", path=path, offset=offset))


async def take_out(request: web.Request) -> web.StreamResponse:
    """A file or folder as a tar archive."""
    query = Query(request, "path", "follow")
    files = request.app[HOUSE].files
    with found(request) as record:
        path, follow = _path(query), query.flag("follow")
        async with files.inside(record, job="pack", path=path, follow=follow) as job:
            return await _sent(request, job)


async def _sent(request: web.Request, job: Job) -> web.StreamResponse:
    """The job's archive as the answer; an error before its first byte is an ordinary one."""
    await job.line()
    async with stream(request, TAR) as out:
        async for piece in job.pieces():
            await out.write(piece)
    return out


async def put_in(request: web.Request) -> web.Response:
    """Extract the archive that is the body below a folder."""
    query = Query(request, "path", "owners")
    files = request.app[HOUSE].files
    with found(request) as record:
        path, owners = _path(query), query.flag("owners")
        async with files.inside(record, job="extract", path=path, owners=owners) as job:
            feeding = asyncio.create_task(_fed(request, job))
            try:
                result = await job.line()
                await job.finish()
            finally:
                feeding.cancel()
                await asyncio.wait([feeding])
        return answer(result)


async def _fed(request: web.Request, job: Job) -> None:
    async for piece in request.content.iter_chunked(PIECE):
        await job.feed(piece)
    job.no_more()


async def changes(request: web.Request) -> web.Response:
    """What the box changed against its image."""
    Query(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].files.changes(record))


async def export(request: web.Request) -> web.StreamResponse:
    """All of the box's own tree as a tar archive."""
    Query(request)
    with found(request) as record:
        async with request.app[HOUSE].files.whole(record) as job:
            return await _sent(request, job)


# ---------------------------------------------------------------------- what is kept


async def snapshots(request: web.Request) -> web.Response:
    """A box's snapshots."""
    Query(request)
    with found(request) as record:
        return answer(request.app[HOUSE].files.snapshots(record))


async def take_snapshot(request: web.Request) -> web.Response:
    """Keep the box's layer as it is now."""
    name = Query(request, "name").text("name")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].files.take(record, name), 201)


async def restore_snapshot(request: web.Request) -> web.Response:
    """Make the box's layer what it was."""
    restart = Query(request, "restart").flag("restart")
    await empty_body(request)
    files = request.app[HOUSE].files
    with found(request) as record:
        return answer(await files.restore(record, request.match_info["name"], restart=restart))


async def remove_snapshot(request: web.Request) -> web.Response:
    """Remove a snapshot."""
    Query(request)
    await empty_body(request)
    with found(request) as record:
        await request.app[HOUSE].files.forget(record, request.match_info["name"])
    return answer({})


async def commit(request: web.Request) -> web.Response:
    """An image of the box."""
    Query(request)
    with found(request) as record:
        wanted = await body(request, Commit)
        return answer(await request.app[HOUSE].keeper.commit(record, wanted), 201)


async def clone(request: web.Request) -> web.Response:
    """A new box that is like this one, files and all."""
    name = Query(request, "name").text("name")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].keeper.clone(record, name or None), 201)
