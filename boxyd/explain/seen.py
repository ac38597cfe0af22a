"""Reading what the kernel says of a box, once.

Constraint: blocking and short (a few dozen small files of /proc and the cgroups); to be called
in a thread.  A box may end while it is looked at: what is gone by then is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from boxy_core.models import Box
from boxy_core.models_network import Network
from boxy_core.paths import Paths
from boxyd.cgroup.interface import Cgroup, CgroupFile
from boxyd.runtime import seccomp, syscalls

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
"""as in /proc/PID/ns, namespaces(7)"""
_VALUE = 400
"""bytes of a file that are shown"""


@dataclass(frozen=True)
class MountLine:
    """A line of /proc/PID/mountinfo, proc_pid_mountinfo(5)."""

    number: int
    device: str
    root: str
    target: str
    options: str
    kind: str
    source: str
    super_options: str


@dataclass(frozen=True)
class Proc:
    """A process of the box."""

    pid: int
    """as the host numbers it"""
    ppid: int
    inside: int
    """as the box numbers it"""
    command: str


@dataclass(frozen=True)
class Value:
    """A cgroup's file and what it holds."""

    file: CgroupFile
    text: str


@dataclass(frozen=True)
class Seen:
    """All that was read.  `pid` 0: the box does not run, and most is empty."""

    box: Box
    folder: str
    """the box's on disk"""
    pid: int = 0
    plan: dict[str, Any] = field(default_factory=dict)
    """how it was made"""
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)
    """kind -> the box's and the host's, as readlink gives them"""
    uid_map: list[str] = field(default_factory=list)
    gid_map: list[str] = field(default_factory=list)
    mounts: list[MountLine] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    """/proc/PID/status"""
    processes: list[Proc] = field(default_factory=list)
    cgroup: list[Value] = field(default_factory=list)
    limits: dict[str, tuple[str, str]] = field(default_factory=dict)
    """/proc/PID/limits: soft and hard"""
    interfaces: list[str] = field(default_factory=list)
    """that the box's processes see"""
    networks: list[Network] = field(default_factory=list)
    """that the box is on"""
    masters: dict[str, str] = field(default_factory=dict)
    """the host's end of each connection that exists, and the bridge that it hangs on"""
    way_out: str = ""
    """the host's interface with the default route"""
    refused: tuple[list[str], list[str]] = ([], [])
    """system calls that the filter refuses, and those that it refuses in part"""


def look(
    box: Box,
    paths: Paths,
    pids: Sequence[int],
    group: Cgroup | None,
    networks: Sequence[Network] = (),
) -> Seen:
    """Look at the box; `pids` are its processes, none if it does not run."""
    folder = paths.box(box.id)
    if not pids or not box.pid:
        return Seen(box, folder)
    pid = box.pid
    own = f"/proc/{pid}"
    plan = _plan(paths.box_run(box.id))
    return Seen(
        box=box,
        folder=folder,
        pid=pid,
        plan=plan,
        namespaces=_namespaces(own),
        uid_map=_lines(own + "/uid_map"),
        gid_map=_lines(own + "/gid_map"),
        mounts=[mount_line(text) for text in _lines(own + "/mountinfo")],
        status=_status(own),
        processes=_processes(pids),
        cgroup=_cgroup(group, box),
        limits=_limits(own),
        interfaces=_interfaces(own),
        networks=list(networks),
        masters=_masters(box),
        way_out=_way_out(),
        refused=_refused(plan),
    )


def mount_line(text: str) -> MountLine:
    """Parse one line; blanks in paths are octal escapes there (getmntent(3))."""
    before, _, after = text.partition(" - ")
    number, _, device, root, target, options, *_ = before.split(" ")
    kind, source, super_options, *_ = [*after.split(" "), "", ""]
    root, target = _unescaped(root), _unescaped(target)
    return MountLine(int(number), device, root, target, options, kind, source, super_options)


def _unescaped(path: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


def _read(path: str, size: int = 1 << 20) -> str:
    with open(path, "rb") as file:
        return file.read(size).decode("utf-8", "replace")


def _lines(path: str) -> list[str]:
    try:
        return _read(path).splitlines()
    except OSError:
        return []


def _plan(run: str) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(_read(run + "/plan.json"))
    except (OSError, ValueError):
        return {}
    return plan


def _refused(plan: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the profile refuses; the kernel does not tell what is in a filter."""
    for step in plan.get("steps", ()):
        if step["do"] == "seccomp":
            with contextlib.suppress(OSError, ValueError, seccomp.ProfileError):
                profile = json.loads(_read(step["profile"]))
                return seccomp.refused(profile, step["capabilities"], syscalls.ARCH)
    return [], []


def _namespaces(own: str) -> dict[str, tuple[str, str]]:
    found = {}
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            found[kind] = os.readlink(f"{own}/ns/{kind}"), os.readlink(f"/proc/self/ns/{kind}")
    return found


def _status(own: str) -> dict[str, str]:
    pairs = (text.partition(":") for text in _lines(own + "/status"))
    return {name: value.strip() for name, _, value in pairs}


def _processes(pids: Sequence[int]) -> list[Proc]:
    found = []
    for pid in sorted(pids):
        status = _status(f"/proc/{pid}")
        if status:
            command = " ".join(_lines(f"/proc/{pid}/cmdline")).rstrip("\0").replace("\0", " ")
            found.append(Proc(
                pid=pid,
                ppid=int(status.get("PPid", 0)),
                inside=int(status.get("NSpid", "0").split()[-1]),
                command=command[:_VALUE] or f"[{status.get('Name', '?')}]",
            ))  # fmt: skip
    return found


def _cgroup(group: Cgroup | None, box: Box) -> list[Value]:
    found = []
    for file in group.files(box.spec.limits) if group is not None else ():
        with contextlib.suppress(OSError):
            found.append(Value(file, _read(file.path, _VALUE).strip()))
    return found


def _limits(own: str) -> dict[str, tuple[str, str]]:
    """The table of /proc/PID/limits: a name of 26 columns, then soft, hard, unit."""
    found = {}
    for text in _lines(own + "/limits")[1:]:
        soft, hard, *_ = [*text[26:].split(), "", ""]
        found[text[:26].strip()] = soft, hard
    return found


def _interfaces(own: str) -> list[str]:
    """The network interfaces that the box's processes see."""
    return [text.partition(":")[0].strip() for text in _lines(own + "/net/dev")[2:]]


def _masters(box: Box) -> dict[str, str]:
    found = {}
    for endpoint in box.networks:
        link = f"/sys/class/net/{endpoint.host_interface}"
        if endpoint.host_interface and os.path.exists(link):
            try:
                found[endpoint.host_interface] = os.path.basename(os.readlink(link + "/master"))
            except OSError:
                found[endpoint.host_interface] = ""
    return found


def _way_out() -> str:
    """The interface of the default route, proc_net_route: the destination is all zeros."""
    for text in _lines("/proc/net/route")[1:]:
        name, destination, *_ = text.split()
        if destination == "00000000":
            return name
    return ""
