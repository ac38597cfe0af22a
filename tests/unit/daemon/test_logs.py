"""The log reader against files as the shim writes and rotates them."""

from __future__ import annotations

import asyncio
import calendar
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.protocol import STDERR, STDOUT, FrameReader
from boxyd.logs import LogQuery, LogReader
from boxyd.runtime.log import Log

BASE = "2026-11-23T18:53:{:02d}.{:09d}Z"


def stamp(second: int, nanosecond: int = 0) -> bytes:
    return BASE.format(second, nanosecond).encode()


def entry(second: int, text: bytes, stream: bytes = b"stdout", tag: bytes = b"F") -> bytes:
    return b" ".join((stamp(second), stream, tag, text)) + b"\n"


def read(folder: Path, **query: object) -> list[tuple[int, bytes]]:
    reader = LogReader(str(folder), LogQuery(**query))  # type: ignore[arg-type]
    frames = FrameReader().feed(b"".join(reader.frames()))
    reader.close()
    merged: list[tuple[int, bytes]] = []
    for kind, data in frames:
        if merged and merged[-1][0] == kind:
            merged[-1] = (kind, merged[-1][1] + data)
        else:
            merged.append((kind, data))
    return merged


def text(folder: Path, **query: object) -> bytes:
    return b"".join(data for _, data in read(folder, **query))


def fill(folder: Path, *files: bytes) -> None:
    """Files from the oldest to the newest."""
    for number, content in enumerate(reversed(files)):
        (folder / (f"log.{number}" if number else "log")).write_bytes(content)


@pytest.fixture
def three_files(tmp_path: Path) -> Path:
    lines = [entry(n, b"line %d" % n) for n in range(9)]
    fill(tmp_path, b"".join(lines[:3]), b"".join(lines[3:6]), b"".join(lines[6:]))
    return tmp_path


def lines(*numbers: int) -> bytes:
    return b"".join(b"line %d\n" % n for n in numbers)


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert text(tmp_path) == b""


def test_rotated_files_are_read_oldest_first(three_files: Path) -> None:
    assert text(three_files) == lines(*range(9))


@pytest.mark.parametrize("tail", [0, 1, 2, 3, 4, 6, 8, 9, 10, 1000])
def test_tail_counts_lines_across_files(three_files: Path, tail: int) -> None:
    assert text(three_files, tail=tail) == lines(*range(max(0, 9 - tail), 9))


def test_since_and_until_are_inclusive(three_files: Path) -> None:
    offset = _epoch(0)
    assert text(three_files, since=offset + 3) == lines(*range(3, 9))
    assert text(three_files, since=offset + 3.001) == lines(*range(4, 9))
    assert text(three_files, until=offset + 3) == lines(*range(4))
    assert text(three_files, since=offset + 2, until=offset + 4.5) == lines(2, 3, 4)


def _epoch(second: int) -> float:
    return calendar.timegm((2026, 11, 23, 18, 53, second))


def test_streams_are_kept_apart_and_partial_lines_joined(tmp_path: Path) -> None:
    fill(
        tmp_path,
        entry(1, b"out ", tag=b"P") + entry(1, b"err", b"stderr") + entry(2, b"put")
        + entry(3, b"$ ", tag=b"P"),
    )  # fmt: skip
    assert read(tmp_path) == [(STDOUT, b"out "), (STDERR, b"err\n"), (STDOUT, b"put\n$ ")]


def test_timestamps_stand_at_the_beginning_of_each_line_only(tmp_path: Path) -> None:
    fill(tmp_path, entry(1, b"a", tag=b"P") + entry(2, b"b") + entry(3, b"c"))
    assert text(tmp_path, timestamps=True) == stamp(1) + b" ab\n" + stamp(3) + b" c\n"


def test_an_unfinished_line_counts_as_one_for_tail(tmp_path: Path) -> None:
    fill(tmp_path, entry(1, b"a") + entry(2, b"b") + entry(3, b"prompt> ", tag=b"P"))
    assert text(tmp_path, tail=1) == b"prompt> "
    assert text(tmp_path, tail=2) == b"b\nprompt> "


def test_lines_that_are_no_log_lines_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, b"\n\0\0\nnonsense\n" + entry(1, b"good") + b"2026 stdout F x\n")
    assert text(tmp_path) == b"good\n"


def test_content_may_hold_anything_but_a_newline(tmp_path: Path) -> None:
    content = bytes(set(range(256)) - {10}) + b" P  F "
    fill(tmp_path, entry(1, content) + entry(2, b""))
    assert text(tmp_path) == content + b"\n\n"
    assert text(tmp_path, tail=2) == content + b"\n\n"


def test_a_line_longer_than_any_buffer_comes_whole(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(700_000).replace(b"\n", b"x")
    fill(tmp_path, entry(1, b"a") + entry(2, content) + entry(3, b"z"))
    assert text(tmp_path) == b"a\n" + content + b"\nz\n"
    assert text(tmp_path, tail=2) == content + b"\nz\n"


async def follow(reader: LogReader, until: asyncio.Future[None]) -> bytes:
    frames, out = FrameReader(), b""
    while True:
        ended = until.done()
        for piece in reader.frames():
            out += b"".join(data for _, data in frames.feed(piece))
            await asyncio.sleep(0)
        if ended or reader.finished:
            return out
        await reader.wait_for_more(until)


async def test_following_over_many_rotations_loses_and_repeats_nothing(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 4000, 3)
    log.write(STDOUT, b"before\n")
    reader = LogReader(str(tmp_path), LogQuery(follow=True))
    until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(follow(reader, until))
    expected, chance = b"before\n", random.Random(7)
    for number in range(3000):
        piece = b"%d %s" % (number, b"x" * chance.randrange(60))
        piece += b"\n" if chance.random() < 0.8 else b""
        log.write(STDOUT, piece)
        expected += piece
        if chance.random() < 0.05:
            await asyncio.sleep(0.0005)
    until.set_result(None)
    assert await following == expected
    assert (tmp_path / "log.3").exists()
    reader.close()


async def test_a_follower_is_woken_by_the_write_not_by_time(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"), 1 << 20, 3)
    reader = LogReader(str(tmp_path), LogQuery(follow=True))
    until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert list(reader.frames()) == []
    waiting = asyncio.create_task(reader.wait_for_more(until))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    log.write(STDOUT, b"x\n")
    await asyncio.wait_for(waiting, 30)
    assert b"x\n" in b"".join(reader.frames())
    reader.close()


async def test_a_follower_that_comes_before_the_log_sees_it_from_the_start(tmp_path: Path) -> None:
    reader = LogReader(str(tmp_path), LogQuery(follow=True))
    until: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    following = asyncio.create_task(follow(reader, until))
    await asyncio.sleep(0.01)
    Log(str(tmp_path / "log"), 1000, 2).write(STDERR, b"first\n")
    await asyncio.sleep(0.05)
    until.set_result(None)
    assert await following == b"first\n"
    reader.close()


async def test_following_ends_when_the_span_is_over(tmp_path: Path) -> None:
    Log(str(tmp_path / "log"), 1000, 2).write(STDOUT, b"a\n")
    reader = LogReader(str(tmp_path), LogQuery(follow=True, until=time.time() + 0.05))
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    assert await asyncio.wait_for(follow(reader, never), 30) == b"a\n"
    reader.close()


async def test_a_half_written_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(entry(1, b"whole") + entry(2, b"half")[:20])
    reader = LogReader(str(tmp_path), LogQuery())
    assert b"half" not in b"".join(reader.frames())
    with path.open("ab") as file:
        file.write(entry(2, b"half")[20:])
    assert b"".join(reader.frames()).endswith(b"half\n")
    reader.close()


def test_closing_gives_every_descriptor_back(three_files: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        text(three_files)
        text(three_files, tail=1)
    assert len(os.listdir("/proc/self/fd")) == before


@given(
    st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.binary(min_size=1, max_size=80))),
    st.integers(100, 2000),
)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_what_a_box_wrote_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[int, bytes]], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = Log(str(folder / "log"), limit, 1000)
    wanted = {STDOUT: b"", STDERR: b""}
    for kind, chunk in chunks:
        log.write(kind, chunk)
        wanted[kind] += chunk
    got = {STDOUT: b"", STDERR: b""}
    for kind, data in read(folder):
        got[kind] += data
    assert got == wanted
