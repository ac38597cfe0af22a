"""Who comes to a box that is there: clients of its sessions, further commands, those who wait.

Constraint: none of this changes what the box is, so none of it takes the box's lock; the box may
end at any moment meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from boxy_core.errors import Conflict, NotFound
from boxy_core.models import ExitInfo, Status
from boxyd import top
from boxyd.boxes_rules import require_alive, require_running
from boxyd.boxes_shelf import Record, Shelf
from boxyd.ports import Launches, Stream


class Visits:
    """Lets clients in."""

    def __init__(self, shelf: Shelf, launches: Launches) -> None:
        self._shelf = shelf
        self._launches = launches

    async def attach(self, record: Record, stream: Stream, session: str) -> None:
        """Hand a client's connection to a session of the box.  Raises Conflict, NotFound."""
        link = require_alive(record, "attach")
        await self._launches.attach(link, stream, session)

    async def sessions(self, record: Record) -> list[dict[str, Any]]:
        """What runs in the box with streams of its own.  Raises Conflict if it does not run.

        The command is what the session's process is now: a shell that began another program by
        exec(3) is that program.
        """
        found = await require_alive(record, "look into").sessions()
        return [{**one, "command": top.command_of(int(one["pid"]))} for one in found]

    async def exec(self, record: Record, spec: Mapping[str, object], stream: Stream | None) -> str:
        """Run a further command in the box; the session's id.

        Raises Conflict unless the box runs, CommandNotFound, CommandNotExecutable, StartFailed.
        """
        link = require_running(record, "exec")
        with record.execs.starting():
            session = await self._launches.exec(link, spec, stream)
            self._shelf.tell(record, "box.exec_started", session=session, command=spec["command"])
        return session


async def wait_exit(record: Record) -> ExitInfo:
    """The end of the box: the last one if it has ended, else the next.

    Raises Conflict if the box is lost or removed before it ends.
    """
    box = record.box
    if box.status is Status.EXITED and box.exit is not None:
        return box.exit
    if box.status is not Status.LOST:
        waiting: list[asyncio.Future[object]] = [record.exited, record.removed]  # type: ignore[list-item]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    info = record.exited.result() if record.exited.done() else None
    if info is not None:
        return info
    if record.removed.done():
        raise NotFound(
            f"box {box.name} was removed before it ran",
            hint="somebody removed it meanwhile; run it again",
        )
    raise Conflict(
        f"box {box.name} is lost, nobody knows how it ended",
        hint=f"start it again with: boxy start {box.name}, or remove it: boxy rm {box.name}",
    )


async def wait_removed(record: Record) -> ExitInfo | None:
    """Return when the box is removed: how it ended, if it ever ran."""
    await asyncio.shield(record.removed)
    return record.box.exit


def pids(record: Record) -> list[int]:
    """The box's processes as the host numbers them.  Raises Conflict if it does not run."""
    link = require_alive(record, "look into")
    return record.group.pids() if record.group is not None else [link.pid]
