"""What the boxes use: one sampler, a short history of each box, any number of readers.

Constraint: it runs every second for as long as the daemon lives, so a hundred boxes must cost
under 5 ms (`python -m benchmarks.stats` shows it): counters come from kept file descriptors,
history is packed bytes rather than objects, and a sample becomes a `Stats` and JSON at most
once, for all readers, and only if there is one.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import cached_property

from boxy_core import models
from boxy_core.models import Stats
from boxyd.cgroup.interface import Cgroup
from boxyd.cgroup.reader import (
    CPU_PRESSURE,
    CPU_USEC,
    EMPTY,
    IO_PRESSURE,
    IO_READ,
    IO_WRITE,
    MEMORY_LIMIT,
    MEMORY_PRESSURE,
    MEMORY_RECLAIMABLE,
    MEMORY_USAGE,
    NET_RX,
    NET_TX,
    OOM_KILLS,
    PIDS,
    PIDS_LIMIT,
    THROTTLED_USEC,
    Row,
)

INTERVAL = 1.0
"""Seconds between two samples."""
HISTORY = 300
"""Samples that are kept of each box: five minutes."""
_SLICE = 25
"""Boxes that are read before the event loop gets a turn: under 2 ms."""

_PACKED = struct.Struct(f"<dd{len(EMPTY)}q")
"""A sample: time, cpu_percent, then the row of counters."""


class Tick:
    """One round of samples, shared by all readers: made into models and JSON on first use."""

    def __init__(
        self, when: float, packed: dict[str, bytes], disk: Callable[[str], int | None]
    ) -> None:
        self.time = when
        self._packed = packed
        self._disk = disk

    @cached_property
    def boxes(self) -> list[Stats]:
        """A sample of each box."""
        return [
            _stats(box_id, packed, self._disk(box_id)) for box_id, packed in self._packed.items()
        ]

    @cached_property
    def encoded(self) -> bytes:
        """The round as a line of NDJSON: `{"time": ..., "boxes": [...]}`."""
        return models.encode({"time": self.time, "boxes": self.boxes}) + b"\n"

    def get(self, box_id: str) -> Stats | None:
        """The sample of one box."""
        packed = self._packed.get(box_id)
        return None if packed is None else _stats(box_id, packed, self._disk(box_id))


class _Subject:
    """A box that is or was sampled."""

    def __init__(self, history: int) -> None:
        self.history: deque[bytes] = deque(maxlen=history)
        self.close: Callable[[], None] = _nothing
        self.read: Callable[[], Row] | None = None
        self.cpu_usec = -1
        self.at = 0.0
        self.kills = self.kills_told = 0

    def sample(self, when: float, clock: float) -> bytes:
        """Read the counters, keep them, and give them packed."""
        assert self.read is not None
        row = self.read()
        used, elapsed = row[CPU_USEC] - self.cpu_usec, clock - self.at
        percent = used / elapsed / 1e4 if self.cpu_usec >= 0 and elapsed > 0 else 0.0
        self.cpu_usec, self.at, self.kills = row[CPU_USEC], clock, row[OOM_KILLS]
        packed = _PACKED.pack(when, max(percent, 0.0), *row)
        self.history.append(packed)
        return packed


class Sampler:
    """Samples every box that was added, once in `interval` seconds, while `run` runs.

    `on_oom(box_id, kills)` is called when the kernel killed in a box for want of memory;
    `disk(box_id)` tells what its layer takes, which is measured elsewhere.
    """

    def __init__(
        self,
        *,
        on_oom: Callable[[str, int], None] | None = None,
        disk: Callable[[str], int | None] | None = None,
        interval: float = INTERVAL,
        history: int = HISTORY,
    ) -> None:
        self._on_oom = on_oom
        self._disk = disk or _unknown
        self._interval = interval
        self._length = history
        self._subjects: dict[str, _Subject] = {}
        self._next: asyncio.Future[Tick] | None = None

    def add(self, box_id: str, group: Cgroup, net_pid: int = 0, *, new: bool = False) -> None:
        """Sample a box from now on; again after a restart, when its history goes on.

        `net_pid` is a process in the box's own network, 0 if it has none; `new` says that the
        cgroup was made for this run, so that nothing has been counted in it before.  Its many
        files are opened at the first look, since whoever started the box waits for this.
        """
        self.remove(box_id)
        subject = self._subjects.setdefault(box_id, _Subject(self._length))

        def first() -> Row:
            reader = group.reader(net_pid)
            subject.read, subject.close = reader.read, reader.close
            return reader.read()

        subject.read = first
        subject.cpu_usec = -1
        subject.kills_told = 0 if new else group.oom_kills()

    def remove(self, box_id: str) -> None:
        """Stop sampling a box, as soon as it ended; its history stays.

        The kept net/dev would keep its network namespace alive.
        """
        subject = self._subjects.get(box_id)
        if subject is not None:
            subject.close()
            subject.read, subject.close = None, _nothing

    def forget(self, box_id: str) -> None:
        """Drop a box with its history."""
        self.remove(box_id)
        self._subjects.pop(box_id, None)

    def close(self) -> None:
        """Stop sampling everything."""
        for box_id in list(self._subjects):
            self.remove(box_id)

    def history(self, box_id: str) -> list[Stats]:
        """The samples that are kept, oldest first; empty for a box that never ran."""
        subject = self._subjects.get(box_id)
        return [] if subject is None else [_stats(box_id, packed) for packed in subject.history]

    def latest(self, box_id: str) -> Stats | None:
        """The newest sample of a box that is being sampled (taken now if there is none yet)."""
        subject = self._subjects.get(box_id)
        if subject is None or subject.read is None:
            return None
        disk = self._disk(box_id)
        if subject.cpu_usec < 0:
            return _stats(box_id, self._sample(box_id, subject, time.time()), disk)
        return _stats(box_id, subject.history[-1], disk)

    def refresh(self, box_id: str) -> None:
        """Sample a box out of turn: its limits were changed, and the next look must show them."""
        subject = self._subjects.get(box_id)
        if subject is not None and subject.read is not None:
            self._sample(box_id, subject, time.time())

    async def watch(self) -> AsyncIterator[Tick]:
        """Each round as it is taken; a reader that is slow misses rounds, and delays nobody."""
        while True:
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
            yield await asyncio.shield(self._next)

    async def run(self) -> None:
        """Sample until cancelled.  A round that came late does not make the next one early."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.tick()
            due = max(due + self._interval, loop.time())
            await asyncio.sleep(due - loop.time())

    async def tick(self) -> Tick:
        """Take one round now, and hand it to the readers."""
        now = time.time()
        packed: dict[str, bytes] = {}
        for count, (box_id, subject) in enumerate(list(self._subjects.items()), 1):
            if subject.read is not None:
                packed[box_id] = self._sample(box_id, subject, now)
            if count % _SLICE == 0:
                await asyncio.sleep(0)
        tick = Tick(now, packed, self._disk)
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(tick)
        return tick

    def _sample(self, box_id: str, subject: _Subject, now: float) -> bytes:
        packed = subject.sample(now, time.monotonic())
        if subject.kills > subject.kills_told:
            subject.kills_told = subject.kills
            if self._on_oom is not None:
                self._on_oom(box_id, subject.kills)
        return packed


def _nothing() -> None:
    """What is done to close a subject that is not open."""


def _unknown(_: str) -> None:
    """The size of a layer that nobody measures."""


def _stats(box_id: str, packed: bytes, disk: int | None = None) -> Stats:
    when, percent, *row = _PACKED.unpack(packed)
    return Stats(
        id=box_id,
        time=when,
        cpu_percent=round(percent, 2),
        cpu_usec=row[CPU_USEC],
        throttled_usec=row[THROTTLED_USEC],
        memory=max(row[MEMORY_USAGE] - row[MEMORY_RECLAIMABLE], 0),
        memory_limit=row[MEMORY_LIMIT],
        pids=row[PIDS],
        pids_limit=row[PIDS_LIMIT],
        io_read=row[IO_READ],
        io_write=row[IO_WRITE],
        net_rx=row[NET_RX],
        net_tx=row[NET_TX],
        oom_kills=row[OOM_KILLS],
        disk=disk,
        cpu_pressure=_percent(row[CPU_PRESSURE]),
        memory_pressure=_percent(row[MEMORY_PRESSURE]),
        io_pressure=_percent(row[IO_PRESSURE]),
    )


def _percent(hundredths: int) -> float | None:
    return None if hundredths < 0 else hundredths / 100
