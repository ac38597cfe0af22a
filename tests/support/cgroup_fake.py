"""A kernel's cgroup file systems, played in an ordinary folder.

It answers as the real one does where drivers depend on it: which files a new cgroup has, what a
write to them does or why it is refused.  The suite that it serves runs on real cgroups too
(tests/privileged/cgroup), which is what keeps this one honest.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from boxyd.cgroup import detect, files
from boxyd.cgroup.detection import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC
from boxyd.cgroup.interface import Driver

TMPFS_MAGIC = 0x01021994

V1_FILES: dict[str, dict[str, str]] = {
    "blkio": {
        "blkio.throttle.read_bps_device": "",
        "blkio.throttle.write_bps_device": "",
        "blkio.throttle.read_iops_device": "",
        "blkio.throttle.write_iops_device": "",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\nTotal 4608\n",
    },
    "cpu": {"cpu.cfs_quota_us": "-1", "cpu.shares": "1024", "cpu.stat": "throttled_time 2000\n"},
    "cpuacct": {"cpuacct.usage": "5000000"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "devices": {"devices.allow": "", "devices.deny": "", "devices.list": "a *:* rwm"},
    "freezer": {"freezer.state": "THAWED"},
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.memsw.limit_in_bytes": "9223372036854771712",
        "memory.soft_limit_in_bytes": "9223372036854771712",
        "memory.usage_in_bytes": "1048576",
        "memory.stat": "cache 4096\ninactive_file 1\ntotal_inactive_file 4096\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    "pids": {"pids.max": "max", "pids.current": "3"},
    "systemd": {},
}
V2_FILES: dict[str, dict[str, str]] = {
    "cpu": {
        "cpu.max": "max 100000",
        "cpu.weight": "100",
        "cpu.stat": "usage_usec 5000\nuser_usec 1\nthrottled_usec 2\n",
    },
    "cpuset": {"cpuset.cpus": ""},
    "io": {"io.max": "", "io.weight": "default 100", "io.stat": "8:0 rbytes=4096 wbytes=512\n"},
    "memory": {
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.low": "0",
        "memory.current": "1048576",
        "memory.stat": "anon 1\ninactive_file 4096\n",
        "memory.events": "low 0\noom 2\noom_kill 2\n",
    },
    "pids": {"pids.max": "max", "pids.current": "3"},
}
THREADED = ("cpu", "cpuset", "pids")
_EVERY_V1 = {"cgroup.procs": "", "tasks": "", "cgroup.clone_children": "0"}
_EVERY_V2 = {
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cgroup.freeze": "0",
    "cgroup.kill": "",
    "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=0\n",
}


class FakeKernel:
    """Hierarchies below `root`: v1 ones by name, and v2 at `unified` ("" for the root itself)."""

    def __init__(
        self,
        root: Path,
        old: Iterable[str] = (),
        unified: str | None = None,
        controllers: Iterable[str] = tuple(V2_FILES),
    ) -> None:
        self.root = root
        self.old = {str(root / name): name.split(",") for name in old}
        self.v2 = None if unified is None else str(root / unified).rstrip("/")
        self.missing: set[str] = set()
        """files that new cgroups lack"""
        self.refused: dict[str, int] = {}
        """files that refuse every write, with the errno"""
        self.threaded: set[Path] = set()
        """cgroups that handed controllers down while they held processes: a trap"""
        self.writes: list[tuple[str, str]] = []
        for mount in (*self.old, *filter(None, [self.v2])):
            Path(mount).mkdir(exist_ok=True)
            self._populate(mount, controllers if mount == self.v2 else ())
        for mount, names in self.old.items():
            if "cpuset" in names:
                Path(mount, "cpuset.cpus").write_text("0-3\n")
                Path(mount, "cpuset.mems").write_text("0\n")

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Stand behind the package's one door to cgroup files."""
        patch.setattr(files, "make", self.make)
        patch.setattr(files, "unmake", self.unmake)
        patch.setattr(files, "write", self.write)

    def magic(self, path: str) -> int:
        """What statfs(2) would tell."""
        if path.rstrip("/") == self.v2:
            return CGROUP2_SUPER_MAGIC
        return CGROUP_SUPER_MAGIC if path in self.old else TMPFS_MAGIC

    def driver(self, *, own: str = "0::/\n", unified: bool = True) -> Driver:
        """The driver that is detected on these hierarchies."""
        return detect(str(self.root), "boxy", magic=self.magic, own=own, unified=unified)

    def put(self, folder: Path, pid: int) -> None:
        """Let a process be in a cgroup."""
        procs = folder / "cgroup.procs"
        procs.write_text(procs.read_text() + f"{pid}\n")
        if (folder / "cgroup.events").exists():
            (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")

    # ------------------------------------------------------------------ the kernel's part

    def make(self, path: str) -> None:
        os.mkdir(path)
        self._populate(path, files.words(os.path.dirname(path) + "/cgroup.subtree_control"))

    def _populate(self, path: str, handed: Iterable[str]) -> None:
        mount = next((m for m in self.old if path == m or path.startswith(m + "/")), None)
        content: dict[str, str] = {}
        if mount is not None:
            content = dict(_EVERY_V1)
            for name in self.old[mount]:
                content |= V1_FILES.get(name, {})
            above = Path(path).parent / "cgroup.clone_children"
            if "cpuset" in self.old[mount] and above.exists() and above.read_text().strip() == "1":
                content["cgroup.clone_children"] = "1"
                for name in ("cpuset.cpus", "cpuset.mems"):
                    content[name] = (Path(path).parent / name).read_text()
        else:
            content = dict(_EVERY_V2) | {"cgroup.controllers": " ".join(handed)}
            for name in handed if path != self.v2 else ():
                content |= V2_FILES.get(name, {})
            if path == self.v2:
                for name in ("cgroup.events", "cgroup.freeze", "cgroup.kill"):
                    del content[name]
        for name, text in content.items():
            if name not in self.missing:
                Path(path, name).write_text(text)

    def unmake(self, path: str) -> None:
        folder = Path(path)
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        entries = list(folder.iterdir())
        if any(entry.is_dir() for entry in entries) or files.read(path + "/cgroup.procs").strip():
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        for entry in entries:
            entry.unlink()
        folder.rmdir()

    def write(self, path: str, *texts: str) -> None:
        file = Path(path)
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if file.name in self.refused:
            number = self.refused[file.name]
            raise OSError(number, os.strerror(number), path)
        for text in texts:
            self._write(file, text.strip())
            self.writes.append((path, text.strip()))

    def _write(self, file: Path, text: str) -> None:
        folder = file.parent
        if file.name == "cgroup.subtree_control":
            self._hand_down(folder, text.removeprefix("+"))
        elif file.name == "cgroup.procs":
            for other in folder.parent.glob("cgroup.procs"):
                kept = [pid for pid in other.read_text().split() if pid != text]
                other.write_text("".join(f"{pid}\n" for pid in kept))
            self.put(folder, int(text))
        elif file.name == "cgroup.kill":
            (folder / "cgroup.procs").write_text("")
            (folder / "cgroup.events").write_text("populated 0\nfrozen 0\n")
        elif file.name == "cgroup.freeze":
            events = folder / "cgroup.events"
            events.write_text(events.read_text().splitlines()[0] + f"\nfrozen {text}\n")
        elif file.name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
            self._never_cross(folder, file.name, text)
        else:
            file.write_text(text + "\n")

    def _hand_down(self, folder: Path, controller: str) -> None:
        if controller not in files.words(str(folder / "cgroup.controllers")):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder))
        real_root = not (folder / "cgroup.events").exists()
        control = folder / "cgroup.subtree_control"
        if files.read(str(folder / "cgroup.procs")).strip() and not real_root:
            if controller not in THREADED:
                raise OSError(errno.EBUSY, "Device or resource busy", str(folder))
            self.threaded.add(folder)
        elif folder in self.threaded and controller not in THREADED:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", str(folder))
        control.write_text(f"{control.read_text()} {controller}".strip())
        for child in folder.glob("*/cgroup.controllers"):
            child.write_text(f"{child.read_text()} {controller}".strip())
            for name, text in V2_FILES[controller].items():
                child.with_name(name).write_text(text)

    @staticmethod
    def _never_cross(folder: Path, name: str, text: str) -> None:
        limits = {
            which: int((folder / f"memory.{which}limit_in_bytes").read_text())
            for which in ("", "memsw.")
        }
        which = "memsw." if "memsw" in name else ""
        limits[which] = 9223372036854771712 if text == "-1" else int(text)
        if limits[""] > limits["memsw."]:
            raise OSError(errno.EINVAL, "Invalid argument", name)
        (folder / name).write_text(f"{limits[which]}\n")
