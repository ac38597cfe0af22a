"""What the daemon answers about itself, images and plans, and the table of all requests.

Constraint: one short function for each request; what it does lies in the modules below.  The
requests are described, each with an example, in docs/reference/wire-protocol.md.
"""

from __future__ import annotations

import os
import platform
import socket
from typing import Any

import msgspec
from aiohttp import web

from boxy_core import __version__
from boxy_core.models import BoxSpec, Status
from boxy_core.protocol import API
from boxyd import handlers_boxes as on_boxes
from boxyd import handlers_files as on_files
from boxyd import handlers_glass as glass
from boxyd import handlers_images as on_images
from boxyd import handlers_networks as on_networks
from boxyd import handlers_streams as streams
from boxyd import handlers_volumes as on_volumes
from boxyd.handlers_answer import HOUSE, answer
from boxyd.handlers_glass import told
from boxyd.handlers_query import Query, body
from boxyd.ports import Plan

__all__ = ["HOUSE", "routes"]


def routes() -> list[web.RouteDef]:
    """Every request of the API."""
    box = API + "/boxes/{ref}"
    return [
        web.get(API + "/version", version),
        web.get(API + "/info", info),
        web.get(API + "/images", images),
        web.get(API + "/images/{name:.+}", image),
        web.post(API + "/images/{name:.+}/prepare", streams.prepare),
        *on_images.routes(),
        *on_volumes.routes(),
        *on_files.routes(),
        web.post(API + "/plan", plan_of_spec),
        web.get(API + "/watch", streams.watch),
        web.get(API + "/stats", streams.all_stats),
        web.get(API + "/boxes", on_boxes.list_boxes),
        web.post(API + "/boxes", on_boxes.create),
        web.get(box, on_boxes.inspect),
        web.delete(box, on_boxes.remove),
        web.post(box + "/start", told(on_boxes.start)),
        web.post(box + "/stop", told(on_boxes.stop)),
        web.post(box + "/restart", told(on_boxes.restart)),
        web.post(box + "/kill", told(on_boxes.kill)),
        web.post(box + "/pause", told(on_boxes.pause)),
        web.post(box + "/unpause", told(on_boxes.unpause)),
        web.post(box + "/rename", told(on_boxes.rename)),
        web.post(box + "/update", told(on_boxes.update)),
        web.post(box + "/attach", told(on_boxes.attach)),
        web.post(box + "/exec", told(on_boxes.exec_)),
        web.get(box + "/wait", on_boxes.wait),
        web.get(box + "/plan", plan_of_box),
        web.get(box + "/explain", glass.explain),
        web.get(box + "/trace", glass.trace),
        web.get(box + "/top", on_boxes.top),
        web.get(box + "/sessions", on_boxes.sessions),
        web.get(box + "/history", on_boxes.history),
        web.get(box + "/stats", streams.stats),
        web.get(box + "/logs", streams.logs),
        *on_networks.routes(),
    ]


async def version(request: web.Request) -> web.Response:
    """Who answers here."""
    Query(request)
    house = request.app[HOUSE]
    return answer(
        {
            "version": __version__,
            "api": 1,
            "python": platform.python_version(),
            "kernel": os.uname().release,
            "pid": os.getpid(),
            "socket": house.paths.socket,
        }
    )


async def info(request: web.Request) -> web.Response:
    """How many boxes, where things lie, what this host can and cannot do."""
    Query(request)
    house = request.app[HOUSE]
    counts = dict.fromkeys(map(str, Status), 0)
    for record in house.shelf:
        counts[record.box.status] += 1
    paths = house.paths
    return answer(
        {
            "version": __version__,
            "started": house.started,
            "boxes": {"total": len(house.shelf), **counts},
            "images": len(house.images.list()),
            "paths": {
                "root": paths.root,
                "run": paths.run,
                "socket": paths.socket,
                "registry": list(paths.registry),
                "cgroup": paths.cgroup,
            },
            "cgroup": {
                "driver": house.cgroups.kind,
                "controllers": sorted(house.cgroups.controllers),
            },
            "features": house.features,
            "notices": house.notices,
            "host": {
                "name": socket.gethostname(),
                "kernel": os.uname().release,
                "machine": os.uname().machine,
                "cpus": len(os.sched_getaffinity(0)),
                "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            },
        }
    )


async def images(request: web.Request) -> web.Response:
    """All images of the registry folders."""
    Query(request)
    return answer(request.app[HOUSE].images.list())


async def image(request: web.Request) -> web.Response:
    """One image."""
    Query(request)
    return answer(request.app[HOUSE].images.resolve(request.match_info["name"]))


async def plan_of_spec(request: web.Request) -> web.Response:
    """The steps that would make such a box; makes none."""
    Query(request)
    house = request.app[HOUSE]
    spec = await body(request, BoxSpec)
    found = await house.images.ready(spec.image)
    box = await house.boxes.preview(spec, found)
    setting = house.networks.preview(box)
    return _plan_answer(request, house.launches.plan(box, found, None, setting))


async def plan_of_box(request: web.Request) -> web.Response:
    """The steps that make this box at its next start."""
    Query(request)
    house = request.app[HOUSE]
    record = house.shelf.find(request.match_info["ref"])
    return _plan_answer(request, house.lives.plan(record))


def _plan_answer(request: web.Request, plan: Plan) -> web.Response:
    content: dict[str, Any] = {"plan": plan, "lines": request.app[HOUSE].launches.describe(plan)}
    return answer(msgspec.to_builtins(content))
