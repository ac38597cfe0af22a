"""Volumes: folders of Boxy's that outlive boxes.

    ROOT/volumes/NAME/volume.json    what is known of it
    ROOT/volumes/NAME/data/          its files, with the numbers of owners that boxes give them

Constraint: the daemon is the only writer of the records; boxes write in data/ alone, which is
therefore never walked by paths.  A volume appears and vanishes by one rename.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound
from boxy_core.models import Box, Volume
from boxy_core.paths import Paths
from boxyd.events import Events
from boxyd.mounts_check import VOLUME, VOLUME_RULE
from boxyd.state import write_atomic
from boxyd.trees import remove_tree

FILE = "volume.json"
DATA = "data"
_NEW, _REMOVING = ".new-", ".removing-"
SHOWN_USERS = 5

log = logging.getLogger("boxyd.volumes")


Found = list[Volume]  # in the class below, `list` is a method
Names = list[str]


class Volumes:
    """The volumes of one daemon; `boxes` gives all boxes, whose mounts say who uses what."""

    def __init__(self, paths: Paths, events: Events, boxes: Callable[[], Iterable[Box]]) -> None:
        self._paths = paths
        self._events = events
        self._boxes = boxes
        self._known: dict[str, Volume] = {}

    def load(self) -> Names:
        """Take up what is on the disk, clear away what a crash left; sentences of what is
        damaged, which is left alone."""
        os.makedirs(self._paths.volumes, mode=0o700, exist_ok=True)
        damaged = []
        for name in sorted(os.listdir(self._paths.volumes)):
            path = self._paths.volume(name)
            if name.startswith((_NEW, _REMOVING)):
                with contextlib.suppress(OSError):
                    remove_tree(path)
                continue
            try:
                with open(f"{path}/{FILE}", "rb") as file:
                    volume = msgspec.json.decode(file.read(), type=Volume)
                if volume.name != name or not os.path.isdir(f"{path}/{DATA}"):
                    raise ValueError("it is not what its name says")
            except (OSError, ValueError) as error:
                damaged.append(f"the volume folder {path} is damaged: {error}")
                continue
            self._known[name] = volume
        return damaged

    # ------------------------------------------------------------------ asking

    def list(self, labels: Iterable[str] = ()) -> Found:
        """All volumes with these labels ("NAME" or "NAME=VALUE"), and who has them."""
        users = self._users()
        return [
            msgspec.structs.replace(volume, boxes=users.get(name, []))
            for name, volume in sorted(self._known.items())
            if all(_has_label(volume, label) for label in labels)
        ]

    def find(self, name: str) -> Volume:
        """The volume of that name.  Raises NotFound."""
        volume = self._known.get(name)
        if volume is None:
            shown = name if name.isprintable() and len(name) < 130 else repr(name[:80])
            raise NotFound(f"there is no volume {shown}", hint="see which: boxy volume ls")
        return msgspec.structs.replace(volume, boxes=self._users().get(name, []))

    def __contains__(self, name: object) -> bool:
        return name in self._known

    async def sized(self, volumes: Iterable[Volume]) -> Found:
        """The volumes with their sizes measured."""
        return await asyncio.to_thread(self._sized, volumes)

    def _sized(self, volumes: Iterable[Volume]) -> Found:
        return [
            msgspec.structs.replace(volume, size=usage(f"{self._paths.volume(volume.name)}/{DATA}"))
            for volume in volumes
        ]

    def _users(self) -> dict[str, Names]:
        users: dict[str, Names] = {}
        for box in self._boxes():
            for mount in box.spec.mounts:
                if mount.type == "volume" and box.name not in users.setdefault(mount.source, []):
                    users[mount.source].append(box.name)
        return users

    # ------------------------------------------------------------------ changing

    def create(
        self, name: str = "", labels: Mapping[str, str] | None = None, *, durable: bool = False
    ) -> Volume:
        """A new volume; without a name an anonymous one.  Raises InvalidRequest, Conflict."""
        anonymous = not name
        name = name or secrets.token_hex(32)
        if not VOLUME.fullmatch(name):
            raise InvalidRequest(f"a volume cannot be called {name[:80]!r}", hint=VOLUME_RULE)
        if name in self._known:
            raise Conflict(f"there is a volume {name} already", hint=f"boxy volume inspect {name}")
        volume = Volume(
            name=name, created=time.time(), labels=dict(labels or {}), anonymous=anonymous
        )
        temporary = f"{self._paths.volumes}/{_NEW}{name}"
        remove_tree(temporary)
        os.mkdir(temporary, 0o700)
        os.mkdir(f"{temporary}/{DATA}", 0o755)
        text = msgspec.json.format(msgspec.json.encode(volume), indent=1) + b"\n"
        write_atomic(f"{temporary}/{FILE}", text, durable=durable)
        os.rename(temporary, self._paths.volume(name))
        self._known[name] = volume
        self._events.emit("volume.created", "", name, anonymous=anonymous)
        return volume

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume with all its files.

        Raises Conflict naming the boxes that have it, and NotFound unless `force`.
        """
        if force and name not in self._known:
            return
        volume = self.find(name)
        if volume.boxes:
            shown = ", ".join(volume.boxes[:SHOWN_USERS])
            more = len(volume.boxes) - SHOWN_USERS
            shown += f" and {more} more" if more > 0 else ""
            raise Conflict(
                f"the volume {name} is in use by {shown}",
                hint=f"remove what has it first: boxy rm {volume.boxes[0]}",
                boxes=volume.boxes,
            )
        await self._remove(name)

    async def _remove(self, name: str) -> int:
        trash = f"{self._paths.volumes}/{_REMOVING}{secrets.token_hex(8)}"
        os.rename(self._paths.volume(name), trash)
        del self._known[name]
        self._events.emit("volume.removed", "", name)
        return await asyncio.to_thread(_emptied, trash)

    def undo(self, name: str) -> None:
        """Remove a volume that was just made and never used."""
        remove_tree(self._paths.volume(name))
        del self._known[name]
        self._events.emit("volume.removed", "", name)

    async def prune(
        self, *, everything: bool = False, labels: Iterable[str] = ()
    ) -> tuple[Names, int]:
        """Remove the anonymous volumes (or all) that no box has; their names, and bytes freed."""
        unused = [
            volume.name
            for volume in self.list(labels)
            if not volume.boxes and (everything or volume.anonymous)
        ]
        removed, freed = [], 0
        for name in unused:
            if name in self._known and not self.find(name).boxes:
                freed += await self._remove(name)
                removed.append(name)
        return removed, freed

    async def forget(self, box: Box) -> None:
        """The box is gone: remove the anonymous volumes that nobody else has."""
        for mount in box.spec.mounts:
            volume = self._known.get(mount.source) if mount.type == "volume" else None
            if volume is not None and volume.anonymous:
                try:
                    await self.remove(volume.name)
                except (BoxyError, OSError) as error:
                    log.info("the volume %s stays: %s", volume.name, error)


def usage(folder: str) -> int:
    """Bytes that the files below `folder` take on the disk; those linked twice count once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    with contextlib.suppress(OSError):
        for _, _, files, fd in os.fwalk(folder, follow_symlinks=False):
            for name in files:
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        key = (found.st_dev, found.st_ino)
                        if found.st_nlink == 1 or key not in seen:
                            total += found.st_blocks * 512
                        seen.add(key)
    return total


def _emptied(trash: str) -> int:
    size = usage(trash)
    try:
        remove_tree(trash)
    except OSError as error:
        log.warning("%s stays until the daemon's next start: %s", trash, error)
        return 0
    return size


def _has_label(volume: Volume, wanted: str) -> bool:
    name, has_value, value = wanted.partition("=")
    return name in volume.labels and (not has_value or volume.labels[name] == value)
