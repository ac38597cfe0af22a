"""Keeps what boxes read of their networks true, while others come, go and change their names, and
when a box itself is connected and disconnected.

Constraint: a box's file follows from who is on its networks at the moment of writing, and one
write is over before the next begins: two networks that change at once never meet in the file of
a box that is on both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial

from boxy_core.paths import Paths
from boxyd.errands import Errands
from boxyd.network import files
from boxyd.network.live import Live
from boxyd.ports import Setting

AFTER = 0.1
"""seconds in which changes are collected before files are written"""


class HostsFiles:
    """The files of one daemon's boxes.  `networks()` gives those that there are."""

    def __init__(
        self, paths: Paths, networks: Callable[[], Iterable[Live]], errands: Errands
    ) -> None:
        self._paths = paths
        self._networks = networks
        self._errands = errands
        self._changed: set[Live] = set()
        self._left: set[str] = set()
        """boxes that are on fewer networks than their files say"""
        self._soon: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()

    def changed(self, live: Live, left: str = "") -> None:
        """Bring the files of all on the network up to date, soon.

        `left` is the id of a box that lives on without this network: no longer one of those on
        it, and still with their names in its file.
        """
        self._changed.add(live)
        if left:
            self._left.add(left)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(AFTER, self.flush)

    def others(self, box_id: str) -> list[tuple[str, tuple[str, ...]]]:
        """Whom a box can reach by name, on all of its networks."""
        return [
            line
            for live in self._networks()
            if box_id in live.holders
            for line in live.lines(without=box_id)
        ]

    def flush(self) -> None:
        """Have what has been collected written now."""
        if self._soon is None:
            return
        self._soon.cancel()
        self._soon = None
        boxes = self._left.union(*(live.members for live in self._changed))
        self._changed.clear()
        self._left.clear()
        if boxes:
            self._errands.send(self._write(boxes))

    async def _write(self, boxes: set[str]) -> None:
        async with self._writing:
            texts = {
                f"{self._paths.box(box_id)}/etc/hosts": files.block(self.others(box_id))
                for box_id in boxes
            }
            await asyncio.to_thread(_rewrite_all, texts)

    async def exchange(self, box_id: str, before: Setting, after: Setting) -> None:
        """A living box is connected to other networks now: its own lines and its resolvers are
        those of `after`.  A resolv.conf that is not as it was made is the box's own and stays."""
        async with self._writing:  # two small files: quicker than handing them to a thread
            others = files.block(self.others(box_id))
            _exchange(f"{self._paths.box(box_id)}/etc", before, after, others)


def _rewrite_all(texts: dict[str, str]) -> None:
    for path, block in texts.items():
        with contextlib.suppress(OSError):  # the box is gone, or mounts its own
            files.rewrite(path, partial(files.merged, others=block))


def _exchange(folder: str, before: Setting, after: Setting, others: str) -> None:
    def hosts(text: str) -> str:
        return files.merged(files.exchanged(text, before.hosts, after.hosts), others)

    with contextlib.suppress(OSError):
        files.rewrite(folder + "/hosts", hosts)
    with contextlib.suppress(OSError):
        files.rewrite(
            folder + "/resolv.conf", lambda text: after.resolv if text == before.resolv else text
        )
