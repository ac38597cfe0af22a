"""Requests about one box, or all of them.

Constraint: one short function for each request.  `_found` names the box in the log; the rest
is `Boxes`, `Lives` and `Visits`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from boxy_core.errors import DaemonUnreachable, InvalidRequest
from boxy_core.models import Box, BoxSpec, ExecSpec, to_builtins
from boxy_core.protocol import UPGRADE
from boxyd import boxes_visits
from boxyd import top as processes
from boxyd.boxes_check import MAX_SIDE, check_exec, signal_number
from boxyd.boxes_shelf import FILTERS, Record
from boxyd.diary import Timed
from boxyd.handlers_answer import HOUSE, answer
from boxyd.handlers_query import Query, body, empty_body
from boxyd.hijack import TakenOver, door_of, peer_of
from boxyd.house import House
from boxyd.journal import about
from boxyd.ports import Stream

_SWITCHING = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n"
MAIN = "main"

T = TypeVar("T")


@contextlib.contextmanager
def found(request: web.Request) -> Iterator[Record]:
    """The box that the path names; what is logged meanwhile bears its id."""
    record = request.app[HOUSE].shelf.find(request.match_info["ref"])
    with about(record.box.id):
        yield record


# ---------------------------------------------------------------------- what there is


async def list_boxes(request: web.Request) -> web.Response:
    """The boxes that live, or all."""
    query = Query(request, "all", "filter")
    filters = [_filter(text) for text in query.texts("filter")]
    house = request.app[HOUSE]
    found = house.shelf.select(everything=query.flag("all"), filters=filters)
    return answer([_measured(house, box) for box in found])


def _measured(house: House, box: Box) -> Box:
    """The box with what its layer took when it was measured last."""
    return msgspec.structs.replace(box, disk=house.disk.used(box.id))


def _filter(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in FILTERS:
        raise InvalidRequest(
            f"filter cannot be {text[:40]!r}",
            hint=f"as in status=exited; one can filter by {', '.join(FILTERS)}",
        )
    return key, value


async def inspect(request: web.Request) -> web.Response:
    """One box."""
    Query(request)
    house = request.app[HOUSE]
    return answer(_measured(house, house.shelf.find(request.match_info["ref"]).box))


async def history(request: web.Request) -> web.Response:
    """What the sampler kept of one box."""
    Query(request)
    house = request.app[HOUSE]
    return answer(house.sampler.history(house.shelf.find(request.match_info["ref"]).box.id))


async def top(request: web.Request) -> web.Response:
    """The processes of one box."""
    Query(request)
    with found(request) as record:
        pids = boxes_visits.pids(record)
        return answer(processes.read(pids, record.box.id_base))


async def sessions(request: web.Request) -> web.Response:
    """The sessions of one box: its main one, and execs that go on."""
    Query(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].visits.sessions(record))


async def wait(request: web.Request) -> web.Response:
    """The end of a box, or its removal."""
    condition = Query(request, "condition").text("condition", "exited")
    if condition not in ("exited", "removed"):
        raise InvalidRequest(f"condition cannot be {condition[:40]!r}", hint="exited or removed")
    house = request.app[HOUSE]
    known, info = house.shelf.gone(request.match_info["ref"])
    if known:
        return answer(info or {})
    with found(request) as record:
        if condition == "exited":
            return answer(await _unless_closing(house, boxes_visits.wait_exit(record)))
        return answer(await _unless_closing(house, boxes_visits.wait_removed(record)) or {})


async def _unless_closing(house: House, waiting: Coroutine[None, None, T]) -> T:
    """What is waited for; DaemonUnreachable if the daemon ends before."""
    task = asyncio.ensure_future(waiting)
    closing = asyncio.ensure_future(house.closing.wait())
    try:
        await asyncio.wait([task, closing], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise DaemonUnreachable("the daemon is ending", hint="ask again when it is back")
    finally:
        task.cancel()
        closing.cancel()


# ---------------------------------------------------------------------- what is to change


async def create(request: web.Request) -> web.Response:
    """A new box; `start`: one that runs, in one request."""
    starts = Query(request, "start").flag("start")
    house, peer = request.app[HOUSE], peer_of(request.transport)
    asked = peer.pid, peer.uid
    made = Timed("create")
    spec = await body(request, BoxSpec)

    async def start_it(record: Record) -> Box:
        made.note(house.diary, record.box.id, asked)
        if request.transport is None:  # whoever asked went away while it was unpacked
            if record.box.spec.auto_remove:
                await house.lives.remove(record)
            return record.box
        with about(record.box.id), Timed("start").noted(house.diary, record.box.id, asked):
            return await house.lives.start(record)

    box = await house.boxes.create(spec, start_it if starts else None)
    if not starts:
        made.note(house.diary, box.id, asked)
    return answer(box, 201)


async def remove(request: web.Request) -> web.Response:
    """A box and all that is its own."""
    query = Query(request, "force", "volumes")
    force, volumes = query.flag("force"), query.flag("volumes")
    await empty_body(request)
    with found(request) as record:
        await request.app[HOUSE].lives.remove(record, force=force, volumes=volumes)
    return answer({})


async def start(request: web.Request) -> web.StreamResponse:
    """Start; with an upgrade, attached from the first byte."""
    query = Query(request, "stdin", "rows", "cols")
    await empty_body(request)
    lives = request.app[HOUSE].lives
    with found(request) as record:
        if not _upgrades(request):
            return answer(await lives.start(record))
        stream = _stream(query)
        return await _taken_over(request, stream, lambda taken: lives.start(record, taken))


async def stop(request: web.Request) -> web.Response:
    """Stop signal, grace period, SIGKILL."""
    timeout = Query(request, "timeout").seconds("timeout")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].lives.stop(record, timeout))


async def restart(request: web.Request) -> web.Response:
    """Stop if it lives, then start."""
    timeout = Query(request, "timeout").seconds("timeout")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].lives.restart(record, timeout))


async def kill(request: web.Request) -> web.Response:
    """A signal to the main process."""
    number = signal_number(Query(request, "signal").text("signal") or "KILL")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].lives.kill(record, number))


async def pause(request: web.Request) -> web.Response:
    """Freeze."""
    Query(request)
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].lives.pause(record))


async def unpause(request: web.Request) -> web.Response:
    """Thaw."""
    Query(request)
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].lives.unpause(record))


async def rename(request: web.Request) -> web.Response:
    """Another name."""
    name = Query(request, "name").text("name")
    await empty_body(request)
    with found(request) as record:
        return answer(await request.app[HOUSE].boxes.rename(record, name))


async def update(request: web.Request) -> web.Response:
    """Other limits, at once."""
    Query(request)
    changes = await body(request, dict[str, Any])
    house = request.app[HOUSE]
    with found(request) as record:
        box = await house.boxes.update(record, changes)
        house.sampler.refresh(box.id)
        return answer(box)


# ---------------------------------------------------------------------- who comes to stay


async def attach(request: web.Request) -> web.StreamResponse:
    """Hand the connection to a session of the box."""
    query = Query(request, "stdin", "replay", "rows", "cols", "session")
    session = query.text("session", MAIN)
    await empty_body(request)
    if not _upgrades(request):
        raise InvalidRequest(
            "attach needs a connection that can be upgraded",
            hint=f"send the headers Connection: Upgrade and Upgrade: {UPGRADE}",
        )
    visits = request.app[HOUSE].visits
    with found(request) as record:
        return await _taken_over(
            request, _stream(query), lambda taken: visits.attach(record, taken, session)
        )


async def exec_(request: web.Request) -> web.StreamResponse:
    """A further command: attached with an upgrade, else in the background."""
    Query(request)
    spec = await body(request, ExecSpec)
    check_exec(spec)
    visits = request.app[HOUSE].visits
    asked = to_builtins(spec)
    with found(request) as record:
        if not _upgrades(request):
            return answer({"session": await visits.exec(record, asked, None)})
        stream = Stream(-1, _head("Boxy-Session: {session}"), spec.stdin, False,
                        spec.rows, spec.cols)  # fmt: skip
        return await _taken_over(request, stream, lambda taken: visits.exec(record, asked, taken))


def _upgrades(request: web.Request) -> bool:
    """Whether the client wants a stream.  Raises InvalidRequest for one that we do not speak."""
    wanted = request.headers.get("Upgrade")
    if wanted is None:
        return False
    if wanted.strip().lower() != UPGRADE:
        raise InvalidRequest(f"cannot upgrade to {wanted[:40]!r}", hint=f"Upgrade: {UPGRADE}")
    return True


def _stream(query: Query) -> Stream:
    return Stream(
        fd=-1,
        preamble=_head(),
        stdin=query.flag("stdin"),
        replay=query.flag("replay", default=True),
        rows=query.integer("rows", 0, 0, MAX_SIDE),
        cols=query.integer("cols", 0, 0, MAX_SIDE),
    )


def _head(*lines: str) -> bytes:
    return (_SWITCHING + "".join(text + "\r\n" for text in lines) + "\r\n").encode()


async def _taken_over(
    request: web.Request, stream: Stream, hand_over: Callable[[Stream], Awaitable[object]]
) -> web.StreamResponse:
    """Have the client's connection handed over; ours is closed when the shim has it.

    If that fails the shim has not touched it, and the error is answered on it as usual.
    """
    door = door_of(request)
    fd = door.take()
    try:
        await hand_over(stream._replace(fd=fd))
    finally:
        os.close(fd)
    door.leave()
    return TakenOver(status=101)
