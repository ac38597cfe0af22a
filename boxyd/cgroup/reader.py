"""Reads the counters of one box, again and again, cheaply.

Constraint: a daemon with a hundred boxes reads all this every second within 5 ms, so the files
are kept open, a reading is one pread(2) and a few `bytes.find`, and what cannot have changed
is not read: a box that used no CPU since the last reading did no I/O and forked nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from boxyd.cgroup.files import KeptFile

(
    CPU_USEC,
    THROTTLED_USEC,
    MEMORY_USAGE,
    MEMORY_RECLAIMABLE,
    PIDS,
    IO_READ,
    IO_WRITE,
    NET_RX,
    NET_TX,
    OOM_KILLS,
    CPU_PRESSURE,
    MEMORY_PRESSURE,
    IO_PRESSURE,
    MEMORY_LIMIT,
    PIDS_LIMIT,
) = range(15)
"""Places in a row.  Pressure is in hundredths of a percent, -1: not told by this kernel.
A limit of 0 is none."""

Row = list[int]
Parser = Callable[[bytes, Row], None]

EMPTY: tuple[int, ...] = (0,) * 10 + (-1,) * 3 + (0,) * 2
EVERY = 5
"""An idle box is read in full each fifth time, a busy one every time."""
RARE = 4
"""Pressure, an average of ten seconds, is read each fourth time."""
_SHIFT = 6
"""A change of memory in use by less than one part in 64 is left for the next full reading."""


_UNLIMITED = 1 << 62
"""v1 writes "no limit" of memory as a number near 2**63."""


class Source:
    """A file and the parser that puts what it says into a row."""

    __slots__ = ("file", "last", "parse")

    def __init__(self, path: str, parse: Parser) -> None:
        self.parse = parse
        self.file = KeptFile(path)
        self.last = b""


Wanted = tuple[str, Parser]


@dataclass
class Files:
    """The files of a cgroup by how often they are read."""

    always: list[Wanted] = field(default_factory=list)
    """each time; the CPU counter is among them"""
    busy: list[Wanted] = field(default_factory=list)
    """while the box uses CPU"""
    memory: list[Wanted] = field(default_factory=list)
    """when the memory in use changed; memory.stat is the dearest of all"""
    rare: list[Wanted] = field(default_factory=list)
    """each fourth time"""
    settings: list[Wanted] = field(default_factory=list)
    """once, and after a change of limits"""

    def paths(self) -> Iterator[str]:
        """Every file, the counters first."""
        for wanted in (self.always, self.busy, self.memory, self.rare, self.settings):
            yield from (path for path, _ in wanted)

    def extend(self, other: Files) -> None:
        """Take in the files of another hierarchy."""
        self.always += other.always
        self.busy += other.busy
        self.memory += other.memory
        self.rare += other.rare
        self.settings += other.settings


class Reader:
    """Keeps the files of one box open.  A file that is missing leaves its counter at 0."""

    made: ClassVar[int] = 0

    def __init__(self, wanted: Files) -> None:
        self.row: Row = list(EMPTY)
        self._always = _opened(wanted.always)
        self._busy = _opened(wanted.busy)
        self._memory = _opened(wanted.memory)
        self._rare = _opened(wanted.rare)
        self._settings = wanted.settings
        Reader.made += 1
        self._turn = Reader.made  # the rare readings of many boxes fall into different rounds
        self._usage = 0
        self._stale = self._first = True

    def read(self) -> Row:
        """The row as it is now: the same list each time, changed in place."""
        row = self.row
        if self._settings and self._stale:
            self._read_settings()
        before = row[CPU_USEC]
        turn = self._turn
        self._turn = turn + 1
        _read(self._always, row)
        full = turn % EVERY == 0 or self._first
        if full or row[CPU_USEC] != before:
            _read(self._busy, row)
        if full or abs(row[MEMORY_USAGE] - self._usage) > row[MEMORY_USAGE] >> _SHIFT:
            self._usage = row[MEMORY_USAGE]
            _read(self._memory, row)
        if turn % RARE == 0 or self._first:
            _read(self._rare, row)
        self._first = False
        return row

    def refresh(self) -> None:
        """The limits were changed: read them with the next row."""
        self._stale = True

    def _read_settings(self) -> None:
        sources = _opened(self._settings)
        _read(sources, self.row)
        for source in sources:
            source.file.close()
        self._stale = False

    def close(self) -> None:
        """Close the files; the row stays."""
        for sources in (self._always, self._busy, self._memory, self._rare):
            for source in sources:
                source.file.close()
            sources.clear()


def _opened(wanted: Iterable[Wanted]) -> list[Source]:
    sources = []
    for path, parse in wanted:
        try:
            sources.append(Source(path, parse))
        except OSError:  # the controller or the feature is not there, or the box just ended
            continue
    return sources


def _read(sources: list[Source], row: Row) -> None:
    for source in sources:
        try:
            data = source.file.read()
            if data != source.last:  # most are as they were: comparing is cheaper than parsing
                source.parse(data, row)
                source.last = data
        except (OSError, ValueError):  # gone, or PSI switched off (EOPNOTSUPP)
            continue


# ------------------------------------------------------------------ parsers: pure


def number(slot: int, divisor: int = 1) -> Parser:
    """A file that is one number."""

    def parse(data: bytes, row: Row) -> None:
        row[slot] = int(data) // divisor

    return parse


def limit(slot: int) -> Parser:
    """A file that is one number, or says in its way that there is no limit."""

    def parse(data: bytes, row: Row) -> None:
        text = data.strip()
        row[slot] = 0 if text == b"max" or int(text) > _UNLIMITED else int(text)

    return parse


def fields(*wanted: tuple[bytes, int, int]) -> Parser:
    """A file of `name number` lines: (name, slot, divisor) for each that is wanted."""
    keys = tuple((name + b" ", len(name) + 1, slot, divisor) for name, slot, divisor in wanted)

    def parse(data: bytes, row: Row) -> None:
        for key, length, slot, divisor in keys:
            start = 0 if data.startswith(key) else data.find(b"\n" + key) + 1
            if start or data.startswith(key):
                start += length
                row[slot] = int(data[start : data.find(b"\n", start)]) // divisor

    return parse


def io_stat(data: bytes, row: Row) -> None:
    """v2's io.stat: `MAJ:MIN rbytes=N wbytes=N ...` for each device."""
    row[IO_READ] = sum(map(int, re.findall(rb" rbytes=(\d+)", data)))
    row[IO_WRITE] = sum(map(int, re.findall(rb" wbytes=(\d+)", data)))


def blkio_bytes(data: bytes, row: Row) -> None:
    """v1's blkio.throttle.io_service_bytes: `MAJ:MIN Read N`, `... Write N`, then totals."""
    row[IO_READ] = sum(map(int, re.findall(rb" Read (\d+)", data)))
    row[IO_WRITE] = sum(map(int, re.findall(rb" Write (\d+)", data)))


def pressure(slot: int) -> Parser:
    """The share of the last ten seconds in which some task waited: `some avg10=1.23 ...`."""

    def parse(data: bytes, row: Row) -> None:
        start = data.find(b"avg10=") + 6
        row[slot] = round(float(data[start : data.find(b" ", start)]) * 100)

    return parse


def net_dev(data: bytes, row: Row) -> None:
    """/proc/PID/net/dev: two lines of headings, then `NAME: RX-BYTES 7 more TX-BYTES ...`."""
    received = sent = 0
    for line in data.splitlines()[2:]:
        name, _, counters = line.partition(b":")
        if name.strip() != b"lo":
            columns = counters.split(None, 9)
            received += int(columns[0])
            sent += int(columns[8])
    row[NET_RX] = received
    row[NET_TX] = sent


def pressures(folder: str) -> list[Wanted]:
    """The pressure files of a v2 cgroup."""
    return [
        (f"{folder}/cpu.pressure", pressure(CPU_PRESSURE)),
        (f"{folder}/memory.pressure", pressure(MEMORY_PRESSURE)),
        (f"{folder}/io.pressure", pressure(IO_PRESSURE)),
    ]
