"""The life of boxes: every move, the order of events, races, failures."""

# ruff: noqa: ASYNC240 - a test may wait for its disk

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from boxy_core.errors import (
    BoxyError,
    CommandNotFound,
    Conflict,
    ImageError,
    InvalidRequest,
    NotFound,
    StartFailed,
)
from boxy_core.models import ALIVE, TRANSITIONS, Box, BoxSpec, Status
from boxyd import boxes_visits
from boxyd.boxes_shelf import Record
from boxyd.ports import Stream
from boxyd.state import AFTER_ANSWER
from tests.support.waiting import eventually_async
from tests.unit.daemon.conftest import World


async def settled(record: Record, status: Status) -> None:
    for _ in range(200):
        if record.box.status is status:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"it is {record.box.status}, not {status}")


async def gone(record: Record) -> None:
    await asyncio.wait_for(asyncio.shield(record.removed), 30)


# ---------------------------------------------------------------------- create


async def test_a_created_box_is_on_the_disk_and_told(world: World) -> None:
    record = await world.new("web", command=["ls"])
    box = record.box
    assert (box.name, box.status, box.args, box.image_id) == ("web", "created", ["ls"], "sha256:1")
    assert world.on_disk(box) == "created"
    assert world.told(record) == ["box.created"]
    assert len(box.id) == 64


async def test_boxes_without_a_name_get_different_ones_and_id_ranges_of_their_own(
    world: World,
) -> None:
    records = [await world.new() for _ in range(20)]
    assert len({record.box.name for record in records}) == 20
    assert len({record.box.id_base for record in records}) == 20


async def test_a_taken_name_is_refused_naming_the_holder_and_the_way_out(world: World) -> None:
    holder = await world.new("web")
    with pytest.raises(Conflict) as caught:
        await world.new("web")
    assert holder.box.id[:12] in caught.value.message
    assert "boxy rm -f web" in caught.value.hint
    assert len(world.folders()) == 1


async def test_of_two_that_want_one_name_at_once_one_gets_it(world: World) -> None:
    results = await asyncio.gather(
        *(world.new("web", image="packed") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(r, Record) for r in results) == 1
    assert sum(isinstance(r, Conflict) for r in results) == 4
    assert world.store.unpacked == 1


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"image": "nope"}, NotFound),
        ({"image": "tiny", "entrypoint": []}, InvalidRequest),
        ({"image": "tiny", "name": "a b"}, InvalidRequest),
    ],
)
async def test_a_create_that_fails_leaves_nothing(
    world: World, spec: dict[str, object], error: type[BoxyError]
) -> None:
    with pytest.raises(error):
        await world.house.boxes.create(BoxSpec(**spec))  # type: ignore[arg-type]
    assert world.folders() == []
    assert len(world.house.shelf) == 0


async def test_a_full_disk_at_create_leaves_nothing_and_frees_the_name(world: World) -> None:
    boxes = Path(world.paths.boxes)
    boxes.rmdir()
    boxes.write_text("no folder")
    with pytest.raises(OSError, match="Not a directory"):
        await world.new("web")
    boxes.unlink()
    boxes.mkdir()
    await world.new("web")


async def test_an_image_is_unpacked_once_for_many_who_ask(world: World) -> None:
    heard: list[str] = []
    waiting = [
        world.house.images.ready("packed", lambda step, done, total: heard.append(step))
        for _ in range(4)
    ]
    images = await asyncio.gather(*waiting)
    assert all(image.ready for image in images)
    assert world.store.unpacked == 1
    assert heard == ["unpacking"] * 4
    assert [e.type for e in world.events()][-1] == "image.prepared"


async def test_a_caller_that_leaves_does_not_stop_an_unpacking_for_others(world: World) -> None:
    first = asyncio.create_task(world.house.images.ready("packed"))
    second = asyncio.create_task(world.house.images.ready("packed"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).ready


# ---------------------------------------------------------------------- start and the end


async def test_a_whole_life_is_told_in_order_with_the_status_after_each_step(world: World) -> None:
    record = await world.running("web")
    assert world.on_disk(record.box) == "starting"  # until its answer is on the way
    await asyncio.sleep(5 * AFTER_ANSWER)
    assert world.on_disk(record.box) == "running"
    world.shim(record).end(3)
    await settled(record, Status.EXITED)
    await world.house.lives.remove(record)
    events = [e for e in world.events() if e.id == record.box.id]
    assert [(e.type, e.data["status"]) for e in events] == [
        ("box.created", "created"),
        ("box.starting", "starting"),
        ("box.started", "running"),
        ("box.exited", "exited"),
        ("box.removed", "removing"),
    ]
    assert events[3].data["exit_status"] == 3
    assert world.folders() == []
    assert world.outside.groups == {}


async def test_a_running_box_knows_its_pids_and_an_ended_one_its_end(world: World) -> None:
    record = await world.running()
    assert record.box.pid
    assert record.box.started
    world.shim(record).end(137, 9, oom=True)
    await settled(record, Status.EXITED)
    assert record.box.pid == 0
    assert record.box.exit is not None
    assert (record.box.exit.signal, record.box.exit.oom) == (9, True)
    assert world.told(record)[-2:] == ["box.oom", "box.exited"]


async def test_the_timing_of_a_start_is_kept(world: World) -> None:
    record = await world.running()
    file = Path(world.paths.box(record.box.id), "trace.json")
    await eventually_async(file.exists)
    trace = json.loads(file.read_text())
    steps = {step["step"]: step for step in trace["steps"]}
    assert list(steps) == ["network", "plan", "launch", "noted"]
    assert "cgroup" in steps["launch"]["inner"]
    assert trace["total_ms"] >= max(step["ms"] for step in trace["steps"])


async def test_a_box_can_be_made_and_started_at_once(world: World) -> None:
    spec = BoxSpec(image="tiny", name="web")
    box = await world.house.boxes.create(spec, world.house.lives.start)
    record = world.house.shelf.find("web")
    assert (box.status, record.box) == (Status.RUNNING, box)
    assert world.told(record) == ["box.created", "box.starting", "box.started"]


async def test_a_box_whose_first_start_fails_is_there_and_says_why(world: World) -> None:
    async def refused(record: Record) -> Box:
        raise StartFailed("no such command")

    with pytest.raises(StartFailed):
        await world.house.boxes.create(BoxSpec(image="tiny", name="web"), refused)
    assert world.house.shelf.find("web").box.status is Status.CREATED


async def test_of_many_starts_at_once_exactly_one_wins(world: World) -> None:
    record = await world.new()
    starts = (world.house.lives.start(record) for _ in range(10))
    results = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(r, Conflict) for r in results) == 9
    assert world.told(record).count("box.started") == 1
    assert record.box.status is Status.RUNNING


async def test_a_start_that_failed_leaves_the_box_as_it_was_with_the_reason(world: World) -> None:
    record = await world.new(command=["missing"])
    with pytest.raises(CommandNotFound):
        await world.house.lives.start(record)
    assert record.box.status is Status.CREATED
    assert "missing" in record.box.error
    assert world.outside.groups == {}
    assert world.told(record)[-1] == "box.start_failed"
    assert world.events()[-1].data["code"] == "command-not-found"


async def test_a_failed_start_of_an_ended_box_keeps_how_it_ended(world: World) -> None:
    record = await world.running()
    world.shim(record).end(3)
    await settled(record, Status.EXITED)
    Path(world.store.layer).rmdir()
    with pytest.raises(ImageError, match="layer"):
        await world.house.lives.start(record)
    assert record.box.status is Status.EXITED
    assert record.box.exit is not None
    assert record.box.exit.status == 3


async def test_a_start_that_is_cancelled_is_undone(world: World) -> None:
    world.launches.gate = asyncio.Event()
    record = await world.new()
    start = asyncio.create_task(world.house.lives.start(record))
    await settled(record, Status.STARTING)
    start.cancel()
    await asyncio.wait([start])
    assert record.box.status is Status.CREATED
    assert world.outside.groups == {}


async def test_an_ended_box_starts_again_and_forgets_its_old_end(world: World) -> None:
    record = await world.running()
    world.shim(record).end(3)
    await settled(record, Status.EXITED)
    await world.house.lives.start(record)
    assert record.box.exit is None
    assert not Path(world.paths.box(record.box.id), "exit.json").exists()
    waiting = asyncio.create_task(boxes_visits.wait_exit(record))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    world.shim(record).end(4)
    assert (await waiting).status == 4


async def test_a_shim_that_vanishes_without_a_word_leaves_the_box_lost(world: World) -> None:
    record = await world.running("web")
    waiting = asyncio.create_task(boxes_visits.wait_exit(record))
    await asyncio.sleep(0)
    world.shim(record).vanish()
    await settled(record, Status.LOST)
    with pytest.raises(Conflict, match="lost"):
        await waiting
    with pytest.raises(Conflict, match="lost"):
        await boxes_visits.wait_exit(record)
    assert "without a word" in record.box.error
    await world.house.lives.start(record)
    assert record.box.status is Status.RUNNING
    assert record.box.error == ""


async def test_auto_remove_removes_at_the_end_and_the_end_is_still_known(world: World) -> None:
    record = await world.running(auto_remove=True)
    waiting = asyncio.create_task(boxes_visits.wait_removed(record))
    await asyncio.sleep(0)
    world.shim(record).end(5)
    info = await asyncio.wait_for(waiting, 30)
    assert info is not None
    assert info.status == 5
    assert world.house.shelf.gone(record.box.id) == (True, info)
    assert world.folders() == []
    with pytest.raises(NotFound):
        world.house.shelf.find(record.box.id)


async def test_auto_remove_removes_a_box_that_could_not_be_started(world: World) -> None:
    record = await world.new(command=["missing"], auto_remove=True)
    with pytest.raises(CommandNotFound):
        await world.house.lives.start(record)
    await gone(record)
    assert world.folders() == []


# ---------------------------------------------------------------------- stop, kill, restart


async def test_stop_sends_the_boxs_own_signal_and_waits_for_the_end(world: World) -> None:
    record = await world.running(stop_signal="INT")
    box = await world.house.lives.stop(record)
    assert box.status is Status.EXITED
    assert box.exit is not None
    assert box.exit.status == 130
    assert world.told(record)[-2:] == ["box.stopping", "box.exited"]


async def test_stop_kills_after_the_grace_period(world: World) -> None:
    record = await world.running()
    shim = world.shim(record)
    shim.ignores.add(signal.SIGTERM)
    box = await world.house.lives.stop(record, 0.02)
    assert shim.signals[0] == signal.SIGTERM
    assert box.exit is not None
    assert box.exit.signal == signal.SIGKILL


async def test_a_second_stop_may_be_less_patient(world: World) -> None:
    record = await world.running()
    world.shim(record).ignores.add(signal.SIGTERM)
    patient = asyncio.create_task(world.house.lives.stop(record, -1))
    await settled(record, Status.STOPPING)
    await world.house.lives.stop(record, 0)
    assert (await patient).status is Status.EXITED
    assert world.told(record).count("box.stopping") == 1


async def test_stop_thaws_a_paused_box(world: World) -> None:
    record = await world.running()
    await world.house.lives.pause(record)
    group = record.group
    assert group is not None
    assert group.frozen()
    await world.house.lives.stop(record)
    assert not group.frozen()
    assert record.box.status is Status.EXITED


async def test_kill_sends_the_signal_and_does_not_wait(world: World) -> None:
    record = await world.running()
    shim = world.shim(record)
    await world.house.lives.kill(record, signal.SIGUSR1)
    assert shim.signals == [signal.SIGUSR1]
    assert record.box.status is Status.RUNNING
    await world.house.lives.kill(record, signal.SIGKILL)
    await settled(record, Status.EXITED)


async def test_kill_ends_a_paused_box_too(world: World) -> None:
    record = await world.running()
    await world.house.lives.pause(record)
    await world.house.lives.kill(record, signal.SIGKILL)
    await settled(record, Status.EXITED)


async def test_restart_counts_and_is_told_last(world: World) -> None:
    record = await world.running()
    box = await world.house.lives.restart(record)
    assert (box.status, box.restarts) == (Status.RUNNING, 1)
    assert world.told(record)[-5:] == [
        "box.stopping",
        "box.exited",
        "box.starting",
        "box.started",
        "box.restarted",
    ]


async def test_restart_of_a_box_that_is_to_be_removed_at_its_end_keeps_it(world: World) -> None:
    record = await world.running(auto_remove=True)
    await world.house.lives.restart(record)
    await asyncio.sleep(0.05)
    assert record.box.status is Status.RUNNING
    world.shim(record).end(0)
    await gone(record)


# ---------------------------------------------------------------------- what is forbidden


async def bring(world: World, status: Status) -> Record:
    record = await world.new("web")
    if status is Status.CREATED:
        return record
    await world.house.lives.start(record)
    shim = world.shim(record)
    if status is Status.PAUSED:
        await world.house.lives.pause(record)
    elif status is Status.EXITED:
        shim.end(0)
    elif status is Status.LOST:
        shim.vanish()
    elif status is Status.STOPPING:
        shim.ignores.add(signal.SIGTERM)
        await world.house.lives._begin_stop(record)
    await settled(record, status)
    return record


REFUSED = {
    "start": {Status.RUNNING, Status.PAUSED, Status.STOPPING},
    "stop": {Status.CREATED, Status.EXITED, Status.LOST},
    "kill": {Status.CREATED, Status.EXITED, Status.LOST},
    "pause": set(Status) - {Status.RUNNING},
    "unpause": set(Status) - {Status.PAUSED},
    "exec": set(Status) - {Status.RUNNING},
    "attach": {Status.CREATED, Status.EXITED, Status.LOST},
    "remove": set(ALIVE),
    "top": {Status.CREATED, Status.EXITED, Status.LOST},
}
HELD = [Status.CREATED, Status.RUNNING, Status.PAUSED, Status.STOPPING, Status.EXITED, Status.LOST]


async def do(world: World, verb: str, record: Record) -> None:
    lives = world.house.lives
    if verb == "exec":
        await world.house.visits.exec(record, {"command": ["ls"]}, None)
    elif verb == "kill":
        await lives.kill(record, signal.SIGUSR1)
    elif verb == "stop":
        await lives.stop(record, 0)
    elif verb == "attach":
        reading, writing = socket.socketpair()
        with reading, writing:
            await world.house.visits.attach(record, Stream(writing.fileno(), b""), "main")
    elif verb == "top":
        boxes_visits.pids(record)
    else:
        await getattr(lives, verb)(record)


@pytest.mark.parametrize("verb", REFUSED)
@pytest.mark.parametrize("status", HELD)
async def test_what_a_state_forbids_is_a_conflict_that_names_the_box(
    world: World, verb: str, status: Status
) -> None:
    record = await bring(world, status)
    if status not in REFUSED[verb]:
        await do(world, verb, record)
        return
    with pytest.raises(Conflict) as caught:
        await do(world, verb, record)
    assert "web" in caught.value.message
    assert caught.value.hint or verb == "unpause"
    assert record.box.status is status


async def test_no_event_ever_tells_of_a_move_that_the_table_forbids(world: World) -> None:
    record = await world.running()
    await world.house.lives.pause(record)
    await world.house.lives.unpause(record)
    await world.house.lives.restart(record)
    await world.house.lives.stop(record)
    await world.house.lives.start(record)
    await world.house.lives.remove(record, force=True)
    at = Status.CREATED
    for event in [e for e in world.events() if e.id == record.box.id]:
        after = Status(str(event.data["status"]))
        assert after is at or after in TRANSITIONS[at], event
        at = after


# ---------------------------------------------------------------------- remove, rename, update


async def test_force_removes_what_runs_killing_it_first(world: World) -> None:
    record = await world.running()
    await world.house.lives.remove(record, force=True)
    assert world.told(record)[-2:] == ["box.exited", "box.removed"]
    assert world.outside.shims == {}


async def test_of_many_removals_at_once_one_does_it_and_the_others_say_so(world: World) -> None:
    record = await world.running(auto_remove=True)
    removals = (world.house.lives.remove(record, force=True) for _ in range(5))
    results = await asyncio.gather(*removals, return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(r, NotFound) for r in results) == 4
    assert world.told(record).count("box.removed") == 1


async def test_a_full_upper_folder_goes_with_the_box(world: World) -> None:
    record = await world.new()
    upper = Path(world.paths.box(record.box.id), "upper")
    for number in range(300):
        (upper / f"{number}/x").mkdir(parents=True)
    await world.house.lives.remove(record)
    assert world.folders() == []


async def test_a_removed_boxs_name_is_free(world: World) -> None:
    await world.house.lives.remove(await world.new("web"))
    await world.new("web")


async def test_wait_on_a_box_that_is_removed_unstarted_ends(world: World) -> None:
    record = await world.new("web")
    waiting = asyncio.create_task(boxes_visits.wait_exit(record))
    await asyncio.sleep(0)
    await world.house.lives.remove(record)
    with pytest.raises(NotFound):
        await waiting


async def test_rename_moves_the_name_everywhere(world: World) -> None:
    record = await world.new("old")
    await world.house.boxes.rename(record, "new")
    assert world.house.shelf.find("new") is record
    with pytest.raises(NotFound):
        world.house.shelf.find("old")
    assert world.events()[-1].data["old_name"] == "old"
    await world.new("old")
    with pytest.raises(Conflict):
        await world.house.boxes.rename(record, "old")
    with pytest.raises(InvalidRequest):
        await world.house.boxes.rename(record, "a b")
    assert record.box.name == "new"


async def test_limits_change_live_and_for_the_next_start(world: World) -> None:
    record = await world.running()
    await world.house.boxes.update(record, {"memory": 1 << 30, "pids": 5})
    assert world.outside.groups[f"boxy/t/{record.box.id[:12]}"].limits.memory == 1 << 30
    box = await world.house.boxes.update(record, {"memory": None})
    assert (box.spec.limits.memory, box.spec.limits.pids) == (None, 5)


@pytest.mark.parametrize("changes", [{}, {"memry": 1}, {"memory": "1g"}, {"memory": True}])
async def test_limits_that_make_no_sense_are_refused(
    world: World, changes: dict[str, object]
) -> None:
    record = await world.new()
    with pytest.raises(InvalidRequest):
        await world.house.boxes.update(record, changes)


async def test_a_limit_that_the_kernel_refuses_is_not_written_down(world: World) -> None:
    record = await world.running()
    with pytest.raises(Conflict):
        await world.house.boxes.update(record, {"memory": 6 << 20})
    assert record.box.spec.limits.memory is None


# ---------------------------------------------------------------------- finding


async def test_a_box_is_found_by_id_prefix_and_name(world: World) -> None:
    record = await world.new("web")
    for ref in (record.box.id, record.box.id[:12], record.box.id[:20], "web"):
        assert world.house.shelf.find(ref) is record


async def test_an_ambiguous_prefix_names_the_candidates(world: World) -> None:
    records = [await world.new() for _ in range(17)]
    digits = [record.box.id[0] for record in records]
    twice = next(d for d in digits if digits.count(d) > 1)
    with pytest.raises(Conflict) as caught:
        world.house.shelf.find(twice)
    named = [r for r in records if r.box.id.startswith(twice)]
    assert all(r.box.id[:12] in caught.value.message for r in named[:5])


@pytest.mark.parametrize("ref", ["", "nope", "zz", "\x1b[2J", "x" * 1000])
async def test_an_unknown_box_is_one_printable_sentence(world: World, ref: str) -> None:
    with pytest.raises(NotFound) as caught:
        world.house.shelf.find(ref)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 150


async def test_filters_choose(world: World) -> None:
    web = await world.running("web", labels={"tier": "front", "a": ""})
    old = await world.new("old", image="packed", labels={"tier": "back"})
    select = world.house.shelf.select

    def names(everything: bool, *filters: tuple[str, str]) -> list[str]:
        return [box.name for box in select(everything=everything, filters=filters)]

    assert names(False) == ["web"]
    assert names(True) == ["old", "web"]
    assert names(False, ("status", "created")) == ["old"]
    assert names(True, ("status", "created"), ("status", "running")) == ["old", "web"]
    assert names(True, ("label", "tier")) == ["old", "web"]
    assert names(True, ("label", "tier=front"), ("label", "a")) == ["web"]
    assert names(True, ("name", "l")) == ["old"]
    assert names(True, ("image", "packed")) == ["old"]
    assert names(True, ("id", web.box.id[:5])) == ["web"]
    assert names(True, ("id", "")) == []
    assert old.box.name == "old"


# ---------------------------------------------------------------------- all at once


async def test_stop_all_takes_every_box_along(world: World) -> None:
    records = [await world.running() for _ in range(10)]
    world.shim(records[0]).ignores.add(signal.SIGTERM)
    await world.house.lives.pause(records[1])
    records[0].box = msgspec.structs.replace(
        records[0].box,
        spec=msgspec.structs.replace(records[0].box.spec, stop_timeout=0.01),
    )
    await world.house.lives.stop_all()
    assert all(record.box.status is Status.EXITED for record in records)


async def test_an_exec_is_told_from_its_start_to_its_end(world: World) -> None:
    record = await world.running()
    session = await world.house.visits.exec(record, {"command": ["ls"]}, None)
    world.shim(record).links[0].tell(
        {"event": "exec-exit", "session": session, "status": 2, "signal": 0}
    )
    started, exited = world.events()[-2:]
    assert (started.type, started.data["command"]) == ("box.exec_started", ["ls"])
    assert (exited.type, exited.data["exit_status"]) == ("box.exec_exited", 2)


async def test_a_pause_is_remembered_as_long_as_it_lasts(world: World) -> None:
    record = await world.running()
    box = await world.house.lives.pause(record)
    assert box.paused >= box.started
    assert (await world.house.lives.unpause(record)).paused == 0.0
