"""A house with fake neighbours, for the tests of the life of boxes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from boxy_core.models import Box, BoxSpec, Event
from boxy_core.paths import Paths
from boxyd.boxes_shelf import Record
from boxyd.house import House, furnish
from boxyd.instance import make_folders
from tests.unit.daemon.fakes import FakeDriver, FakeLaunches, FakeShim, FakeStore, FakeWorld


class World:
    """What outlives a daemon, and the daemon of the moment."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(str(folder / "r"), str(folder / "run"), str(folder / "s"), (), "boxy/t")
        make_folders(self.paths)
        layer = folder / "layer"
        layer.mkdir()
        self.store = FakeStore(str(layer))
        self.outside = FakeWorld(self.paths.boxes)
        self.launches = FakeLaunches(self.outside)
        self.driver = FakeDriver(self.outside)
        self.no_networks = ""
        """there can be networks, as long as no box on one is started"""
        self.house: House

    @contextlib.asynccontextmanager
    async def daemon(self) -> AsyncIterator[House]:
        """A daemon's life; boxes and disk go on after it."""
        async with furnish(
            self.paths, self.store, self.launches, self.driver, no_networks=self.no_networks
        ) as house:
            self.house = house
            yield house

    async def new(self, name: str | None = None, **spec: object) -> Record:
        box = await self.house.boxes.create(BoxSpec(**{"image": "tiny", "name": name, **spec}))  # type: ignore[arg-type]
        return self.house.shelf.find(box.id)

    async def running(self, name: str | None = None, **spec: object) -> Record:
        record = await self.new(name, **spec)
        await self.house.lives.start(record)
        return record

    def shim(self, record: Record) -> FakeShim:
        return self.outside.shims[record.box.id]

    def told(self, record: Record) -> list[str]:
        """The types of the box's events so far."""
        return [event.type for event in self.events() if event.id == record.box.id]

    def events(self) -> list[Event]:
        return [event for event in self.house.events.after(0) if event.type != "resync"]

    def on_disk(self, box: Box) -> str:
        """The status that the box's file has."""
        with open(f"{self.paths.box(box.id)}/box.json", encoding="utf-8") as file:
            return str(json.load(file)["status"])

    def folders(self) -> list[str]:
        return os.listdir(self.paths.boxes)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[World]:
    """A world without a daemon."""
    world = World(tmp_path)
    yield world
    world.outside.close()


@pytest.fixture
async def world(outside: World) -> AsyncIterator[World]:
    """A world with a daemon."""
    async with outside.daemon():
        yield outside
