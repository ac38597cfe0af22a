"""The parts of a running daemon, put together in one place.

Constraint: nobody below this module makes its own neighbours; so tests put fakes where they
want them, and `open_house` alone knows the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from boxy_core.paths import Paths
from boxyd.boxes import Boxes
from boxyd.boxes_files import Files
from boxyd.boxes_keep import Keeper
from boxyd.boxes_life import Lives
from boxyd.boxes_mounts import Mounts, Storage
from boxyd.boxes_recover import Recovery
from boxyd.boxes_shelf import Shelf
from boxyd.boxes_visits import Visits
from boxyd.cgroup.interface import Driver
from boxyd.diary import Diary
from boxyd.disk import Disk
from boxyd.events import Events
from boxyd.images import Images, Store
from boxyd.network.networks import Defaults, Networks
from boxyd.ports import Launches
from boxyd.runtime import quota
from boxyd.state import State
from boxyd.stats import Sampler
from boxyd.traffic import Settings, Traffic
from boxyd.volumes import Volumes

log = logging.getLogger("boxyd")

NO_DEFAULTS = Defaults()


@dataclass
class House:
    """What the handlers of requests work with."""

    paths: Paths
    events: Events
    images: Images
    shelf: Shelf
    boxes: Boxes
    lives: Lives
    launches: Launches
    cgroups: Driver
    sampler: Sampler
    diary: Diary
    networks: Networks
    disk: Disk
    visits: Visits = field(init=False)
    volumes: Volumes = field(init=False)
    files: Files = field(init=False)
    keeper: Keeper = field(init=False)
    features: dict[str, bool] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    """what this host or its boxes lack, a sentence each"""
    traffic: Traffic | None = None
    """images from and to registries; None: there is no store that could"""
    started: float = field(default_factory=time.time)
    closing: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def furnish(
    paths: Paths,
    store: Store,
    launches: Launches,
    cgroups: Driver,
    defaults: Defaults = NO_DEFAULTS,
    no_networks: str | None = "they are not wanted here",
) -> AsyncIterator[House]:
    """A house around these neighbours, its boxes taken up; boxes go on when it is closed.

    `no_networks` is why boxes cannot be connected, "" if they can; None: that is found out.
    """
    events, state = Events(), State(paths)
    shelf = Shelf(state, events)
    images = Images(store, events)
    disk = Disk(paths, counts=quota.supported(paths.boxes))
    sampler = Sampler(on_oom=shelf.note_oom, disk=disk.used)
    networks = Networks(paths, shelf, events, defaults, no_networks)
    volumes = Volumes(paths, events, lambda: (record.box for record in shelf))
    mounts = Mounts(paths, shelf, images, volumes)
    lives = Lives(paths, shelf, state, launches, cgroups, sampler, networks, Storage(disk, mounts))
    boxes = Boxes(shelf, state, images, launches, cgroups, networks, disk, mounts)
    diary = Diary(paths)
    house = House(
        paths,
        events,
        images,
        shelf,
        boxes,
        lives,
        launches,
        cgroups,
        sampler,
        diary,
        networks,
        disk,
    )
    house.visits = Visits(shelf, launches)
    house.volumes = volumes
    house.files = Files(paths, shelf, lives, counts=disk.counts)
    house.keeper = Keeper(paths, shelf, boxes, house.files)
    damaged = volumes.load()
    damaged += await Recovery(paths, state, shelf, lives, launches, cgroups).run()
    house.files.clean()
    await networks.take_up()
    house.notices += [*cgroups.notices, *damaged]
    beside = [
        asyncio.create_task(sampler.run()),
        asyncio.create_task(disk.run(lambda: [record.box for record in shelf])),
    ]
    events.emit("daemon.started", boot=events.boot)
    try:
        yield house
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        await lives.close()
        await networks.close()
        sampler.close()
        cgroups.close()
        await state.close()


@contextlib.asynccontextmanager
async def open_house(
    paths: Paths, registries: Settings | None = None, defaults: Defaults = NO_DEFAULTS
) -> AsyncIterator[House]:
    """The house with its real neighbours.  Raises Unsupported if this host cannot run boxes."""
    from boxy_core.errors import Unsupported
    from boxy_core.image.credentials import Credentials
    from boxy_core.image.store import ImageStore
    from boxyd import cgroup, host
    from boxyd.boxes_launch import Launching
    from boxyd.claims import Claims
    from boxyd.launcher import Launcher

    facts = host.probe()
    if facts.problems:
        raise Unsupported(" ".join(facts.problems))
    store = ImageStore(paths)
    for removed in store.clean():
        log.info("removed %s, which an interrupted unpacking had left", removed)
    launcher = Launcher(paths)
    await launcher.start()
    try:
        claims = Claims(paths.ids, paths.root)
        facts = msgspec.structs.replace(facts, project_quota=quota.supported(paths.boxes))
        launching = Launching(paths, facts, launcher, claims)
        driver = cgroup.detect(parent=paths.cgroup)
        async with furnish(paths, store, launching, driver, defaults, None) as house:
            house.features = dict(facts.features)
            house.keeper.store = store
            house.traffic = Traffic(
                store, Credentials(paths.root + "/credentials"), registries or Settings(),
                house.events, lambda: (record.box for record in house.shelf),
            )  # fmt: skip
            house.images.fetch = house.traffic.ready
            house.notices[:0] = [*facts.notices, *claims.notices]
            yield house
    finally:
        await launcher.close()
