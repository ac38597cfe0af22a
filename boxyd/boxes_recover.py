"""Taking up the boxes that an earlier daemon left, however it ended.

Constraint: nothing in a file is believed that can be asked of the living.  A shim that answers
on its socket is the truth about its box; else exit.json is; else the box is lost.  What a
crash left half done is finished (a removal) or undone (a start), and what belongs to no box
is taken away, unless a shim still lives there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

import msgspec

from boxy_core.errors import BoxyError, NotFound
from boxy_core.models import ALIVE, Box, Status
from boxy_core.paths import SHORT_ID, Paths
from boxyd.boxes_life import Lives
from boxyd.boxes_shelf import Record, Shelf
from boxyd.boxes_sweep import empty
from boxyd.cgroup.interface import Driver
from boxyd.isolation import joined
from boxyd.journal import about
from boxyd.ports import Launches, Link
from boxyd.state import FROZEN_FILE, State, read_exit
from boxyd.trees import remove_tree

HALF_STARTED_WITHIN = 1.0
"""seconds that a shim, forked just before the daemon was killed, gets to show itself"""

log = logging.getLogger("boxyd.recover")


class Recovery:
    """Fills the shelf at a daemon's start."""

    def __init__(
        self,
        paths: Paths,
        state: State,
        shelf: Shelf,
        lives: Lives,
        launches: Launches,
        cgroups: Driver,
    ) -> None:
        self._paths = paths
        self._state = state
        self._shelf = shelf
        self._lives = lives
        self._launches = launches
        self._cgroups = cgroups

    async def run(self) -> list[str]:
        """Take up every box; sentences about folders that are damaged."""
        boxes, damaged = self._state.load()
        records = [self._shelve(box) for box in sorted(boxes, key=lambda box: box.created)]
        for record in records:
            with about(record.box.id):
                await self._take_up(record)
        if living := sum(record.alive for record in records):
            log.info("%d boxes that an earlier daemon left running go on", living)
        for trash in self._state.trash():
            await empty(trash)
        await self._clear_orphans({os.path.basename(folder) for folder, _ in damaged})
        sentences = [sentence for _, sentence in damaged]
        for sentence in sentences:
            log.error("%s; it is left as it is", sentence)
        return sentences

    def _shelve(self, box: Box) -> Record:
        record = Record(box, self._state.image_of(box))
        self._shelf.add(record)
        if not joined(box.spec) and not self._launches.keep_id_base(box.id_base, box.id):
            text = "the ids of box %s from %d are another daemon's, too"
            log.warning(text, box.name, box.id_base)
        return record

    async def _take_up(self, record: Record) -> None:
        box = record.box
        if box.status is Status.REMOVING:
            self._forced(record, Status.EXITED)
            self._lives.remove_soon(record)
        elif box.status in ALIVE or box.status is Status.STARTING or self._has_socket(box.id):
            link = await self._link(record)
            if link is not None:
                self._goes_on(record, link)
            else:
                self._is_over(record)
        if record.box.spec.auto_remove and record.box.status in (Status.EXITED, Status.LOST):
            self._lives.remove_soon(record)

    async def _link(self, record: Record) -> Link | None:
        """The link to the box's shim, None if none lives."""
        box_id = record.box.id
        loop = asyncio.get_running_loop()
        deadline = loop.time() + HALF_STARTED_WITHIN
        while True:
            try:
                return await self._launches.reconnect(box_id)
            except (NotFound, OSError) as error:
                hopeful = self._may_show_itself(record)
                if not hopeful or read_exit(self._paths, box_id) or loop.time() > deadline:
                    log.debug("no shim lives: %s", error)
                    return None
            await asyncio.sleep(0.05)

    def _has_socket(self, box_id: str) -> bool:
        """Whether a shim may live although box.json, perhaps on a full disk, says otherwise."""
        return os.path.exists(self._paths.shim_socket(box_id))

    def _may_show_itself(self, record: Record) -> bool:
        """Whether a start was under way, so that a shim may be there and not yet listen."""
        folder = self._paths.box_run(record.box.id)
        return record.box.status is Status.STARTING and os.path.isdir(folder)

    def _goes_on(self, record: Record, link: Link) -> None:
        box_id = record.box.id
        with contextlib.suppress(BoxyError, OSError):
            record.group = self._cgroups.open(
                self._paths.box_cgroup(box_id), record.box.spec.limits
            )
        if record.box.status not in ALIVE:
            self._forced(record, Status.STARTING)
            self._lives.started_unseen(record, link)
            return
        self._let_go_on(record)
        self._forced(record, self._status_of(record), pid=link.pid, shim_pid=link.shim_pid)
        self._lives.adopt(record, link)
        log.debug("it goes on, %s", record.box.status)
        if record.box.status is Status.STOPPING:
            self._lives.finish_stopping(record)

    def _let_go_on(self, record: Record) -> None:
        """A daemon was killed while the box stood still for a copy of its files."""
        mark = f"{self._paths.box(record.box.id)}/{FROZEN_FILE}"
        if record.group is not None and os.path.exists(mark):
            log.info("box %s stood still for a copy; it goes on", record.box.name)
            with contextlib.suppress(BoxyError, OSError):
                record.group.thaw()
            os.unlink(mark)

    def _status_of(self, record: Record) -> Status:
        """Paused or not, as the kernel says; the file may be a step behind."""
        status = record.box.status
        if status is Status.STOPPING or record.group is None:
            return status
        return Status.PAUSED if record.group.frozen() else Status.RUNNING

    def _is_over(self, record: Record) -> None:
        """No shim lives: it told how the box ended, or the start never came so far, or lost."""
        box = record.box
        info = read_exit(self._paths, box.id)
        self._clear(box.id)
        if box.status not in ALIVE and box.status is not Status.STARTING:
            return
        if info is not None:
            self._lives.note_exit(record, info)
            log.info("box %s ended with status %d meanwhile", box.name, info.status)
        elif box.status is Status.STARTING:
            why = "the daemon ended while it was being started"
            self._shelf.change(
                record, "box.start_failed", status=Status.CREATED, error=why,
                data={"error": why, "code": "internal"},
            )  # fmt: skip
        else:
            why = "its shim is gone and left no word of how it ended"
            self._shelf.change(record, "box.lost", status=Status.LOST, error=why, pid=0, shim_pid=0)
            log.warning("box %s is lost: %s", box.name, why)

    def _forced(self, record: Record, status: Status, **fields: object) -> None:
        """Put the box where the kernel says it is; no move of ours, so no event."""
        record.box = msgspec.structs.replace(record.box, status=status, **fields)
        self._state.save(record.box)

    def _clear(self, name: str) -> None:
        """Remove cgroup and run folder of a box, or of none, that no shim lives in."""
        try:
            with contextlib.suppress(NotFound):
                self._cgroups.open(self._paths.box_cgroup(name)).remove()
            remove_tree(self._paths.box_run(name))
        except (BoxyError, OSError) as error:
            log.warning("something of %s stays on the host: %s", name[:SHORT_ID], error)

    async def _clear_orphans(self, damaged: set[str]) -> None:
        """Run folders without a box: no shim, no reason to be."""
        for name in os.listdir(self._paths.run + "/boxes"):
            if self._shelf.has_prefix(name) or name in damaged:
                continue
            try:
                link = await self._launches.reconnect(name)
            except (BoxyError, OSError):
                log.info("clearing away what is left of box %s", name)
                self._clear(name)
            else:
                link.close()
                log.warning("a shim lives for box %s, whose folder is gone; left alone", name)
