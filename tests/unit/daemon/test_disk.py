"""What a layer takes is measured anew whenever it may have changed."""

# ruff: noqa: ASYNC240 - nothing else runs in a test's loop

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from boxy_core.models import Status
from boxyd import disk
from tests.unit.daemon.conftest import World

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "EVERY", 0.0)
    monkeypatch.setattr(disk, "REST", 0.0)


async def test_a_box_that_was_measured_before_it_ran_is_measured_while_it_runs(
    world: World,
) -> None:
    sizes = disk.Disk(world.paths, counts=False)
    record = await world.new("web")
    for status in (Status.CREATED, Status.STARTING):
        await sizes.look([msgspec.structs.replace(record.box, status=status)])
    assert sizes.used(record.box.id) == 0
    await world.house.lives.start(record)
    upper = Path(world.paths.box(record.box.id), "upper")
    upper.mkdir()
    (upper / "big").write_bytes(bytes(MIB))
    await sizes.look([record.box])
    assert (sizes.used(record.box.id) or 0) >= MIB
    world.shim(record).end(0)


async def test_a_box_that_does_not_run_is_measured_once(world: World) -> None:
    sizes = disk.Disk(world.paths, counts=False)
    record = await world.new("web")
    upper = Path(world.paths.box(record.box.id), "upper")
    upper.mkdir()
    (upper / "big").write_bytes(bytes(MIB))
    await sizes.look([record.box])
    (upper / "big").unlink()
    await sizes.look([record.box])
    assert (sizes.used(record.box.id) or 0) >= MIB
    sizes.soon(record.box.id)
    await sizes.look([record.box])
    assert (sizes.used(record.box.id) or 0) < MIB
