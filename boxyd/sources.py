"""Where a bind mount's source really is.

Constraint: a box may write into folders that it shares with the host, so a symlink there is
its word, not the user's: with `-v /srv/shared/logs:/logs` a box that has /srv/shared could
have the next box show it /etc.  So a path is walked by descriptors, and below what any box can
write no symlink is followed (CVE-2021-30465 is of this kind).  The answer has no symlink left;
who opens it later has the kernel refuse one that appeared meanwhile (openat2(2)).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from boxy_core.errors import InvalidRequest

MAX_LINKS = 40
"""path_resolution(7)"""
_HERE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class _Walk:
    def __init__(self, path: str, wary: set[tuple[int, int]], create: bool) -> None:
        self._asked = path
        self._wary = wary
        self._create = create
        self._links = 0
        self._names = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        self._trail: list[tuple[str, int]] = []
        """names and descriptors from the root to here"""
        self._root = os.open("/", _HERE | os.O_DIRECTORY)
        self._depth_of_box = 0
        """how long the trail was when it came into a folder that a box can write; 0: not.  (A box
        that can write in / itself needs no symlinks to reach what it likes.)"""

    def run(self) -> str:
        try:
            self._note_wary()
            while self._names:
                self._step(self._names.pop())
            return "/" + "/".join(name for name, _ in self._trail)
        finally:
            for _, fd in self._trail:
                os.close(fd)
            os.close(self._root)

    @property
    def _here(self) -> int:
        return self._trail[-1][1] if self._trail else self._root

    def _step(self, name: str) -> None:
        if name == "..":
            if self._trail:
                os.close(self._trail.pop()[1])
                if len(self._trail) < self._depth_of_box:
                    self._depth_of_box = 0
            return
        try:
            fd = os.open(name, _HERE, dir_fd=self._here)
        except FileNotFoundError:
            fd = self._made(name)
        except OSError as error:
            raise InvalidRequest(
                f"the source {self._asked} cannot be reached: {error.strerror}",
                hint="see its path step by step with: namei -l " + self._asked,
            ) from None
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            self._follow(name, fd)
        else:
            self._trail.append((name, fd))
            self._note_wary()

    def _follow(self, name: str, fd: int) -> None:
        leads = os.readlink("", dir_fd=fd)
        os.close(fd)
        place = "/" + "/".join([*(known for known, _ in self._trail), name])
        if self._depth_of_box:
            raise InvalidRequest(
                f"the source {self._asked} leads over the symlink {place}, and a box can write "
                "there: it may have made that symlink",
                hint="name the place itself, not a symlink in a folder that boxes share",
            )
        self._links += 1
        if self._links > MAX_LINKS:
            raise InvalidRequest(
                f"the source {self._asked} leads over too many symlinks",
                hint="give the path that the links lead to: readlink -f PATH",
            )
        if leads.startswith("/"):
            while self._trail:
                os.close(self._trail.pop()[1])
        self._names += [part for part in reversed(leads.split("/")) if part not in ("", ".")]

    def _note_wary(self) -> None:
        found = os.fstat(self._here)
        if not self._depth_of_box and (found.st_dev, found.st_ino) in self._wary:
            self._depth_of_box = len(self._trail)

    def _made(self, name: str) -> int:
        """Make a missing folder, its owner being that of the folder above."""
        if not self._create:
            raise InvalidRequest(
                f"the source {self._asked} is not there",
                hint=f"make it: mkdir -p {self._asked}, or have it made with :create",
            )
        above = os.fstat(self._here)
        os.mkdir(name, 0o755, dir_fd=self._here)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                     dir_fd=self._here)  # fmt: skip
        os.fchown(fd, above.st_uid, above.st_gid)
        return fd


def resolve(path: str, wary: Iterable[str] = (), *, create: bool = False) -> str:
    """The path of `path` without symlinks.

    `wary` are folders that boxes can write.  With `create` missing folders are made.  Raises
    InvalidRequest saying what is wrong, and OSError if a folder cannot be made.
    """
    known = set()
    for folder in wary:
        try:
            found = os.stat(folder)
        except OSError:
            continue
        known.add((found.st_dev, found.st_ino))
    return _Walk(path, known, create).run()
