"""Ranges of host ids that daemons side by side have taken, so that no two boxes share one.

Each box's range is a small file in one folder of the machine (`BOXY_IDS`, /run/boxy-ids), named
by its first id, telling the root folder and the box that it belongs to.  It is written when the
box is made and removed with it.  A claim whose box is gone (its folder was deleted, the machine
crashed) counts no more.  The folder does not outlive a reboot, nor does a process with such an
id: each daemon claims its boxes' ranges anew when it starts, and a box that finds its range
taken meanwhile gets another at its next start, since nothing on disk bears these ids.

Constraint: decisions are made under a lock (flock(2) on the folder's file `lock`), in well under
a millisecond; a machine where the folder cannot be written still runs boxes, with a notice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator

from boxy_core.paths import SHORT_ID
from boxyd.ids import COUNT, allocate

YOUNG = 60.0
"""seconds in which a claim needs no box folder: it is being made"""

log = logging.getLogger("boxyd.claims")


class Claims:
    """The claims of the daemon with this root, among those of others."""

    def __init__(self, folder: str, root: str) -> None:
        self._folder = folder
        self._root = root
        self.notices: list[str] = []
        self._fresh: dict[int, tuple[str, float]] = {}
        self._last = 0
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            with self._locked():
                pass
        except OSError as error:
            self.notices.append(
                f"{folder} cannot be written ({error.strerror}): daemons side by side may give "
                "boxes the same range of ids."
            )

    def allocate(self, taken: Iterable[int], box_id: str = "") -> int:
        """A range that no box here or elsewhere has; claimed for `box_id` if given.

        They are given in turn: what a removed box left behind under its ids belongs to nobody for
        long, and what the next box needs can be made ahead (`following`).  Raises Conflict when
        every range is in use.
        """
        if self.notices:
            return self._in_turn(taken, box_id)
        own = set(taken)
        with self._locked():
            base = self._in_turn([*own, *self._others(own)], box_id)
            if box_id:
                self._write(base, box_id)
                self._fresh = {base: (box_id, time.monotonic())}
        return base

    def _in_turn(self, taken: Iterable[int], box_id: str) -> int:
        base = allocate(taken, self._last)
        if box_id:
            self._last = base
        return base

    def following(self) -> int:
        """The first id that the next box gets, if nobody else takes it."""
        return self._last + COUNT

    def keep(self, base: int, box_id: str) -> bool:
        """Claim a range that the box had before; False if another box has it now."""
        if self.notices or self._is_fresh(base, box_id):
            return True
        with self._locked():
            holder = self._holder(base)
            ours = {"root": self._root, "box": box_id[:SHORT_ID]}
            if holder is not None and holder != ours and self._counts(base, holder):
                return False
            if holder != ours:
                self._write(base, box_id)
        return True

    def _is_fresh(self, base: int, box_id: str) -> bool:
        """Whether the range was claimed for this very box a moment ago: nobody took it since."""
        given_to, at = self._fresh.get(base, ("", 0.0))
        return given_to == box_id and time.monotonic() - at < YOUNG

    def free(self, base: int, box_id: str) -> None:
        """The box is gone, or has another range."""
        if not self.notices and base:
            with self._locked():
                if self._holder(base) == {"root": self._root, "box": box_id[:SHORT_ID]}:
                    os.unlink(f"{self._folder}/{base}")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._folder + "/lock", flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _others(self, own: set[int]) -> list[int]:
        """Ranges besides our `own` that boxes of other daemons have; claims that count no more
        are removed."""
        bases = {int(name) for name in os.listdir(self._folder) if name.isdecimal()}
        found = []
        for base in bases - own:
            holder = self._holder(base)
            if holder is None or self._counts(base, holder):
                found.append(base)
            else:
                log.info("the ids from %d are free again: %s is gone", base, holder)
                os.unlink(f"{self._folder}/{base}")
        return found

    def _holder(self, base: int) -> dict[str, str] | None:
        """Whose range this is; None: nobody's, or nobody can tell."""
        try:
            with open(f"{self._folder}/{base}", encoding="utf-8") as file:
                holder = json.load(file)
        except (OSError, ValueError):
            return None
        return holder if isinstance(holder, dict) else None

    def _counts(self, base: int, holder: dict[str, str]) -> bool:
        """Whether the box is there, or may just be being made."""
        if os.path.isdir(f"{holder.get('root')}/boxes/{holder.get('box')}"):
            return True
        with contextlib.suppress(OSError):
            return time.time() - os.stat(f"{self._folder}/{base}").st_mtime < YOUNG
        return False

    def _write(self, base: int, box_id: str) -> None:
        """Replace the claim as a whole: a reader without the lock (a person) finds no half."""
        path = f"{self._folder}/{base}"
        with open(path + ".tmp", "w", encoding="utf-8") as file:
            json.dump({"root": self._root, "box": box_id[:SHORT_ID]}, file)
        os.rename(path + ".tmp", path)
