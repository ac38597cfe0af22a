"""What the console knows, in one object; events and answers go in, facts come out.  Pure.

Constraint: no I/O, no clock, no widgets.  `feed.py` brings what the daemon says, screens read.
An event tells at once what it can (the status) and names the box to be asked for the rest, so
that nothing is ever polled.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from boxy_core.errors import BoxyError
from boxy_core.models import ALIVE, Box, Event, ExitInfo, Image, Stats, Status

HISTORY = 300
"""Samples kept for each box, one a second, as the daemon does."""
EVENTS = 200
_NUMBERS = re.compile(r"(\d+)")


class Link(StrEnum):
    """How we stand with the daemon."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"


class Effect(NamedTuple):
    """What an event asks of whoever does the I/O."""

    fetch: str = ""
    """the id of a box whose full record is needed"""
    resync: bool = False
    """everything has to be listed again"""
    images: bool = False
    """the images have to be listed again"""


class Rates(NamedTuple):
    """What a box does now: percent of a core, bytes, tasks, bytes per second."""

    cpu: float = 0.0
    memory: int = 0
    memory_limit: int = 0
    pids: int = 0
    pids_limit: int = 0
    io: float = 0.0
    net: float = 0.0


class Order(StrEnum):
    """How the box table is sorted; living boxes come first in each."""

    NAME = "name"
    CPU = "cpu"
    MEMORY = "memory"
    NEWEST = "newest"


IDLE = Rates()


class State:
    """Boxes, images, samples and the link, as of the last thing that the daemon said.

    `version` grows with each change, so that a reader can tell whether to look again.
    """

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.images: list[Image] = []
        self.samples: dict[str, deque[Stats]] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.link = Link.CONNECTING
        self.trouble: BoxyError | None = None
        self.ever_live = False
        self.daemon: dict[str, Any] = {}
        self.cursor: int | None = None
        self.boot = ""
        self.version = 0
        self._with_history: set[str] = set()

    # ------------------------------------------------------------------ the link

    def connected(self, daemon: dict[str, Any]) -> None:
        """The daemon answers; `daemon` is what /version says."""
        self.link, self.trouble, self.daemon = Link.LIVE, None, daemon
        self.ever_live = True
        self.version += 1

    def disconnected(self, error: BoxyError) -> None:
        """The daemon is gone or was never there; what we know stays on show."""
        self.link = Link.LOST if self.ever_live else Link.CONNECTING
        self.trouble = error
        self.version += 1

    def greeted(self, cursor: int, boot: str) -> bool:
        """The first line of a watch.  True when everything has to be listed (a new daemon)."""
        fresh = boot != self.boot or self.cursor is None
        self.boot = boot
        if fresh:
            self.cursor = cursor
            self._with_history.clear()
        return fresh

    # ------------------------------------------------------------------ facts come in

    def list_boxes(self, boxes: Iterable[Box]) -> None:
        """A full list: what is not in it is gone."""
        self.boxes = {box.id: box for box in boxes}
        for gone in [key for key in self.samples if key not in self.boxes]:
            del self.samples[gone]
        self.version += 1

    def list_images(self, images: Iterable[Image]) -> None:
        """A full list of the images."""
        self.images = sorted(images, key=lambda image: image.name)
        self.version += 1

    def put_box(self, box: Box) -> None:
        """One box's full record."""
        self.boxes[box.id] = box
        self.version += 1

    def drop_box(self, box_id: str) -> None:
        """The box is gone."""
        self.boxes.pop(box_id, None)
        self.samples.pop(box_id, None)
        self._with_history.discard(box_id)
        self.version += 1

    def apply(self, event: Event) -> Effect:
        """Take an event in; the answer says what is to be fetched."""
        if event.type == "resync":
            self.cursor = event.cursor
            return Effect(resync=True)
        if self.cursor is not None and event.cursor <= self.cursor:
            return Effect()
        self.cursor = event.cursor
        self.events.append(event)
        self.version += 1
        subject, _, what = event.type.partition(".")
        if subject == "image":
            return Effect(images=True)
        if subject not in ("box", "network") or not event.id:
            return Effect()
        if what == "removed":
            self.drop_box(event.id)
            return Effect()
        box = self.boxes.get(event.id)
        if box is not None:
            self.boxes[event.id] = _after(box, event, what)
        return Effect(fetch=event.id)

    def add_past(self, events: Iterable[Event]) -> None:
        """What happened before we came: to be read, nothing follows from it any more."""
        self.events.extendleft(reversed(list(events)))
        self.version += 1

    def add_samples(self, samples: Iterable[Stats]) -> None:
        """One tick of the stats stream."""
        for sample in samples:
            ring = self.samples.get(sample.id)
            if ring is None:
                ring = self.samples[sample.id] = deque(maxlen=HISTORY)
            if not ring or sample.time > ring[-1].time:
                ring.append(sample)
        self.version += 1

    def add_history(self, box_id: str, past: Sequence[Stats]) -> None:
        """The daemon's own history of a box, put before what we have seen ourselves."""
        self._with_history.add(box_id)
        live = self.samples.get(box_id, ())
        known = {sample.time for sample in past}
        merged = [*past, *(sample for sample in live if sample.time not in known)]
        merged.sort(key=lambda sample: sample.time)
        self.samples[box_id] = deque(merged, maxlen=HISTORY)
        self.version += 1

    def lacks_history(self, box_id: str) -> bool:
        """Whether the daemon has not been asked yet what this box did before we came."""
        return box_id in self.boxes and box_id not in self._with_history

    # ------------------------------------------------------------------ facts go out

    def rates(self, box_id: str) -> Rates:
        """What a box does now; all zero when it does not live or nothing is known."""
        box, ring = self.boxes.get(box_id), self.samples.get(box_id)
        if box is None or not ring or box.status not in ALIVE:
            return IDLE
        now = ring[-1]
        io = net = 0.0
        if len(ring) > 1:
            before = ring[-2]
            io = _rate(before, now, before.io_read + before.io_write, now.io_read + now.io_write)
            net = _rate(before, now, before.net_rx + before.net_tx, now.net_rx + now.net_tx)
        return Rates(
            now.cpu_percent, now.memory, now.memory_limit, now.pids, now.pids_limit, io, net
        )

    def counts(self) -> dict[Status, int]:
        """How many boxes are in each state that occurs."""
        counts: dict[Status, int] = {}
        for box in self.boxes.values():
            counts[box.status] = counts.get(box.status, 0) + 1
        return counts

    def visible(self, needle: str = "", order: Order = Order.NAME) -> list[str]:
        """The ids of the boxes that match the filter, sorted for the table.

        Every word of `needle` has to occur; `!word` must not; case does not matter.
        """
        found = [box for box in self.boxes.values() if matches(haystack(box), needle)]
        found.sort(
            key=lambda box: (box.status not in ALIVE, self._weight(box, order), natural(box.name))
        )
        return [box.id for box in found]

    def _weight(self, box: Box, order: Order) -> float:
        if order is Order.CPU:
            return -self.rates(box.id).cpu
        if order is Order.MEMORY:
            return -self.rates(box.id).memory
        return -box.created if order is Order.NEWEST else 0.0


@lru_cache(maxsize=10_000)
def natural(name: str) -> list[int | str]:
    """Names with numbers as a person sorts them: web2 before web10."""
    return [int(part) if part.isdecimal() else part for part in _NUMBERS.split(name)]


def haystack(box: Box) -> str:
    """What the filter searches."""
    return f"{box.name} {box.image} {box.status} {box.id[:12]} {' '.join(box.args)}".lower()


def matches(text: str, needle: str) -> bool:
    """Whether every word of the filter is in the text, and no `!word` is."""
    for word in needle.lower().split():
        if word.startswith("!") and len(word) > 1:
            if word[1:] in text:
                return False
        elif word not in text:
            return False
    return True


def _rate(before: Stats, now: Stats, was: int, is_now: int) -> float:
    seconds = now.time - before.time
    return max(0.0, (is_now - was) / seconds) if seconds > 0 else 0.0


def series(samples: Sequence[Stats] | deque[Stats]) -> dict[str, list[float]]:
    """The curves of a box: cpu, memory, pids, io, net; one value for each sample."""
    items = list(samples)
    pairs = list(zip(items[:1] + items, items, strict=False))
    return {
        "cpu": [sample.cpu_percent for sample in items],
        "memory": [float(sample.memory) for sample in items],
        "pids": [float(sample.pids) for sample in items],
        "io": [_rate(a, b, a.io_read + a.io_write, b.io_read + b.io_write) for a, b in pairs],
        "net": [_rate(a, b, a.net_rx + a.net_tx, b.net_rx + b.net_tx) for a, b in pairs],
    }


def _after(box: Box, event: Event, what: str) -> Box:
    """The box with what the event itself says; the full record comes a moment later."""
    change: dict[str, Any] = {}
    status = event.data.get("status")
    if isinstance(status, str) and status in set(Status):
        change["status"] = Status(status)
    elif what == "exited":
        change["status"] = Status.EXITED
    if what == "renamed" and event.name:
        change["name"] = event.name
    if what == "started":
        change["started"] = event.time
    if what == "exited":
        change["finished"] = event.time
        code = event.data.get("exit_status", event.data.get("exit", status))
        if isinstance(code, int):
            oom = event.data.get("oom") is True
            change["exit"] = ExitInfo(status=code, oom=oom, finished=event.time)
    return replace(box, **change) if change else box
