"""The sampler: rates, history, many readers, and what it keeps open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from boxy_core import models
from boxyd.cgroup.null import NullGroup
from boxyd.cgroup.reader import CPU_USEC, IO_WRITE, OOM_KILLS, PIDS, Files, Reader, number
from boxyd.stats import Sampler, Tick


class Machine(NullGroup):
    """A box whose counters are files in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__([])
        self.folder = folder
        self.readers: list[Reader] = []
        self.set_counters()

    def set_counters(self, cpu: int = 1, oom: int = 0, pids: int = 1) -> None:
        for name, value in (("cpu", cpu), ("oom", oom), ("pids", pids)):
            (self.folder / name).write_text(str(value))

    def oom_kills(self) -> int:
        return int((self.folder / "oom").read_text())

    def reader(self, net_pid: int = 0) -> Reader:
        slots = {"cpu": CPU_USEC, "oom": OOM_KILLS, "pids": PIDS, "io": IO_WRITE}
        wanted = [(str(self.folder / name), number(slot)) for name, slot in slots.items()]
        self.readers.append(Reader(Files(always=wanted)))
        return self.readers[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test turns: its only element is the time."""
    now = [1000.0]
    monkeypatch.setattr("boxyd.stats.time.monotonic", lambda: now[0])
    monkeypatch.setattr("boxyd.stats.time.time", lambda: now[0])
    return now


async def test_cpu_percent_is_worked_out_against_the_sample_before(
    machine: Machine, clock: list[float]
) -> None:
    sampler = Sampler()
    sampler.add("box", machine)
    machine.set_counters(cpu=1_000_000)
    await sampler.tick()
    clock[0] += 2
    machine.set_counters(cpu=4_000_000)
    tick = await sampler.tick()
    stats = tick.get("box")
    assert stats is not None
    assert stats.cpu_percent == 150.0
    assert stats.cpu_usec == 4_000_000
    sampler.close()


async def test_the_first_sample_claims_no_rate(machine: Machine) -> None:
    sampler = Sampler()
    machine.set_counters(cpu=10**12)
    sampler.add("box", machine)
    latest = sampler.latest("box")
    assert latest is not None
    assert latest.cpu_percent == 0
    sampler.close()


async def test_history_is_bounded_and_in_order(machine: Machine, clock: list[float]) -> None:
    sampler = Sampler(history=3)
    sampler.add("box", machine)
    for _ in range(5):
        clock[0] += 1
        await sampler.tick()
    assert [stats.time for stats in sampler.history("box")] == [1003, 1004, 1005]
    sampler.close()


async def test_history_outlives_the_box_until_it_is_forgotten(machine: Machine) -> None:
    sampler = Sampler()
    sampler.add("box", machine)
    await sampler.tick()
    sampler.remove("box")
    assert sampler.latest("box") is None
    assert (await sampler.tick()).boxes == []
    assert len(sampler.history("box")) == 1
    sampler.add("box", machine)
    await sampler.tick()
    assert len(sampler.history("box")) == 2
    sampler.forget("box")
    assert sampler.history("box") == []
    sampler.forget("box")


async def test_a_removed_box_keeps_no_file_open(machine: Machine) -> None:
    sampler = Sampler()
    for _ in range(2):
        sampler.add("box", machine)
        await sampler.tick()
    assert not _is_open(machine.readers[0])
    assert _is_open(machine.readers[1])
    sampler.remove("box")
    assert not _is_open(machine.readers[1])


async def test_counters_are_opened_at_the_first_look(machine: Machine) -> None:
    sampler = Sampler()
    sampler.add("box", machine, new=True)
    assert not machine.readers
    assert sampler.latest("box") is not None
    assert _is_open(machine.readers[0])
    sampler.close()


async def test_a_kill_before_the_first_look_is_told_if_the_cgroup_is_new(machine: Machine) -> None:
    told: list[int] = []
    sampler = Sampler(on_oom=lambda _, kills: told.append(kills))
    sampler.add("box", machine, new=True)
    machine.set_counters(oom=1)
    await sampler.tick()
    assert told == [1]
    sampler.close()


def _is_open(reader: Reader) -> bool:
    return bool(reader._always)


async def test_an_out_of_memory_kill_is_told_once(machine: Machine) -> None:
    told: list[tuple[str, int]] = []
    sampler = Sampler(on_oom=lambda box, kills: told.append((box, kills)))
    machine.set_counters(oom=1)
    sampler.add("box", machine)  # that one happened before
    await sampler.tick()
    machine.set_counters(oom=3)
    await sampler.tick()
    await sampler.tick()
    assert told == [("box", 3)]
    sampler.close()


async def _next(ticks: AsyncIterator[Tick]) -> Tick:
    return await anext(ticks)


async def test_all_readers_share_one_round(machine: Machine) -> None:
    sampler = Sampler()
    sampler.add("box", machine)
    readers = [sampler.watch() for _ in range(3)]
    waiting = [asyncio.create_task(_next(reader)) for reader in readers]
    await asyncio.sleep(0)
    made = await sampler.tick()
    assert all([await task is made for task in waiting])
    line = json.loads(made.encoded)
    assert line["boxes"][0]["id"] == "box"
    assert models.convert(models.Stats, line["boxes"][0]) == made.get("box")
    sampler.close()


async def test_a_slow_reader_gets_the_newest_round(machine: Machine, clock: list[float]) -> None:
    sampler = Sampler()
    ticks = sampler.watch()
    first = asyncio.create_task(_next(ticks))
    await asyncio.sleep(0)
    await sampler.tick()
    await first
    clock[0] += 1
    await sampler.tick()  # missed: nobody waits
    second = asyncio.create_task(_next(ticks))
    await asyncio.sleep(0)
    clock[0] += 1
    await sampler.tick()
    assert (await second).time == 1002
    sampler.close()


async def test_a_reader_that_goes_away_disturbs_nobody(machine: Machine) -> None:
    sampler = Sampler()
    gone = asyncio.create_task(_next(sampler.watch()))
    stays = asyncio.create_task(_next(sampler.watch()))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    assert await sampler.tick() is await stays


async def test_run_samples_until_it_is_cancelled(machine: Machine) -> None:
    sampler = Sampler(interval=0.001)
    sampler.add("box", machine)
    task = asyncio.create_task(sampler.run())
    async for _ in sampler.watch():
        if len(sampler.history("box")) >= 3:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sampler.close()


async def test_a_box_may_be_forgotten_in_the_middle_of_a_round(tmp_path: Path) -> None:
    sampler = Sampler()
    for index in range(60):
        folder = tmp_path / str(index)
        folder.mkdir()
        sampler.add(str(index), Machine(folder))
    round_ = asyncio.create_task(sampler.tick())
    await asyncio.sleep(0)
    for index in range(60):
        sampler.forget(str(index))
    assert len((await round_).boxes) < 60
