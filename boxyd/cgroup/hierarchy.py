"""What a hierarchy of either version does alike: a mounted tree in which cgroups are made.

Constraint: making and removing a cgroup is on the way of every start and end of a box, so what
concerns all boxes (parents, controllers, inheritance) is done once for each parent folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from boxy_core.models import Limits
from boxyd.cgroup import files
from boxyd.cgroup.limits import Setting
from boxyd.cgroup.reader import Files

PATIENCE = 2.0
"""Seconds to wait for a cgroup that is empty but still busy: a dead process on its way out."""


class Hierarchy(ABC):
    """One mounted tree.

    `mount` is where it is mounted, `name` that folder's name below the root of all ("" if it
    is the root), `base` the cgroup that stands in for the tree's root ("" or "/a/b").
    """

    def __init__(self, mount: str, name: str, controllers: frozenset[str], base: str = "") -> None:
        self.mount = mount
        self.name = name
        self.controllers = controllers
        self.notices: list[str] = []
        self._base = base
        self._prepared: dict[str, frozenset[str]] = {}

    def path(self, relative: str) -> str:
        """Where the cgroup `relative` is."""
        return f"{self.mount}{self._base}/{relative}"

    @abstractmethod
    def prepare(self, parent: str) -> None:
        """Make the cgroup `parent` and whatever its children need.  Raises OSError."""

    @abstractmethod
    def settings(
        self, limits: Limits, available: frozenset[str], numbers: dict[str, str]
    ) -> Iterator[Setting]:
        """What to write for these limits; `numbers` are the devices to speak of.  Pure."""

    @abstractmethod
    def sources(self, relative: str) -> Files:
        """The counters of a cgroup."""

    def available(self, parent: str) -> frozenset[str]:
        """The files that each child of `parent` has; prepares it if that is still to do."""
        if parent not in self._prepared:
            self.prepare(parent)
            self._prepared[parent] = frozenset(os.listdir(self.path(parent)))
        return self._prepared[parent]

    def forget(self, parent: str) -> None:
        """Look at `parent` anew next time: something about it was changed."""
        self._prepared.pop(parent, None)

    def make(self, relative: str) -> None:
        """Make one cgroup.  Raises OSError: EEXIST if it is there."""
        parent = os.path.dirname(relative)
        self.available(parent)
        try:
            files.make(self.path(relative))
        except FileNotFoundError:  # somebody tidied the empty parent away
            self.forget(parent)
            self.available(parent)
            files.make(self.path(relative))

    def remove(self, relative: str, empty: Callable[[], None]) -> None:
        """Remove one cgroup with all below it; `empty` is called if it turns out to be in use.

        Raises OSError (EBUSY) when it is still in use after `PATIENCE`.
        """
        path = self.path(relative)
        deadline = time.monotonic() + PATIENCE
        pause = 0.0005
        while not _removed(path):
            if pause == 0.0005:
                empty()
                _remove_children(path)
            elif time.monotonic() > deadline:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
            time.sleep(pause)
            pause = min(pause * 2, 0.05)


def _removed(path: str) -> bool:
    try:
        files.unmake(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def _remove_children(path: str) -> None:
    """Remove the cgroups below: a box may have made some where it was given the right to."""
    for folder, _, _ in os.walk(path, topdown=False):
        if folder != path:
            with contextlib.suppress(OSError):  # tried again with the next round
                files.unmake(folder)


def make_path(mount: str, parent: str) -> Iterator[str]:
    """Make each cgroup on the way down to `parent`, telling each path; made or already there."""
    path = mount
    for part in parent.split("/"):
        if part:
            path += "/" + part
            with contextlib.suppress(FileExistsError):
                files.make(path)
            yield path
