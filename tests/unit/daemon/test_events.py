"""The ring of events and its readers."""

from __future__ import annotations

import asyncio

from boxyd.events import RESYNC, Events


async def take(events: Events, since: int | None, count: int) -> list[str]:
    seen: list[str] = []
    async for batch in events.watch(since):
        seen += [event.type for event in batch]
        if len(seen) >= count:
            break
    return seen


def test_cursors_grow_by_one() -> None:
    events = Events()
    first = events.emit("a")
    assert events.emit("b").cursor == first.cursor + 1 == events.cursor


async def test_a_reader_sees_what_comes_after_it_began() -> None:
    events = Events()
    events.emit("before")
    reader = asyncio.create_task(take(events, None, 2))
    await asyncio.sleep(0)
    events.emit("one")
    events.emit("two", "id", "name", status="running")
    assert await reader == ["one", "two"]


async def test_a_reader_resumes_behind_its_cursor() -> None:
    events = Events()
    at = events.emit("one").cursor
    events.emit("two")
    assert await take(events, at, 1) == ["two"]


async def test_a_cursor_that_fell_out_of_the_ring_gives_resync_then_what_there_is() -> None:
    events = Events(capacity=3)
    at = events.emit("lost").cursor
    for name in "abcd":
        events.emit(name)
    assert await take(events, at, 4) == [RESYNC, "b", "c", "d"]
    assert await take(events, at + 1, 3) == ["b", "c", "d"]


async def test_a_cursor_of_an_earlier_daemon_gives_resync() -> None:
    old = Events()
    at = old.emit("old").cursor
    await asyncio.sleep(0.001)
    new = Events()
    new.emit("new")
    assert await take(new, at, 2) == [RESYNC, "new"]


def test_a_cursor_from_the_future_gives_resync_too() -> None:
    events = Events()
    event = events.emit("a")
    assert [e.type for e in events.after(event.cursor + 5)] == [RESYNC, "a"]


def test_a_resync_can_be_resumed_from() -> None:
    events = Events(capacity=2)
    for name in "abc":
        events.emit(name)
    resync = events.after(0)[0]
    assert [e.type for e in events.after(resync.cursor)] == ["b", "c"]


async def test_a_flood_keeps_its_order_and_a_slow_reader_is_told_not_buffered_for() -> None:
    events = Events(capacity=100)
    quick = asyncio.create_task(take(events, None, 1000))
    slow = events.watch()
    waiting = asyncio.ensure_future(anext(slow))
    await asyncio.sleep(0)
    events.emit("0")
    await waiting
    for number in range(1, 1000):
        events.emit(str(number))
        if number % 50 == 0:
            await asyncio.sleep(0)
    assert await quick == [str(n) for n in range(1000)]
    batch = await anext(slow)
    assert [e.type for e in batch] == [RESYNC, *(str(n) for n in range(900, 1000))]


async def test_a_reader_that_leaves_is_forgotten() -> None:
    events = Events()
    reader = asyncio.create_task(take(events, None, 1))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader])
    assert events._waiting == set()
