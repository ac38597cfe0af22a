"""Answers that go on: events, figures, logs; and clients that are slow, or leave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from boxy_core.protocol import STDOUT
from boxyd.runtime.log import Log
from tests.integration.conftest import Served, awaited, closed, read_reply, request
from tests.support.waiting import eventually_async


async def lines(served: Served, path: str, count: int, **query: Any) -> list[Any]:
    seen: list[Any] = []
    async with served.client.stream("GET", path, query=query) as answer:
        async for line in answer.lines():
            seen.append(line)
            if len(seen) == count:
                return seen
    return seen


async def test_watch_begins_with_its_cursor_and_tells_events_as_they_come(served: Served) -> None:
    watching = asyncio.create_task(lines(served, "/watch", 4))
    await served.watched()
    record = await served.running("web")
    head, created, starting, started = await watching
    assert head == {"cursor": created["cursor"] - 1, "boot": served.house.events.boot}
    assert [e["type"] for e in (created, starting, started)] == [
        "box.created",
        "box.starting",
        "box.started",
    ]
    assert started["id"] == record.box.id
    assert started["data"]["status"] == "running"


async def test_watch_resumes_without_a_gap(served: Served) -> None:
    cursor = served.house.events.cursor
    await served.new("a")
    await served.new("b")
    first = (await lines(served, "/watch", 2, since=cursor))[1]
    second = (await lines(served, "/watch", 2, since=first["cursor"]))[1]
    assert [first["name"], second["name"]] == ["a", "b"]


async def test_a_cursor_of_another_daemons_life_gives_resync(served: Served) -> None:
    cursor = served.house.events.cursor
    assert (await lines(served, "/watch", 2, since=5))[1]["type"] == "resync"
    assert (await lines(served, "/watch", 2, since=cursor, boot="other"))[1]["type"] == "resync"


async def test_a_flood_of_events_comes_whole_and_in_order_to_a_reader_that_keeps_up(
    served: Served,
) -> None:
    watching = asyncio.create_task(lines(served, "/watch", 1001))
    await served.watched()
    for number in range(1000):
        served.house.events.emit("test", name=str(number))
    events = (await watching)[1:]
    assert [e["name"] for e in events] == [str(n) for n in range(1000)]


async def test_a_reader_that_does_not_read_costs_nobody_anything(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(request("GET", "/watch"))
    await writer.drain()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await served.watched()
    filler = "x" * 2000
    for number in range(20_000):
        served.house.events.emit("test", name=str(number), filler=filler)
        if number % 500 == 0:
            await asyncio.sleep(0)
    assert (await served.client.request("GET", "/version"))["api"] == 1
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    seen: list[Any] = []
    while not seen or seen[-1].get("name") != "19999":
        size = int(await reader.readline() if seen else await _skip_head(reader), 16)
        chunk = await reader.readexactly(size)
        await reader.readline()
        seen += [json.loads(line) for line in chunk.splitlines()]
    assert "resync" in [event.get("type") for event in seen]
    assert len(seen) < 20_000
    await closed(writer)


async def _skip_head(reader: asyncio.StreamReader) -> bytes:
    await reader.readuntil(b"\r\n\r\n")
    return await reader.readline()


async def test_a_watcher_that_leaves_is_forgotten_though_nothing_happens(served: Served) -> None:
    before = len(asyncio.all_tasks())
    streams = [await served.connect() for _ in range(5)]
    for _, writer in streams:
        writer.write(request("GET", "/watch"))
    await served.watched(5)
    for _, writer in streams:
        await closed(writer)
    await served.watched(0)
    await eventually_async(lambda: len(asyncio.all_tasks()) <= before)


async def test_figures_of_one_box_and_of_all(served: Served) -> None:
    record = await served.running("web")
    one = await served.client.request("GET", "/boxes/web/stats")
    assert one["id"] == record.box.id
    head = (await lines(served, "/stats", 1))[0]
    assert [s["id"] for s in head["boxes"]] == [record.box.id]
    assert (await lines(served, "/boxes/web/stats", 1, stream=1))[0]["id"] == record.box.id
    assert "boxes" in await served.client.request("GET", "/stats", query={"stream": 0})


async def test_figures_of_a_box_that_does_not_run_are_a_conflict(served: Served) -> None:
    await served.new("web")
    assert (await served.ask("GET", "/boxes/web/stats")).status == 409
    assert (await served.ask("GET", "/boxes/web/stats?stream=1")).status == 409


async def test_a_stream_of_figures_ends_with_its_box(served: Served) -> None:
    record = await served.running("web")
    async with served.client.stream("GET", "/boxes/web/stats", query={"stream": 1}) as answer:
        figures = answer.lines()
        await anext(figures)
        served.shim(record).end(0)
        async for _ in figures:
            continue


async def test_logs_are_frames_and_following_ends_with_the_box(served: Served) -> None:
    record = await served.running("web")
    folder = Path(served.paths.box(record.box.id))
    log = Log(str(folder / "log"), 1 << 20, 3)
    log.write(STDOUT, b"one\ntwo\n")
    reply = await served.ask("GET", "/boxes/web/logs?tail=1")
    assert reply.body == b"\x01\0\0\0\0\0\0\x04two\n"
    reply = await served.ask("GET", "/boxes/web/logs?timestamps=1&tail=1")
    assert reply.body[8:].endswith(b"Z two\n")
    following = asyncio.create_task(served.ask("GET", "/boxes/web/logs?follow=1"))
    await asyncio.sleep(0.05)
    log.write(STDOUT, b"three\n")
    await asyncio.sleep(0.02)
    served.shim(record).end(0)
    reply = await following
    assert reply.body.replace(b"\x01\0\0\0\0\0\0\x06", b"").endswith(b"two\nthree\n")


async def test_following_a_box_that_was_never_started_ends_at_once(served: Served) -> None:
    await served.new("web")
    assert (await served.ask("GET", "/boxes/web/logs?follow=1")).body == b""


async def test_the_daemons_end_ends_streams_cleanly_and_waits_with_an_error(
    served: Served,
) -> None:
    record = await served.running("web")
    watching = asyncio.create_task(served.ask("GET", "/watch"))
    waiting = asyncio.create_task(served.ask("GET", "/boxes/web/wait"))
    await served.watched()
    await awaited(record.exited)
    served.house.closing.set()
    assert (await watching).body.count(b"\n") == 1
    reply = await waiting
    assert reply.json["error"]["code"] == "daemon-unreachable"


async def test_one_connection_carries_many_requests(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(request("GET", "/version") * 50)
    for _ in range(50):
        assert (await read_reply(reader)).status == 200
    await closed(writer)
