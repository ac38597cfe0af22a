"""Requests about volumes."""

from __future__ import annotations

from aiohttp import web

from boxy_core.models import Model
from boxy_core.protocol import API
from boxyd.handlers_answer import HOUSE, answer
from boxyd.handlers_query import Query, body, empty_body

_ONE = API + "/volumes/{name}"


class NewVolume(Model, frozen=True, kw_only=True):
    """What a volume is to be; without a name one is made up."""

    name: str = ""
    labels: dict[str, str] = {}  # noqa: RUF012 - msgspec copies it


def routes() -> list[web.RouteDef]:
    """The requests of this module."""
    return [
        web.get(API + "/volumes", list_volumes),
        web.post(API + "/volumes", create),
        web.post(API + "/volumes/prune", prune),
        web.get(_ONE, inspect),
        web.delete(_ONE, remove),
    ]


async def list_volumes(request: web.Request) -> web.Response:
    """All volumes; with `size` each one's is measured."""
    query = Query(request, "size", "label")
    volumes = request.app[HOUSE].volumes
    found = volumes.list(query.texts("label"))
    return answer(await volumes.sized(found) if query.flag("size") else found)


async def create(request: web.Request) -> web.Response:
    """A new volume."""
    Query(request)
    wanted = await body(request, NewVolume)
    volumes = request.app[HOUSE].volumes
    return answer(volumes.create(wanted.name, wanted.labels, durable=True), 201)


async def inspect(request: web.Request) -> web.Response:
    """One volume, measured, and where its files are."""
    Query(request)
    house = request.app[HOUSE]
    found = house.volumes.find(request.match_info["name"])
    [sized] = await house.volumes.sized([found])
    return answer(sized)


async def remove(request: web.Request) -> web.Response:
    """A volume with all its files; `force`: one that is not there is no error."""
    force = Query(request, "force").flag("force")
    await empty_body(request)
    await request.app[HOUSE].volumes.remove(request.match_info["name"], force=force)
    return answer({})


async def prune(request: web.Request) -> web.Response:
    """Remove what no box has: the anonymous ones, with `all` those with names, too."""
    query = Query(request, "all", "label")
    await empty_body(request)
    removed, freed = await request.app[HOUSE].volumes.prune(
        everything=query.flag("all"), labels=query.texts("label")
    )
    return answer({"removed": removed, "freed": freed})
