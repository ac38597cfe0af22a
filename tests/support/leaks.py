"""What a test left on the machine: mounts, cgroups, processes, sockets, network links.

Several tests, test runs and other people's containers may share a machine. So a thing counts
as left behind only when it bears a mark of this test: the test's tag, a path in its folder, or,
where names are too short for either (network links), the digits of a daemon in its folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from boxyd.network.addresses import instance_of

TAG_VARIABLE = "BOXY_TEST_TAG"
DAEMONS = 4
"""a test's daemons have their roots at d0/root, d1/root ..."""


KINDS = frozenset({"process", "mount", "cgroup", "socket", "network link"})
OF_BOXES = frozenset({"mount", "cgroup"})
"""what a daemon that goes on, but without a box, has none of"""


@dataclass(frozen=True)
class Leak:
    """One thing that should be gone. `pid` is set for a process, `path` for what has a place."""

    kind: str
    name: str
    pid: int = 0
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class LeakChecker:
    """Compares the machine before and after one test.

    Args:
        tag: the mark that the test's cgroups and environment bear.
        folder: below it lies every file of the test.
    """

    def __init__(self, tag: str, folder: Path) -> None:
        self.tag = tag
        self.folder = str(folder)
        roots = [self.folder + "/root", *(f"{self.folder}/d{n}/root" for n in range(DAEMONS))]
        self._links = tuple("bx" + instance_of(root) for root in roots)
        self._born = int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))

    def wait_until_clean(self, seconds: float = 20.0, kinds: frozenset[str] = KINDS) -> list[Leak]:
        """What of these kinds is left after `seconds`; [] as soon as that is nothing."""
        deadline = time.monotonic() + seconds
        while True:
            left = list(self.find(kinds))
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.05)

    def find(self, kinds: frozenset[str] = KINDS) -> Iterator[Leak]:
        """Everything of this test, of these kinds, that is on the machine now."""
        finders = {
            "process": self._processes,
            "mount": self._mounts,
            "cgroup": self._cgroups,
            "socket": self._sockets,
            "network link": self._network_links,
        }
        for kind, finder in finders.items():
            if kind in kinds:
                yield from finder()

    def clear(self, leaks: Iterable[Leak]) -> None:
        """Remove what was left, so that one leak fails one test only."""
        leaks = list(leaks)
        for leak in leaks:
            if leak.pid:
                _kill(leak.pid)
        for leak in sorted(leaks, key=lambda leak: len(leak.path), reverse=True):
            if leak.kind == "mount":
                subprocess.run(["umount", "--lazy", leak.path], check=False, capture_output=True)
        for leak in sorted(leaks, key=lambda leak: len(leak.path), reverse=True):
            if leak.kind == "cgroup":
                _remove_cgroup(Path(leak.path))
            elif leak.kind == "network link":
                subprocess.run(["ip", "link", "delete", leak.name], check=False)

    def _marked(self, text: str) -> bool:
        return self.tag in text or self.folder in text

    def _mounts(self) -> Iterator[Leak]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if self._marked(line):
                point = line.split(" ")[4]
                yield Leak("mount", point, path=point)

    def _cgroups(self) -> Iterator[Leak]:
        for root in cgroup_roots():
            for folder, _, _ in os.walk(root / "boxy"):
                if self.tag in folder and not folder.endswith(self.tag):
                    yield Leak("cgroup", folder, path=folder)

    def _sockets(self) -> Iterator[Leak]:
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
            *_, name = line.split(" ")
            if self._marked(name):
                yield Leak("socket", name)

    def _network_links(self) -> Iterator[Leak]:
        for link in os.listdir("/sys/class/net"):
            if link.startswith(self._links):
                yield Leak("network link", link)

    def _processes(self) -> Iterator[Leak]:
        family = _family()
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) in family or not self._is_younger(name):
                continue
            entry = Path("/proc", name)
            if any(self._marked(text) for text in _traces(entry)):
                yield Leak("process", _describe(entry), pid=int(name))

    def _is_younger(self, pid: str) -> bool:
        """Whether a process began after the test did: of hundreds, the few to look into."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                return int(file.read().rpartition(b")")[2].split()[19]) >= self._born
        except OSError:
            return False  # gone


def cgroup_roots() -> list[Path]:
    """Where each cgroup hierarchy of this machine is mounted."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    fields = [line.split(" ") for line in lines]
    return [Path(point) for _, point, kind, *_ in fields if kind in ("cgroup", "cgroup2")]


def remove_cgroup_root(name: str) -> None:
    """Take away the empty root, `name` below boxy/, that a test's daemon made for its boxes."""
    for root in cgroup_roots():
        _remove_cgroup(root / "boxy" / name)


def remove_empty_boxy_cgroups() -> None:
    """Take away each hierarchy's boxy/ where nobody's boxes are left in it."""
    for root in cgroup_roots():
        with contextlib.suppress(OSError):
            (root / "boxy").rmdir()


def _remove_cgroup(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # a process that was just killed is still on its way out
            time.sleep(0.02)
        else:
            return


def _family() -> set[int]:
    """This process and those above it: they name the test's folder without being left behind."""
    family, pid = set(), os.getpid()
    while pid > 1:
        family.add(pid)
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return family


def _traces(process: Path) -> Iterator[str]:
    """Where a process may bear a mark: environment, arguments, cgroup, folders, open files."""
    for name in ("environ", "cmdline", "cgroup"):
        try:
            yield (process / name).read_bytes().decode(errors="replace")
        except OSError:
            continue
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        descriptors = []
    for link in (process / "cwd", process / "root", *descriptors):
        try:
            yield os.readlink(link)
        except OSError:
            continue


def _describe(process: Path) -> str:
    try:
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        name = (process / "comm").read_text().strip()
    except OSError:
        return process.name
    return f"{process.name} {command.strip() or name}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
