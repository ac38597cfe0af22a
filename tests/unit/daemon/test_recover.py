"""A daemon takes up what the one before it left, wherever that one was killed."""

# ruff: noqa: ASYNC240 - a test may wait for its disk

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from boxy_core.errors import Conflict
from boxy_core.models import Limits, Status
from boxyd import boxes_visits, state, trees
from boxyd.boxes_shelf import Record
from tests.unit.daemon.conftest import World
from tests.unit.daemon.fakes import FakeShim


def rewrite(world: World, record: Record, **fields: Any) -> None:
    """Put the box's file where a killed daemon may have left it."""
    path = Path(world.paths.box(record.box.id), "box.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def found(world: World, record: Record) -> Record:
    return world.house.shelf.find(record.box.id)


async def removed(world: World, record: Record) -> None:
    for _ in range(200):
        if not os.path.exists(world.paths.box(record.box.id)):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it was not removed")


async def test_running_paused_and_stopping_boxes_go_on(outside: World) -> None:
    async with outside.daemon() as house:
        running, paused = await outside.running("a"), await outside.running("b")
        stopping = await outside.running("c", stop_timeout=0.05)
        await house.lives.pause(paused)
        outside.shim(stopping).ignores.add(signal.SIGTERM)
        await house.lives._begin_stop(stopping)
    async with outside.daemon() as house:
        assert found(outside, running).box.status is Status.RUNNING
        assert found(outside, paused).box.status is Status.PAUSED
        again = found(outside, stopping)
        await asyncio.wait_for(asyncio.shield(again.exited), 30)
        assert again.box.status is Status.EXITED
        await house.lives.unpause(found(outside, paused))
        await house.lives.stop(found(outside, running))
        assert found(outside, running).box.exit is not None


async def test_the_end_of_a_box_is_heard_by_the_next_daemon(outside: World) -> None:
    async with outside.daemon():
        record = await outside.running()
    async with outside.daemon():
        outside.shim(record).end(7)
        info = await boxes_visits.wait_exit(found(outside, record))
        assert info.status == 7


async def test_a_box_that_ended_while_no_daemon_ran_is_known_by_its_exit_json(
    outside: World,
) -> None:
    async with outside.daemon():
        record = await outside.running()
    outside.shim(record).end(9)
    async with outside.daemon():
        box = found(outside, record).box
        assert box.status is Status.EXITED
        assert box.exit is not None
        assert box.exit.status == 9
        assert outside.told(record) == ["box.exited"]
        assert outside.outside.groups == {}


async def test_a_box_whose_shim_left_no_word_is_lost(outside: World) -> None:
    async with outside.daemon():
        record = await outside.running("web")
    outside.shim(record).vanish()
    async with outside.daemon():
        box = found(outside, record).box
        assert box.status is Status.LOST
        assert box.error
        assert outside.told(record) == ["box.lost"]
        await outside.house.lives.start(found(outside, record))


async def test_a_box_to_be_removed_at_its_end_is_removed_by_the_next_daemon(
    outside: World,
) -> None:
    async with outside.daemon():
        ended = await outside.running(auto_remove=True)
        lost = await outside.running(auto_remove=True)
        created = await outside.new(auto_remove=True)
    outside.shim(ended).end(0)
    outside.shim(lost).vanish()
    async with outside.daemon():
        await removed(outside, ended)
        await removed(outside, lost)
        assert found(outside, created).box.status is Status.CREATED


async def test_a_start_that_never_reached_the_shim_is_undone(outside: World) -> None:
    async with outside.daemon():
        record = await outside.new()
    rewrite(outside, record, status="starting")
    outside.driver.create(outside.paths.box_cgroup(record.box.id), record.box.spec.limits)
    os.mkdir(outside.paths.box_run(record.box.id))
    async with outside.daemon():
        box = found(outside, record).box
        assert box.status is Status.CREATED
        assert "while it was being started" in box.error
        assert outside.outside.groups == {}
        assert os.listdir(outside.paths.run + "/boxes") == []
        await outside.house.lives.start(found(outside, record))


async def test_a_start_that_came_through_unseen_is_noted(outside: World) -> None:
    async with outside.daemon():
        record = await outside.running()
    rewrite(outside, record, status="starting", pid=0)
    async with outside.daemon():
        box = found(outside, record).box
        assert box.status is Status.RUNNING
        assert box.pid
        assert outside.told(record) == ["box.started"]


async def test_a_shim_that_needs_a_moment_to_show_itself_is_waited_for(outside: World) -> None:
    async with outside.daemon():
        record = await outside.new()
    rewrite(outside, record, status="starting")
    run = Path(outside.paths.box_run(record.box.id))
    run.mkdir()
    (run / "plan.json").write_text("{}")

    async def appear() -> None:
        await asyncio.sleep(0.15)
        shim = FakeShim(outside.outside, record.box.id, outside.paths.box(record.box.id))
        outside.outside.shims[record.box.id] = shim

    appearing = asyncio.create_task(appear())
    async with outside.daemon():
        assert found(outside, record).box.status is Status.RUNNING
    await appearing


async def test_a_short_run_that_nobody_saw_is_known_by_its_exit_json(outside: World) -> None:
    async with outside.daemon():
        record = await outside.running()
        outside.shim(record).end(3)
        await boxes_visits.wait_exit(record)
    rewrite(outside, record, status="starting", exit=None)
    async with outside.daemon():
        box = found(outside, record).box
        assert box.status is Status.EXITED
        assert box.exit is not None
        assert box.exit.status == 3


async def test_a_living_shim_is_believed_more_than_the_file(outside: World) -> None:
    async with outside.daemon():
        record = await outside.running()
    rewrite(outside, record, status="created", pid=0)
    run = Path(outside.paths.box_run(record.box.id))
    run.mkdir(exist_ok=True)
    (run / "shim.sock").touch()
    async with outside.daemon():
        assert found(outside, record).box.status is Status.RUNNING
        with pytest.raises(Conflict):
            await outside.house.lives.remove(found(outside, record))


async def test_a_removal_that_was_cut_off_is_finished(outside: World) -> None:
    async with outside.daemon() as house:
        record = await outside.new("web")
        upper = Path(outside.paths.box(record.box.id), "upper")
        (upper / "a/b").mkdir(parents=True)
        house.boxes._state.discard(record.box.id)
    assert len(outside.folders()) == 1
    async with outside.daemon():
        assert outside.folders() == []
        assert len(outside.house.shelf) == 0


async def test_a_box_on_its_way_out_by_the_file_is_removed(outside: World) -> None:
    async with outside.daemon():
        record = await outside.new()
    rewrite(outside, record, status="removing")
    async with outside.daemon():
        await removed(outside, record)


async def test_a_damaged_box_is_told_kept_and_its_name_and_run_folder_left(
    outside: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with outside.daemon():
        record = await outside.running("web")
        other = await outside.new("other")
    run = Path(outside.paths.box_run(record.box.id))
    run.mkdir(exist_ok=True)
    path = Path(outside.paths.box(record.box.id), "box.json")
    path.write_text('{"id": ')
    with caplog.at_level(logging.ERROR):
        async with outside.daemon() as house:
            assert any("damaged" in notice for notice in house.notices)
            assert house.shelf.find("other").box == other.box
            assert run.exists()
    assert "damaged" in caplog.text
    assert path.read_text() == '{"id": '


async def test_what_belongs_to_no_box_is_cleared_unless_a_shim_lives_there(
    outside: World,
) -> None:
    orphan, alive = "0" * 12, "1" * 12
    for name in (orphan, alive):
        os.mkdir(outside.paths.box_run(name))
        outside.driver.create(outside.paths.box_cgroup(name), Limits())
    outside.outside.shims[alive] = FakeShim(outside.outside, alive, str(outside.paths.root))
    async with outside.daemon():
        assert os.listdir(outside.paths.run + "/boxes") == [alive]
        assert list(outside.outside.groups) == [outside.paths.box_cgroup(alive)]


@pytest.mark.parametrize("count", range(14))
async def test_killed_at_any_moment_the_next_daemon_has_no_riddle(
    outside: World, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots of the disk at the n-th change of it are what `kill -9` leaves there."""
    calls = 0
    snapshot = Path(outside.paths.root).parent / "snapshot"

    def moment() -> None:
        nonlocal calls
        calls += 1
        if calls == count + 1:  # the copying itself makes folders, and counts on
            shutil.copytree(outside.paths.root, snapshot, symlinks=True)

    for module, name in (
        (os, "rename"),
        (os, "mkdir"),
        (os, "rmdir"),
        (state, "write_atomic"),
    ):
        real = getattr(module, name)

        def tapped(*args: Any, _real: Any = real, **kwargs: Any) -> Any:
            moment()
            return _real(*args, **kwargs)

        monkeypatch.setattr(module, name, tapped)
    async with outside.daemon() as house:
        record = await outside.running("web")
        await house.lives.stop(record)
        await house.lives.remove(record)
    monkeypatch.undo()
    if not snapshot.exists():
        pytest.fail(f"only {calls} moments")
    trees.remove_tree(outside.paths.root)
    snapshot.rename(outside.paths.root)
    outside.outside.shims.clear()
    async with outside.daemon() as house:
        assert not [notice for notice in house.notices if "damaged" in notice]
        for record in house.shelf:
            assert record.box.status in (
                Status.CREATED,
                Status.EXITED,
                Status.LOST,
            )
            await house.lives.start(record)
            await house.lives.remove(record, force=True)
        assert outside.folders() == []
        assert outside.outside.groups == {}
