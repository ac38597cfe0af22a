"""A box's files as the daemon gives them: looked at, copied in and out, compared, kept.

    ROOT/boxes/ID/snapshots/NAME/upper/ and snapshot.json    what its layer was like
    ROOT/boxes/ID/.copy-*                                    a copy under way
    ROOT/boxes/ID/frozen                                     the box stands still for a copy

Constraint: of a box that does not run the lock is held meanwhile, since a start in between would
mount its layer twice.  A running box stands still for the moment in which a copy catches up,
and goes on whatever happens: also a daemon that was killed thaws it at its next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound
from boxy_core.models import Box, Model, Status
from boxy_core.paths import Paths
from boxyd.boxes_life import Lives
from boxyd.boxes_rules import image_of, require_alive
from boxyd.boxes_shelf import Record, Shelf
from boxyd.boxes_sweep import empty
from boxyd.errands import Errands
from boxyd.files import jobs
from boxyd.files.jobs import Job
from boxyd.runtime import quota
from boxyd.state import FROZEN_FILE, REMOVING, write_atomic
from boxyd.trees import remove_tree

SNAPSHOTS = "snapshots"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
_COPY = ".copy-"
STILL_WITHIN = 60.0
"""seconds that a box may stand still for a copy; then it goes on and the copy fails"""

log = logging.getLogger("boxyd.files")


class Snapshot(Model, frozen=True, kw_only=True):
    """A box's own layer as it was."""

    name: str
    created: float
    """seconds since the epoch"""
    size: int = 0
    """bytes of its files, shared blocks counted, too"""
    entries: int = 0
    shared: bool = False
    """its blocks are shared with the box's layer as long as neither changes (reflinks)"""
    frozen: float = 0.0
    """seconds that the box stood still for it"""


class Files:
    """Jobs on the files of boxes."""

    def __init__(self, paths: Paths, shelf: Shelf, lives: Lives, *, counts: bool = False) -> None:
        self._paths = paths
        self._shelf = shelf
        self._lives = lives
        self._counts = counts
        """the file system counts what a box's layer takes (boxyd.runtime.quota)"""
        self._errands = Errands(log)

    # ------------------------------------------------------------------ inside the tree

    @contextlib.asynccontextmanager
    async def inside(self, record: Record, **job: Any) -> AsyncIterator[Job]:
        """A job in the box's tree, whether it runs or not."""
        box = record.box
        if record.alive:
            pidfd = self._pidfd(record)
            try:
                whole = {**job, "box": pidfd, "base": box.id_base}
                async with jobs.started(whole, [pidfd]) as running:
                    yield running
            finally:
                os.close(pidfd)
            return
        async with self._at_rest(record):
            steps = self._lives.plan(record)["steps"]
            whole = {**job, "box": -1, "base": box.id_base, "steps": steps}
            async with jobs.started(whole) as running:
                yield running

    async def ask(self, record: Record, **job: Any) -> dict[str, Any]:
        """The one answer of a job in the box's tree."""
        async with self.inside(record, **job) as running:
            told = await running.line()
            await running.finish()
            return told

    def _pidfd(self, record: Record) -> int:
        link = require_alive(record, "look into")
        try:
            pidfd = os.pidfd_open(link.pid)
        except OSError:
            raise Conflict(f"box {record.box.name} is ending", hint="try again") from None
        if not record.alive:  # it ended meanwhile, and the pid may be another's
            os.close(pidfd)
            raise Conflict(f"box {record.box.name} has just ended", hint="try again")
        return pidfd

    @contextlib.asynccontextmanager
    async def _at_rest(self, record: Record) -> AsyncIterator[None]:
        """While this is held the box does not start."""
        async with record.lock:
            if record.removed.done():
                raise NotFound(
                    f"box {record.box.name} is removed",
                    hint="boxy ps -a lists those that are there",
                )
            if record.alive:
                raise Conflict(f"box {record.box.name} has just been started", hint="try again")
            yield

    # ------------------------------------------------------------------ the layer itself

    async def changes(self, record: Record) -> dict[str, Any]:
        """What the box changed against its image."""
        upper = self._upper(record.box)
        if not _is_folder(upper):
            return {"changes": [], "cut": False}
        lowers = list(record.box.layers)
        points = _mount_points(record.box)
        job = {"job": "changes", "upper": upper, "lowers": lowers, "points": points}
        return await jobs.answer(job)

    @contextlib.asynccontextmanager
    async def copied(
        self, record: Record, into: str = ""
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """A consistent copy of the box's layer, removed at the end unless it was moved away;
        and what is told of it, `frozen` (seconds) too.  `into`: the box that it is for."""
        target = f"{self._paths.box(record.box.id)}/{_COPY}{secrets.token_hex(6)}"
        try:
            async with record.lock:
                if record.removed.done():
                    raise NotFound(
                        f"box {record.box.name} is removed",
                        hint="boxy ps -a lists those that are there",
                    )
                told = await self._copy(record, target, self._project(into))
            yield target, told
        finally:
            self._throw_away(target)

    def _throw_away(self, folder: str) -> None:
        """Remove a folder, while nobody waits; what is left of it goes at the daemon's start."""
        trash = f"{self._paths.boxes}/{REMOVING}{os.path.basename(folder)}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, trash)
            self._errands.send(empty(trash))

    def _project(self, box_id: str) -> int:
        """The number that a layer of that box counts under; 0: none."""
        return quota.project_of(box_id) if self._counts and box_id else 0

    async def _copy(self, record: Record, target: str, project: int) -> dict[str, Any]:
        upper = self._upper(record.box)
        if not _is_folder(upper):  # it never ran: it has what its image has
            self._empty_layer(record, target, project)
            return {"entries": 0, "size": 0, "shared": True, "frozen": 0.0}
        moves = record.box.status is Status.RUNNING and record.group is not None
        job = {"job": "copy", "upper": upper, "target": target, "running": moves,
               "project": project}  # fmt: skip
        async with jobs.started(job) as running:
            told = await running.line()
            frozen = 0.0
            if "ready" in told:
                began = time.monotonic()
                async with self._standing_still(record), asyncio.timeout(STILL_WITHIN):
                    await running.feed(b"go\n")
                    told = await running.line()
                frozen = round(time.monotonic() - began, 6)
            await running.finish()
            return {**told["done"], "frozen": frozen}

    def _empty_layer(self, record: Record, target: str, project: int) -> None:
        like = os.stat(record.box.layers[-1])
        os.mkdir(target, 0o700)
        os.chown(target, like.st_uid, like.st_gid)
        os.chmod(target, like.st_mode & 0o7777)
        if project:
            quota.mark(target, project)

    @contextlib.asynccontextmanager
    async def _standing_still(self, record: Record) -> AsyncIterator[None]:
        """The box is frozen; it goes on at the end, whatever happens."""
        group = record.group
        assert group is not None
        mark = f"{self._paths.box(record.box.id)}/{FROZEN_FILE}"
        write_atomic(mark, b"a copy of its layer is being made\n")
        try:
            await asyncio.to_thread(group.freeze)
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(_thaw, group, record.box.name))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(mark)

    @contextlib.asynccontextmanager
    async def whole(self, record: Record) -> AsyncIterator[Job]:
        """A job that sends all of the box's tree, without what is mounted in it, as it is at
        one moment."""
        async with self.copied(record) as (copy, _):
            layers = [*image_of(record).layers, copy]
            scratch = f"{copy}-scratch"
            job = {"job": "whole", "layers": layers, "scratch": scratch}
            try:
                async with jobs.started(job) as running:
                    yield running
            finally:
                await asyncio.to_thread(remove_tree, scratch)

    @contextlib.asynccontextmanager
    async def packed(self, record: Record, target: str) -> AsyncIterator[dict[str, Any]]:
        """The box's layer as an OCI layer in the new file `target`; its digests, `frozen`, and
        where its copy is, the folder `tree`, which may be moved away."""
        async with self.copied(record) as (copy, told):
            packed = await jobs.answer({"job": "layer", "tree": copy, "target": target})
            yield {**packed["done"], "frozen": told["frozen"], "tree": copy}

    # ------------------------------------------------------------------ snapshots

    def snapshots(self, record: Record) -> list[Snapshot]:
        """Those of one box, oldest first."""
        folder = self._snapshots(record.box)
        names = os.listdir(folder) if os.path.isdir(folder) else []
        read = (_snapshot_at(f"{folder}/{name}/snapshot.json") for name in names)
        found = [snapshot for snapshot in read if snapshot is not None]
        return sorted(found, key=lambda snapshot: snapshot.created)

    def _moment(self, box: Box) -> str:
        """A free name that tells when: the third one of a second ends in -3."""
        base = name = time.strftime("%Y%m%d-%H%M%S")
        number = 1
        while os.path.lexists(f"{self._snapshots(box)}/{name}"):
            number += 1
            name = f"{base}-{number}"
        return name

    async def take(self, record: Record, name: str = "") -> Snapshot:
        """Keep the box's layer as it is now.  Raises InvalidRequest, Conflict."""
        name = name or self._moment(record.box)
        if not _NAME.fullmatch(name):
            raise InvalidRequest(
                f"a snapshot cannot be called {name[:80]!r}",
                hint="letters, digits, and _ . - inside, at most 64",
            )
        place = f"{self._snapshots(record.box)}/{name}"
        async with self.copied(record) as (copy, told):
            snapshot = Snapshot(
                name=name, created=time.time(), size=told["size"], entries=told["entries"],
                shared=told["shared"], frozen=told["frozen"],
            )  # fmt: skip
            temporary = f"{copy}-new"
            os.mkdir(temporary, 0o700)
            try:
                os.rename(copy, f"{temporary}/upper")
                text = msgspec.json.format(msgspec.json.encode(snapshot), indent=1) + b"\n"
                write_atomic(f"{temporary}/snapshot.json", text)
                os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
                self._publish(temporary, place, record, name)
            finally:
                await asyncio.to_thread(remove_tree, temporary)
        self._shelf.tell(record, "box.snapshot_taken", snapshot=name, frozen=told["frozen"])
        return snapshot

    def _publish(self, temporary: str, place: str, record: Record, name: str) -> None:
        if os.path.lexists(place):
            raise Conflict(
                f"box {record.box.name} has a snapshot {name} already",
                hint=f"boxy snapshot rm {record.box.name} {name}, or take another name",
            )
        os.rename(temporary, place)

    async def restore(self, record: Record, name: str, *, restart: bool = False) -> Box:
        """Make the box's layer what it was; `restart`: stop it for that, and start it again.

        Raises NotFound, and Conflict if it runs and is not to be restarted.
        """
        source = self._snapshot(record, name)
        again = record.alive and restart
        if record.alive and not restart:
            raise Conflict(
                f"box {record.box.name} is {record.box.status}",
                hint=f"stop it first, or have it stopped and started: "
                f"boxy snapshot restore --restart {record.box.name} {name}",
            )
        if again:
            await self._lives.stop(record)
        async with self._at_rest(record):
            await self._lives.swept(record)
            await self._exchange(record, source)
        self._shelf.tell(record, "box.snapshot_restored", snapshot=name)
        return await self._lives.start(record) if again else record.box

    async def _exchange(self, record: Record, source: str) -> None:
        """The snapshot stays; a copy of it takes the layer's place by one rename."""
        folder = self._paths.box(record.box.id)
        copy, old = (f"{folder}/{_COPY}{secrets.token_hex(6)}" for _ in range(2))
        job = {"job": "copy", "upper": f"{source}/upper", "target": copy, "running": False,
               "project": self._project(record.box.id)}  # fmt: skip
        try:
            await jobs.answer(job)
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{folder}/upper", old)
            os.rename(copy, f"{folder}/upper")
            await asyncio.to_thread(remove_tree, f"{folder}/work")
        finally:
            await asyncio.to_thread(remove_tree, copy)
            await asyncio.to_thread(remove_tree, old)

    async def forget(self, record: Record, name: str) -> None:
        """Remove a snapshot.  Raises NotFound."""
        source = self._snapshot(record, name)
        trash = f"{self._paths.box(record.box.id)}/{_COPY}{secrets.token_hex(6)}"
        os.rename(source, trash)
        await asyncio.to_thread(remove_tree, trash)
        self._shelf.tell(record, "box.snapshot_removed", snapshot=name)

    def _snapshot(self, record: Record, name: str) -> str:
        place = f"{self._snapshots(record.box)}/{name}"
        if not _NAME.fullmatch(name) or not os.path.isdir(place):
            raise NotFound(
                f"box {record.box.name} has no snapshot {name[:80]!r}",
                hint=f"see which it has: boxy snapshot ls {record.box.name}",
            )
        return place

    # ------------------------------------------------------------------ places

    def _upper(self, box: Box) -> str:
        return f"{self._paths.box(box.id)}/upper"

    def _snapshots(self, box: Box) -> str:
        return f"{self._paths.box(box.id)}/{SNAPSHOTS}"

    def clean(self) -> None:
        """Remove the copies that a killed daemon was making, and let boxes go on."""
        for record in self._shelf:
            folder = self._paths.box(record.box.id)
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    if name.startswith(_COPY):
                        remove_tree(f"{folder}/{name}")


def _snapshot_at(path: str) -> Snapshot | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Snapshot)
    except (OSError, ValueError):
        return None


def _mount_points(box: Box) -> list[str]:
    return [os.path.normpath(mount.target) for mount in box.spec.mounts]


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


def _thaw(group: Any, name: str) -> None:
    try:
        group.thaw()
    except (BoxyError, OSError) as error:
        log.warning("box %s could not be thawed (it may have ended): %s", name, error)
