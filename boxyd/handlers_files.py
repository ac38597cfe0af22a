"""Requests about a box's files.

Constraint: archives are never held: they go from a job to the client, or the other way, piece
by piece, as fast as the slower of the two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web

from boxy_core.errors import InvalidRequest, Timeout
from boxy_core.protocol import API
from boxyd.boxes_keep import Commit
from boxyd.boxes_shelf import Record
from boxyd.files.jobs import PIECE, Job
from boxyd.handlers_answer import HOUSE, answer, stream
from boxyd.handlers_boxes import found
from boxyd.handlers_glass import told
from boxyd.handlers_query import Query, body, empty_body

TAR = "application/x-tar"
STALLS = 60.0
"""seconds that a client may neither take nor give a byte while a box that does not run is kept
from starting for it"""
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
        patience = _patience(record)
        async with files.inside(record, job="pack", path=path, follow=follow) as job:
            return await _sent(request, job, patience)


def _patience(record: Record) -> float | None:
    """How long a client may stand still: of a box that does not run the lock is held for it."""
    return None if record.alive else STALLS


async def _sent(request: web.Request, job: Job, patience: float | None) -> web.StreamResponse:
    """The job's archive as the answer; an error before its first byte is an ordinary one."""
    await job.line()
    async with stream(request, TAR) as out:
        async for piece in job.pieces():
            try:
                with _not_stalled():
                    async with asyncio.timeout(patience):
                        await out.write(piece)
            except Timeout:
                if request.transport is not None:
                    request.transport.abort()  # it would not take our last words either
                raise
    return out


@contextlib.contextmanager
def _not_stalled() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Timeout(
            f"the copy was given up: its client stood still for {STALLS:g} s, and the box "
            "cannot start meanwhile",
            hint="copy into a file first, or start the box",
        ) from None


async def put_in(request: web.Request) -> web.Response:
    """Extract the archive that is the body below a folder."""
    query = Query(request, "path", "owners")
    files = request.app[HOUSE].files
    with found(request) as record:
        path, owners = _path(query), query.flag("owners")
        patience = _patience(record)
        async with files.inside(record, job="extract", path=path, owners=owners) as job:
            feeding = asyncio.create_task(_fed(request, job, patience))
            hearing = asyncio.create_task(job.line())
            try:
                await asyncio.wait([feeding, hearing], return_when=asyncio.FIRST_COMPLETED)
                if not hearing.done():
                    await feeding  # a client that left, or stalled, ends the job with it
                result = await hearing
                await job.finish()
            finally:
                feeding.cancel()
                hearing.cancel()
                await asyncio.wait([feeding, hearing])
        return answer(result)


async def _fed(request: web.Request, job: Job, patience: float | None) -> None:
    while True:
        with _not_stalled():
            async with asyncio.timeout(patience):
                piece = await request.content.read(PIECE)
        if not piece:
            break
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
            return await _sent(request, job, None)


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
