"""Requests about networks, and about the ports of a box.

Constraint: one short function for each request; what it does is `Networks`.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from boxy_core.models_network import Endpoint, NetworkSpec, Port
from boxy_core.protocol import API
from boxyd.handlers_answer import HOUSE, answer
from boxyd.handlers_glass import told
from boxyd.handlers_query import Query, body, empty_body
from boxyd.journal import about


class Connection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a connect."""

    box: str
    aliases: list[str] = []
    ip: str = ""
    ip6: str = ""
    mac: str = ""


class Departure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a disconnect."""

    box: str


class PortChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a change of ports; in `remove`, 0 and "" mean any."""

    add: list[Port] = []
    remove: list[Port] = []


def routes() -> list[web.RouteDef]:
    """Every request of this module."""
    network = API + "/networks/{ref}"
    return [
        web.get(API + "/networks", list_networks),
        web.post(API + "/networks", create),
        web.post(API + "/networks/prune", prune),
        web.get(network, inspect),
        web.delete(network, remove),
        web.post(network + "/connect", connect),
        web.post(network + "/disconnect", disconnect),
        web.post(API + "/boxes/{ref}/ports", told(change_ports)),
    ]


async def list_networks(request: web.Request) -> web.Response:
    """All networks."""
    Query(request)
    return answer(request.app[HOUSE].networks.all())


async def create(request: web.Request) -> web.Response:
    """A new network."""
    Query(request)
    spec = await body(request, NetworkSpec)
    return answer(await request.app[HOUSE].networks.create(spec), 201)


async def inspect(request: web.Request) -> web.Response:
    """One network, with the boxes on it."""
    Query(request)
    networks = request.app[HOUSE].networks
    return answer(networks.describe(networks.registry.find(request.match_info["ref"])))


async def remove(request: web.Request) -> web.Response:
    """A network that no box is on."""
    Query(request)
    await empty_body(request)
    await request.app[HOUSE].networks.remove(request.match_info["ref"])
    return answer({})


async def prune(request: web.Request) -> web.Response:
    """Every network that no box is on."""
    Query(request)
    await empty_body(request)
    return answer({"removed": await request.app[HOUSE].networks.prune()})


async def connect(request: web.Request) -> web.Response:
    """Connect a box, at once if it lives."""
    Query(request)
    asked = await body(request, Connection)
    house, ref = request.app[HOUSE], request.match_info["ref"]
    record = house.shelf.find(asked.box)
    wish = Endpoint(
        network=ref, aliases=asked.aliases, ip=asked.ip, ip6=asked.ip6, mac=asked.mac
    )  # fmt: skip
    with about(record.box.id):
        return answer(await house.networks.changes.connect(record, ref, wish))


async def disconnect(request: web.Request) -> web.Response:
    """Take a box off, at once if it lives."""
    Query(request)
    asked = await body(request, Departure)
    house = request.app[HOUSE]
    record = house.shelf.find(asked.box)
    with about(record.box.id):
        return answer(await house.networks.changes.disconnect(record, request.match_info["ref"]))


async def change_ports(request: web.Request) -> web.Response:
    """Publish ports and take them back, at once if the box lives."""
    Query(request)
    asked = await body(request, PortChange)
    house = request.app[HOUSE]
    record = house.shelf.find(request.match_info["ref"])
    with about(record.box.id):
        return answer(await house.networks.changes.publish(record, asked.add, asked.remove))
