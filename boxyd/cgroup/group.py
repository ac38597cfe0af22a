"""The cgroup of one box: the same name in every hierarchy that the host has.

Constraint: limits that nobody asked for are given where the host can and told of where it
cannot; a limit that the user asked for is kept or refused, never dropped in silence.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from weakref import WeakSet

from boxy_core.errors import BoxyError, Conflict, InvalidRequest, Unsupported
from boxy_core.models import Limits
from boxyd.cgroup import files, killing
from boxyd.cgroup.hierarchy import Hierarchy
from boxyd.cgroup.interface import CgroupFile, CgroupPlan
from boxyd.cgroup.limits import WHAT, Setting, asked, disks, unsupported
from boxyd.cgroup.reader import MEMORY_RECLAIMABLE, MEMORY_USAGE, Files, Reader, net_dev
from boxyd.cgroup.v1 import FreezerLife
from boxyd.cgroup.v2 import UnifiedLife

Settings = dict[tuple[str, str], tuple[str, Setting]]
"""What to write: by file and key, the folder of the hierarchy and the setting."""


class Group:
    """Implements `Cgroup` on the hierarchies of a driver."""

    def __init__(
        self, hierarchies: Sequence[Hierarchy], unified: Hierarchy | None, relative: str
    ) -> None:
        self.notices: list[str] = []
        self._hierarchies = hierarchies
        self._unified = unified
        self._relative = relative
        self._limits: Limits | None = None
        self._readers: WeakSet[Reader] = WeakSet()
        self._life = self._make_life()

    def _make_life(self) -> UnifiedLife | FreezerLife:
        if self._unified is not None:
            return UnifiedLife(self._unified.path(self._relative), self._relative)
        freezer = self._folder("freezer")
        anywhere = self._hierarchies[0].path(self._relative)
        return FreezerLife(freezer, freezer or anywhere, self._relative)

    def _folder(self, controller: str) -> str:
        """The box's cgroup in the hierarchy of `controller`, "" if there is none."""
        for hierarchy in self._hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy.path(self._relative)
        return ""

    def plan(self) -> CgroupPlan:
        """How a process gets in."""
        old = [h.path(self._relative) for h in self._hierarchies if h is not self._unified]
        into = self._unified.path(self._relative) if self._unified else ""
        procs = [path + "/cgroup.procs" for path in (*old, *filter(None, [into]))]
        return CgroupPlan([path + "/tasks" for path in old], procs, into, self._oom_file())

    def _oom_file(self) -> str:
        folder = self._folder("memory")
        if not folder:
            return ""
        return folder + ("/memory.events" if self._is_unified(folder) else "/memory.oom_control")

    def _is_unified(self, folder: str) -> bool:
        return self._unified is not None and self._unified.path(self._relative) == folder

    # ------------------------------------------------------------------ limits

    def set(self, limits: Limits) -> list[str]:
        """Put exactly these limits in force; see `Cgroup.set`.  On failure the old ones stay."""
        self._refuse_too_little(limits)
        before = self._limits
        try:
            self.notices = self._change(limits)
        except BoxyError:
            if before is not None:
                self._limits = None  # some are changed and some not: write them all
                with contextlib.suppress(BoxyError):
                    self._change(before)
            raise
        finally:
            for reader in self._readers:
                reader.refresh()
        return self.notices

    def start_with(self, limits: Limits) -> None:
        """The first limits of a cgroup that was just made: only what differs from none."""
        settings = self._settings(limits, disks(limits))
        self.notices = self._write(
            [found for found in settings.values() if not found[1].default], limits
        )
        self._limits = limits

    def knows(self, limits: Limits | None) -> None:
        """These limits are in force already: a later change writes the difference only."""
        self._limits = limits

    def _change(self, limits: Limits) -> list[str]:
        numbers = disks(limits)
        old: Settings = {}
        if self._limits is not None:
            with contextlib.suppress(InvalidRequest):  # a disk that was pulled out
                numbers = disks(self._limits) | numbers
                old = self._settings(self._limits, numbers)
        new = self._settings(limits, numbers)
        changed = [found for key, found in new.items() if old.get(key) != found]
        notices = self._write(changed, limits)
        self._limits = limits
        return notices

    def _settings(self, limits: Limits, numbers: dict[str, str]) -> Settings:
        found: Settings = {}
        parent = os.path.dirname(self._relative)
        for hierarchy in self._hierarchies:
            folder = hierarchy.path(self._relative)
            for setting in hierarchy.settings(limits, hierarchy.available(parent), numbers):
                found[setting.file, setting.key] = (folder, setting)
        for field in asked(limits) - {setting.field for _, setting in found.values()}:
            raise unsupported(field)
        return found

    def _write(self, settings: list[tuple[str, Setting]], limits: Limits) -> list[str]:
        """Write all, those refused with EINVAL once more at the end; notices.

        The second round is for v1's limits of memory and of memory with swap, which must never
        cross on their way, whether up or down.
        """
        notices: list[str] = []
        again = []
        for folder, setting in settings:
            try:
                _put(folder, setting)
            except OSError as error:
                if error.errno == errno.EINVAL and setting.file.startswith("memory."):
                    again.append((folder, setting))
                else:
                    notices += _refused(setting, error, limits)
        for folder, setting in again:
            try:
                _put(folder, setting)
            except OSError as error:
                notices += _refused(setting, error, limits)
        return notices

    def _refuse_too_little(self, limits: Limits) -> None:
        """A limit below what is in use would make the kernel kill: refuse it instead."""
        if limits.memory is None:
            return
        if self._limits is not None and (self._limits.memory or 1 << 62) <= limits.memory:
            return
        reader = self.reader()
        row = reader.read()
        reader.close()
        used = row[MEMORY_USAGE] - row[MEMORY_RECLAIMABLE]
        if used > limits.memory:
            raise Conflict(
                f"the box uses {used} bytes of memory, more than the new limit of {limits.memory}",
                hint="free memory in the box first, or give it more",
            )

    # ------------------------------------------------------------------ life

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop every process and wait until all stand still."""
        self._life.freeze(timeout)

    def thaw(self) -> None:
        """Let them run on."""
        self._life.thaw()

    def frozen(self) -> bool:
        """Whether every process stands still."""
        return self._life.frozen()

    def pids(self) -> list[int]:
        """The processes, as the host numbers them."""
        return self._life.pids()

    def populated(self) -> bool:
        """Whether a living process is in it, in whichever hierarchy."""
        return self._life.populated() or bool(self._strays())

    def kill(self, timeout: float = 5.0) -> None:
        """Kill everything; returns when the cgroup is empty in every hierarchy.

        Whoever takes up the end of the box may remove the cgroup meanwhile: then all is done.
        """
        try:
            self._life.kill(timeout)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise
        if self._strays():
            killing.kill_until_gone(self._strays, self._relative, timeout)

    def _strays(self) -> list[int]:
        """Processes that are in a v1 hierarchy only: one that died half-way into its cgroups."""
        for hierarchy in self._hierarchies:
            if hierarchy is not self._unified:
                return killing.pids_below(hierarchy.path(self._relative))
        return []

    def oom_kills(self) -> int:
        """How many processes the kernel killed for want of memory."""
        return files.field(self._oom_file(), "oom_kill") if self._oom_file() else 0

    def reader(self, net_pid: int = 0) -> Reader:
        """A reader of counters; `net_pid` is a process in the box's network (0: none)."""
        wanted = Files()
        for hierarchy in self._hierarchies:
            wanted.extend(hierarchy.sources(self._relative))
        if net_pid:
            wanted.always.append((f"/proc/{net_pid}/net/dev", net_dev))
        reader = Reader(wanted)
        self._readers.add(reader)
        return reader

    def files(self, limits: Limits) -> list[CgroupFile]:
        """The files behind these limits, and those that count what is used."""
        with contextlib.suppress(InvalidRequest):  # a disk that was pulled out
            settings = self._settings(limits, disks(limits)).values()
            found = {f"{folder}/{setting.file}": setting.field for folder, setting in settings}
            counted = Files()
            for hierarchy in self._hierarchies:
                counted.extend(hierarchy.sources(self._relative))
            for path in counted.paths():
                found.setdefault(path, "")
            return [CgroupFile(path, field) for path, field in found.items()]
        return []

    def remove(self) -> None:
        """Kill what is left and remove the cgroup everywhere; harmless if it is gone."""
        for hierarchy in self._hierarchies:
            hierarchy.remove(self._relative, self.kill)

    def close(self) -> None:
        """Forget it without removing it: nothing is kept open here."""


def _put(folder: str, setting: Setting) -> None:
    text = setting.text
    if not text:  # v1's cpuset has no word for "as above"
        text = files.read(f"{os.path.dirname(folder)}/{setting.file}").strip()
    files.write(f"{folder}/{setting.file}", text)


def _refused(setting: Setting, error: OSError, limits: Limits) -> list[str]:
    """A notice if nobody asked for this, else the error that says what is wrong."""
    field = setting.field
    if field not in asked(limits):
        if setting.default:
            return []
        return [f"This box has not {WHAT[field]}: {setting.file}: {error.strerror}."]
    if field == "memory" and error.errno == errno.EBUSY:
        raise Conflict(
            f"the box uses more memory than the new limit of {limits.memory} bytes",
            hint="free memory in the box first, or give it more",
        )
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENOSYS):
        raise unsupported(field)
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.EACCES, errno.ENODEV, errno.ENOSPC):
        raise InvalidRequest(
            f"the kernel refused {setting.text.strip()!r} as {WHAT[field]}: {error.strerror}",
            hint=_hint(field),
            limit=field,
        )
    raise Unsupported(
        f"{WHAT[field]} could not be set ({setting.file}): {error.strerror}", limit=field
    )


def _hint(field: str) -> str:
    if field == "cpuset":
        return f"this machine has {os.cpu_count()} CPUs, numbered from 0"
    return "look at the value: the kernel takes no such number here"
