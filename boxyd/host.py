"""What this machine can do for boxes, and one sentence for each thing that it cannot.

Constraint: cheap (a few small files and calls that fail on purpose), no side effects.  The
facts are plain data, so that plans can be built and tested for machines that are not this one.
"""

from __future__ import annotations

import os
import platform
import resource

import msgspec

from boxyd.runtime import seccomp
from boxyd.runtime import syscalls as sys_

OLDEST = (5, 12)
"""mount_setattr(2), without which a box cannot be made at all"""
IDMAP_OVERLAY = (5, 19)
"""overlayfs takes id-mapped layers"""
FD_LAYERS = (6, 15)
"""overlayfs takes layers as descriptors of detached mounts"""
NOFILE = 1 << 20
"""open files that a box may have where the host allows it"""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One machine's abilities."""

    kernel: tuple[int, int]
    release: str
    arch: str
    problems: list[str] = []
    """why no box can run here, one sentence each"""
    notices: list[str] = []
    """what boxes have to do without here, one sentence each"""
    id_maps: bool = True
    """boxes can have user namespaces over id-mapped layers"""
    fd_layers: bool = True
    """layers need no path"""
    seccomp: bool = True
    namespaces: tuple[str, ...] = ("user", "mount", "pid", "ipc", "uts", "net", "cgroup")
    nofile: int = NOFILE
    """open files that a box may have"""
    cgroup_mount: str = "/sys/fs/cgroup"
    time_namespaces: bool = True
    devices: tuple[str, ...] = ()
    """of those that a privileged box is given, the ones that are here"""
    project_quota: bool = False
    """the file system of the boxes counts and limits what each writes"""

    @property
    def features(self) -> dict[str, bool]:
        """For people: what there is and what not."""
        return {
            "user namespaces": "user" in self.namespaces,
            "id-mapped layers": self.id_maps,
            "layers by descriptor": self.fd_layers,
            "seccomp": self.seccomp,
            "cgroup namespaces": "cgroup" in self.namespaces,
            "time namespaces": self.time_namespaces,
            "disk limits": self.project_quota,
        }


_FILES = {
    "mount": "mnt", "user": "user", "pid": "pid", "ipc": "ipc", "uts": "uts", "net": "net",
    "cgroup": "cgroup",
}  # fmt: skip
_CALLS = {
    "clone3": (5, 3), "open_tree": (5, 2), "move_mount": (5, 2), "fsopen": (5, 2),
    "mount_setattr": (5, 12), "openat2": (5, 6), "close_range": (5, 9),
}  # fmt: skip


def version(release: str) -> tuple[int, int]:
    """(6, 18) from "6.18.44-fc"; (0, 0) for what is no version."""
    parts = release.split(".")
    numbers = ["".join(c for c in part.partition("-")[0] if c.isdigit()) for part in parts[:2]]
    if len(numbers) < 2 or not all(numbers):
        return 0, 0
    return int(numbers[0]), int(numbers[1])


def probe(proc: str = "/proc") -> HostFacts:
    """Look at this machine."""
    release, arch = os.uname().release, platform.machine()
    kernel = version(release)
    namespaces = [n for n, f in _FILES.items() if os.path.exists(f"{proc}/self/ns/{f}")]
    if _number(f"{proc}/sys/user/max_user_namespaces", 1) == 0 and "user" in namespaces:
        namespaces.remove("user")
    id_maps = "user" in namespaces and kernel >= IDMAP_OVERLAY
    filters = os.path.exists(f"{proc}/sys/kernel/seccomp") and arch in seccomp.AUDIT_ARCH
    nofile = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return HostFacts(
        kernel=kernel,
        release=release,
        arch=arch,
        problems=_problems(proc, kernel, arch, namespaces),
        notices=_notices(kernel, namespaces, id_maps, filters, nofile),
        id_maps=id_maps,
        fd_layers=kernel >= FD_LAYERS,
        seccomp=filters,
        namespaces=tuple(namespaces),
        nofile=NOFILE if nofile == resource.RLIM_INFINITY else min(nofile, NOFILE),
        time_namespaces=os.path.exists(f"{proc}/self/timens_offsets"),
        devices=tuple(path for path in ("/dev/fuse", "/dev/net/tun") if os.path.exists(path)),
    )


def _problems(proc: str, kernel: tuple[int, int], arch: str, namespaces: list[str]) -> list[str]:
    found: list[str] = []
    if os.geteuid() != 0:
        found.append("boxyd is not root; start it with sudo.")
    if arch not in seccomp.AUDIT_ARCH:
        found.append(f"Boxy knows x86_64 and aarch64, this machine is {arch}.")
    if kernel < OLDEST:
        text = f"Linux {kernel[0]}.{kernel[1]} is too old; boxes need 5.12, better 6.15."
        found.append(text)
    else:
        hidden = [name for name in _CALLS if not sys_.exists(name)]
        if hidden:
            names = ", ".join(hidden)
            found.append(f"This kernel or a sandbox around boxyd refuses the calls {names}.")
    if not _has_overlay(proc):
        found.append("This kernel has no overlayfs; try: modprobe overlay.")
    missing = [name for name in ("mount", "pid", "ipc", "uts", "net") if name not in namespaces]
    if missing:
        found.append(f"This kernel was built without {', '.join(missing)} namespaces.")
    return found


def _notices(
    kernel: tuple[int, int], namespaces: list[str], id_maps: bool, filters: bool, nofile: int
) -> list[str]:
    found: list[str] = []
    if "user" not in namespaces:
        found.append(
            "There are no user namespaces here (user.max_user_namespaces is 0 or the kernel "
            "lacks them): root in a box is root outside, held by capabilities and seccomp only."
        )
    elif not id_maps:
        found.append(
            f"Linux {kernel[0]}.{kernel[1]} cannot map the ids of overlay layers (5.19 can): "
            "root in a box is root outside, held by capabilities and seccomp only."
        )
    if not filters:
        found.append("This kernel has no seccomp filters: boxes may use every system call.")
    if "cgroup" not in namespaces:
        found.append("There are no cgroup namespaces here: boxes see the host's cgroup names.")
    if nofile < NOFILE:
        found.append(f"The limit of open files is {nofile} here: boxes cannot have more.")
    return found


def _has_overlay(proc: str) -> bool:
    try:
        with open(f"{proc}/filesystems", encoding="ascii") as file:
            if any(line.split()[-1] == "overlay" for line in file if line.strip()):
                return True
    except OSError:
        return False
    return os.path.exists(f"/lib/modules/{os.uname().release}/kernel/fs/overlayfs")


def _number(path: str, default: int) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return default
