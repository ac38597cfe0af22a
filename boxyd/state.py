"""Box folders on disk: box.json, exit.json, and what a crash left half done.

Constraint: a reader (we, after `kill -9`, or a person with `cat`) finds either the old or the
new text, never half of one: written to a temporary name, then renamed.

What must survive a power cut (a box's very existence, its name, its limits) is fsynced before
the answer is given.  What can be worked out anew (a running box does not outlive the power)
is renamed at once, which a killed daemon cannot lose, and fsynced by a helper thread a moment
later; so the start of a box waits for no disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from boxy_core.models import Box, ExitInfo, Image
from boxy_core.paths import SHORT_ID, Paths
from boxyd.trees import remove_tree

BOX_FILE = "box.json"
IMAGE_FILE = "image.json"
EXIT_FILE = "exit.json"
TRACE_FILE = "trace.json"
FROZEN_FILE = "frozen"
"""says that the box stands still while its files are copied; who finds it lets the box go on"""
PROFILE_FILE = "seccomp.json"
REMOVING = ".removing-"
"""What begins so is on its way out: a box's folder is renamed first, then emptied."""

MOMENT = 0.1
"""seconds until what may wait is brought to the disk: a thread that does so takes turns with the
loop (the interpreter's lock), and right after a change somebody waits for that"""
AFTER_ANSWER = 0.004
"""seconds after which the answer to a request is on its way, and what nobody waits for is done"""

log = logging.getLogger("boxyd.state")


class DamagedError(Exception):
    """A box folder whose box.json cannot be read; the text says what is wrong with it."""


def write_atomic(path: str, data: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace the file at `path` by `data`, as a whole.

    `durable`: return only when file and name are on the disk (fsync(2) of both).
    Raises OSError; the old file then still stands, and no temporary one is left.
    """
    temporary = path + ".tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    if durable:
        sync(os.path.dirname(path))


def sync(path: str) -> None:
    """fsync(2) a file or folder that may be gone by now."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def read_exit(paths: Paths, box_id: str) -> ExitInfo | None:
    """What the box's shim wrote when the main process ended; None: nothing, or nothing usable."""
    path = f"{paths.box(box_id)}/{EXIT_FILE}"
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=ExitInfo)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s cannot be used: %s", path, error)
        return None


class State:
    """The folders of all boxes below one root; the daemon is their only writer."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._stale: set[str] = set()
        self._pool = ThreadPoolExecutor(1, "boxyd-sync")
        self._syncing: asyncio.Future[None] | None = None
        self._due: asyncio.TimerHandle | None = None

    def make(self, box: Box, image: Image, profile: bytes = b"") -> None:
        """Create the folder of a new box; without box.json, the last file, it is none yet.

        The image's configuration is kept beside it: a box stays what it was made as, whatever
        becomes of the registry folder; so is a seccomp profile of the user's own.
        """
        folder = self._paths.box(box.id)
        os.mkdir(folder, 0o700)
        try:
            if profile:
                write_atomic(f"{folder}/{PROFILE_FILE}", profile)
            write_atomic(f"{folder}/{IMAGE_FILE}", _readable(image))
            self._write(box)
        except BaseException:
            remove_tree(folder)
            raise

    def profile_of(self, box: Box) -> bytes:
        """The seccomp profile that was given with the box; b"" for none."""
        try:
            with open(f"{self._paths.box(box.id)}/{PROFILE_FILE}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def take_layer(self, box: Box, layer: str) -> None:
        """The folder `layer`, on the same file system, becomes the box's own writable layer."""
        os.rename(layer, f"{self._paths.box(box.id)}/upper")

    async def bring_to_disk(self, box: Box, delay: float = 0.0) -> None:
        """Return when the disk has what was written of a box, which begins after `delay` seconds.

        A box that is removed at its end is not worth waiting for: after a power cut it is to
        be removed anyway.
        """
        if not box.spec.auto_remove:
            await asyncio.sleep(delay)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, self._sync_box, box.id)

    def save(self, box: Box) -> None:
        """Replace box.json at once; the disk follows a moment later."""
        self._write(box)
        if not box.spec.auto_remove:
            self._stale.add(box.id)
            self._sync_soon()

    async def save_durably(self, box: Box) -> None:
        """Replace box.json and return when it is on the disk."""
        self._write(box)
        await self.bring_to_disk(box)

    def load(self) -> tuple[list[Box], list[tuple[str, str]]]:
        """All boxes, and (folder, sentence) for each folder that is damaged.

        A folder that a crash left without box.json and without anything of the user's is
        removed; no other is touched.
        """
        boxes: list[Box] = []
        damaged: list[tuple[str, str]] = []
        for name in sorted(os.listdir(self._paths.boxes)):
            if name.startswith("."):
                continue
            folder = f"{self._paths.boxes}/{name}"
            try:
                box = self._load_one(folder, name)
            except DamagedError as error:
                damaged.append((folder, f"the box folder {folder} is damaged: {error}"))
                continue
            if box is not None:
                boxes.append(box)
        return boxes, damaged

    def image_of(self, box: Box) -> Image | None:
        """The image as it was when the box was made; None if that cannot be read."""
        try:
            with open(f"{self._paths.box(box.id)}/{IMAGE_FILE}", "rb") as file:
                return msgspec.json.decode(file.read(), type=Image)
        except (OSError, msgspec.DecodeError) as error:
            log.warning("the image of box %s cannot be read: %s", box.id[:SHORT_ID], error)
            return None

    def discard(self, box_id: str) -> str:
        """Take the box's folder out of the boxes, at once and for good; where it is to be
        emptied.  "": it was gone."""
        trash = f"{self._paths.boxes}/{REMOVING}{box_id[:SHORT_ID]}-{time.monotonic_ns():x}"
        try:
            os.rename(self._paths.box(box_id), trash)
        except FileNotFoundError:
            return ""
        return trash

    def trash(self) -> list[str]:
        """Folders that were on their way out when a daemon ended."""
        names = os.listdir(self._paths.boxes)
        return [f"{self._paths.boxes}/{name}" for name in names if name.startswith(REMOVING)]

    def forget_exit(self, box_id: str) -> None:
        """Remove the exit.json of the run before, so that it is never taken for this one's."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._paths.box(box_id)}/{EXIT_FILE}")

    def write_trace(self, box_id: str, data: bytes) -> None:
        """Keep the timing of the last start; nothing depends on it."""
        with contextlib.suppress(OSError):
            write_atomic(f"{self._paths.box(box_id)}/{TRACE_FILE}", data)

    async def close(self) -> None:
        """Bring to the disk what is not there yet."""
        while self._due is not None or self._syncing is not None:
            if self._due is not None:
                self._due.cancel()
                self._sync()
            assert self._syncing is not None
            await asyncio.wait([self._syncing])
            await asyncio.sleep(0)  # for `_synced`, which may want another round
        self._pool.shutdown()

    def _write(self, box: Box) -> None:
        write_atomic(f"{self._paths.box(box.id)}/{BOX_FILE}", _readable(box))

    def _sync_soon(self) -> None:
        if self._syncing is None and self._due is None:
            self._due = asyncio.get_running_loop().call_later(MOMENT, self._sync)

    def _sync(self) -> None:
        self._due = None
        loop = asyncio.get_running_loop()
        batch, self._stale = self._stale, set()
        self._syncing = loop.run_in_executor(self._pool, self._sync_all, batch)
        self._syncing.add_done_callback(self._synced)

    def _synced(self, done: asyncio.Future[None]) -> None:
        self._syncing = None
        if error := done.exception():
            log.error("the state of boxes cannot be brought to the disk: %s", error)
        if self._stale:
            self._sync_soon()

    def _sync_all(self, ids: set[str]) -> None:
        for box_id in ids:
            self._sync_box(box_id)

    def _sync_box(self, box_id: str) -> None:
        folder = self._paths.box(box_id)
        sync(f"{folder}/{BOX_FILE}")
        sync(folder)
        sync(self._paths.boxes)

    def _load_one(self, folder: str, name: str) -> Box | None:
        path = f"{folder}/{BOX_FILE}"
        try:
            with open(path, "rb") as file:
                box = msgspec.json.decode(file.read(), type=Box)
        except FileNotFoundError:
            if _is_empty(folder):
                remove_tree(folder)
                return None
            raise DamagedError(f"it has no {BOX_FILE}") from None
        except NotADirectoryError:
            raise DamagedError("it is not a folder") from None
        except (OSError, msgspec.DecodeError) as error:
            raise DamagedError(f"{BOX_FILE}: {error}") from None
        if box.id[:SHORT_ID] != name:
            raise DamagedError(f"{BOX_FILE} is of another box, {box.id[:SHORT_ID]}")
        return box


def _readable(model: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(model), indent=1) + b"\n"


def _is_empty(folder: str) -> bool:
    """Whether a folder holds nothing but what `State.make` was about to fill."""
    ours = {PROFILE_FILE, PROFILE_FILE + ".tmp", IMAGE_FILE, IMAGE_FILE + ".tmp", BOX_FILE + ".tmp"}
    return ours.issuperset(os.listdir(folder))
