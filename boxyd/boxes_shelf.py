"""All boxes in memory, and the one place where a box is altered.

Constraint: `change` is the sole writer of a box's state.  It refuses a move that is not in
TRANSITIONS, replaces box.json and tells the event, in this order and without a break, so that
memory, disk and readers never tell different stories.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from boxy_core.errors import Conflict, Internal, NotFound
from boxy_core.models import ALIVE, TRANSITIONS, Box, ExitInfo, Image, Status
from boxy_core.paths import SHORT_ID
from boxyd.cgroup.interface import Cgroup
from boxyd.events import Events
from boxyd.names import new_name
from boxyd.ports import Link, Starting
from boxyd.state import State

REMEMBERED = 1024
"""boxes that were removed and may still be asked for by a late `wait`"""
_HEX = frozenset("0123456789abcdef")

log = logging.getLogger("boxyd.boxes")


class Execs:
    """Keeps the order of what is told of execs: each start before its end.

    A short command has ended before the daemon knows that it has started, since the shim tells
    of ends on its own; what comes while a start is being asked for waits for the answer.
    """

    __slots__ = ("_asked", "_held")

    def __init__(self) -> None:
        self._asked = 0
        self._held: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """While an exec is asked for; its start is told within."""
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            if not self._asked:
                held, self._held = self._held, []
                for tell in held:
                    tell()

    def ended(self, tell: Callable[[], None]) -> None:
        """Tell of an end, now or as soon as every start has been told."""
        if self._asked:
            self._held.append(tell)
        else:
            tell()


class Record:
    """A box with what the daemon holds of it while it lives."""

    __slots__ = ("box", "execs", "exited", "group", "image", "link", "lock", "network", "oom_told",
                 "removed", "sweeping", "task", "unwritten")  # fmt: skip

    def __init__(self, box: Box, image: Image | None) -> None:
        self.box = box
        self.image = image
        self.execs = Execs()
        self.lock = asyncio.Lock()
        """held by whoever takes the box through several steps"""
        self.link: Link | None = None
        self.group: Cgroup | None = None
        self.network: Starting | None = None
        """what its start left of the network, until the box is noted as running"""
        self.task: asyncio.Task[None] | None = None
        """waits for the box's end"""
        self.exited: asyncio.Future[ExitInfo | None] = _future()
        """the next end of the main process; None: lost"""
        self.removed: asyncio.Future[None] = _future()
        self.oom_told = False
        """of this run readers know already that the kernel killed for want of memory"""
        self.unwritten = False
        """box.json does not say yet what the box is"""
        self.sweeping: asyncio.Task[None] | None = None
        """takes away what the last run left, where that takes a while"""

    @property
    def alive(self) -> bool:
        """Whether the box has processes."""
        return self.box.status in ALIVE

    def new_run(self) -> None:
        """The box is being started: its end is ahead again."""
        self.oom_told = False
        if self.exited.done():
            self.exited = _future()


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


class Shelf:
    """The boxes by id and by name."""

    def __init__(self, state: State, events: Events) -> None:
        self._state = state
        self._events = events
        self._by_id: dict[str, Record] = {}
        self._by_prefix: dict[str, Record] = {}
        self._by_name: dict[str, Record] = {}
        self._reserved: set[str] = set()
        self._gone: OrderedDict[str, ExitInfo | None] = OrderedDict()

    def __iter__(self) -> Iterator[Record]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, ref: str) -> Record:
        """The box with this id, name, or unique beginning of an id.

        Raises NotFound, or Conflict naming the candidates.
        """
        record = self._by_id.get(ref) or self._by_name.get(ref) or self._by_prefix.get(ref)
        if record is not None:
            return record
        found = []
        if ref and _HEX.issuperset(ref):
            found = [record for box_id, record in self._by_id.items() if box_id.startswith(ref)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"{r.box.id[:SHORT_ID]} ({r.box.name})" for r in found[:5])
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            raise Conflict(
                f"several boxes begin with {ref}: {names}{more}", hint="give more digits"
            )
        raise NotFound(f"there is no box {_shown(ref)}", hint="see which there are: boxy ps -a")

    def has_prefix(self, box_id: str) -> bool:
        """Whether a box's folder would clash with that of `box_id`."""
        return box_id[:SHORT_ID] in self._by_prefix

    def gone(self, ref: str) -> tuple[bool, ExitInfo | None]:
        """Whether `ref` is the id of a box removed lately, and how it ended."""
        return ref in self._gone, self._gone.get(ref)

    @contextlib.contextmanager
    def reserve(self, wanted: str | None) -> Iterator[str]:
        """Keep a name (None: a friendly one) from everyone else while a box comes to be.

        Raises Conflict naming the box that bears it.
        """
        if wanted is None:
            name = new_name(self._by_name.keys() | self._reserved)
        else:
            name = wanted
            self._check_free(name)
        self._reserved.add(name)
        try:
            yield name
        finally:
            self._reserved.discard(name)

    def add(self, record: Record) -> None:
        """Put a box on the shelf; its name must be reserved, or come from the disk."""
        box = record.box
        self._by_id[box.id] = record
        self._by_prefix[box.id[:SHORT_ID]] = record
        self._by_name.setdefault(box.name, record)

    def renamed(self, record: Record, old: str) -> None:
        """The box, `old` until now, bears another name; it must be reserved."""
        if self._by_name.get(old) is record:
            del self._by_name[old]
        self._by_name[record.box.name] = record

    def drop(self, record: Record) -> None:
        """The box is removed: its id and name lead nowhere."""
        box = record.box
        self._by_id.pop(box.id, None)
        self._by_prefix.pop(box.id[:SHORT_ID], None)
        if self._by_name.get(box.name) is record:
            del self._by_name[box.name]
        self._gone[box.id] = box.exit
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def select(self, *, everything: bool, filters: Iterable[tuple[str, str]] = ()) -> list[Box]:
        """The boxes that live (`everything`: all), newest first, that pass all the filters."""
        by_key: dict[str, list[str]] = {}
        for key, value in filters:
            by_key.setdefault(key, []).append(value)
        chosen = []
        for record in reversed(self._by_id.values()):
            box = record.box
            shown = everything or record.alive or box.status is Status.STARTING
            shown = shown or "status" in by_key
            if shown and all(_passes(box, key, values) for key, values in by_key.items()):
                chosen.append(box)
        return chosen

    def change(
        self,
        record: Record,
        event: str,
        *,
        data: dict[str, object] | None = None,
        strict: bool = False,
        write: bool = True,
        **fields: object,
    ) -> Box:
        """Alter the box, write it down and tell it.

        `strict`: an OSError from the disk forbids the change; else it is logged, since what
        the kernel has done is so whether or not it can be written down.  Without `write` the
        caller calls `write` when there is time for it.
        """
        before = record.box
        after = msgspec.structs.replace(before, **fields)
        if after.status is not before.status and after.status not in TRANSITIONS[before.status]:
            raise Internal(f"box {before.name} cannot go from {before.status} to {after.status}")
        record.box, record.unwritten = after, True
        if write:
            try:
                self.write(record, strict=strict)
            except OSError:
                record.box = before
                raise
        self.tell(record, event, **(data or {}))
        return after

    def write(self, record: Record, *, strict: bool = False) -> None:
        """Write down what is new about the box, if anything is, and if it is a box still.

        With `strict` an OSError of the disk goes through.
        """
        if not record.unwritten or self._by_id.get(record.box.id) is not record:
            return
        try:
            self._state.save(record.box)
        except OSError as error:
            if strict:
                raise
            log.error("box.json cannot be written: %s", error)
        record.unwritten = False

    def tell(self, record: Record, event: str, **data: object) -> None:
        """An event of this box; its data always hold the status."""
        box = record.box
        self._events.emit(event, box.id, box.name, status=str(box.status), **data)
        log.debug("%s %s", event, data or "")

    def note_oom(self, box_id: str, kills: int) -> None:
        """The kernel killed in a box for want of memory; called by the sampler."""
        record = self._by_id.get(box_id)
        if record is not None:
            record.oom_told = True
            self.tell(record, "box.oom", kills=kills)

    def _check_free(self, name: str) -> None:
        holder = self._by_name.get(name)
        if holder is not None:
            raise Conflict(
                f"the name {name} is taken by box {holder.box.id[:SHORT_ID]} ({holder.box.status})",
                hint=f"remove that one with: boxy rm -f {name}, or choose another name",
                holder=holder.box.id,
            )
        if name in self._reserved:
            raise Conflict(
                f"the name {name} is being given to another box", hint="choose another name"
            )


FILTERS = ("id", "image", "label", "name", "status")


def _passes(box: Box, key: str, values: list[str]) -> bool:
    """Whether one of the values fits (for labels: all), as with Docker's --filter."""
    if key == "status":
        return box.status in values
    if key == "name":
        return any(value in box.name for value in values)
    if key == "id":
        return any(value and box.id.startswith(value) for value in values)
    if key == "image":
        return any(value in (box.image, box.image_id) for value in values)
    return all(_has_label(box, value) for value in values)


def _has_label(box: Box, wanted: str) -> bool:
    name, has_value, value = wanted.partition("=")
    labels = box.spec.labels
    return name in labels and (not has_value or labels[name] == value)


def _shown(ref: str) -> str:
    text = ref if ref.isprintable() else repr(ref)
    return text if len(text) <= 80 else text[:77] + "..."
