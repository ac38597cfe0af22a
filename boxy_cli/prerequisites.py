"""What a machine must offer before Boxy can make a box on it.

Reading the machine (`Host.read`) and judging it (`missing`) are apart, so that every sentence
can be tested anywhere. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from boxy_core.paths import as_root, beside

CAP_SYS_ADMIN = 21  # capabilities(7)
ID_MAPPED_MOUNTS = (5, 12)  # mount_setattr(2)
ID_MAPPED_OVERLAY = (5, 19)  # overlayfs on id-mapped layers
USERNS_LIMIT = Path("/proc/sys/user/max_user_namespaces")


@dataclass(frozen=True)
class Host:
    """The facts about a machine that decide whether boxes can run on it."""

    uid: int
    capabilities: int  # effective set, as the mask in /proc/self/status
    kernel: str  # as `uname -r` says it
    filesystems: str  # the text of /proc/filesystems
    mounts: str  # the text of /proc/self/mounts
    user_namespaces: int  # how many may exist; 0 where the kernel has none

    @classmethod
    def read(cls) -> Host:
        """This machine. Loads the overlay module where that is still to be done."""
        status = Path("/proc/self/status").read_text()
        mask = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
        try:
            user_namespaces = int(USERNS_LIMIT.read_text())
        except FileNotFoundError:
            user_namespaces = 0
        return cls(
            uid=os.geteuid(),
            capabilities=int(mask[1], 16) if mask else 0,
            kernel=os.uname().release,
            filesystems=_filesystems(),
            mounts=Path("/proc/self/mounts").read_text(),
            user_namespaces=user_namespaces,
        )

    @property
    def kernel_version(self) -> tuple[int, int]:
        """Major and minor number; (0, 0) for a release that has none."""
        numbers = re.match(r"(\d+)\.(\d+)", self.kernel)
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    def has_filesystem(self, name: str) -> bool:
        """Whether the kernel can mount file systems of this type."""
        return name in self.filesystems.split()

    def has_cgroups(self) -> bool:
        """Whether a cgroup hierarchy is mounted and writable: v2, or v1 with pids or memory."""
        for line in self.mounts.splitlines():
            _, _, kind, options, *_ = line.split(" ")
            flags = set(options.split(","))
            if "rw" in flags and (kind == "cgroup2" or (kind == "cgroup" and flags & _V1_NEEDED)):
                return True
        return False


_V1_NEEDED = {"pids", "memory"}


def _filesystems() -> str:
    """/proc/filesystems, after a try to load overlayfs where it is a module not yet loaded."""
    table = Path("/proc/filesystems")
    if "overlay" not in table.read_text().split() and os.geteuid() == 0:
        # No modprobe on this machine is no news: the answer below says what is missing.
        with contextlib.suppress(OSError):
            subprocess.run(["modprobe", "-q", "overlay"], check=False, capture_output=True)
    return table.read_text()


def missing(host: Host) -> list[str]:
    """One sentence, with what to do, for each thing that keeps boxes from running; [] is well."""
    if host.uid != 0:
        make, daemon = as_root("make run"), as_root(beside("boxyd"))
        return [f"Boxy's daemon must run as root to make boxes; say: {make} (or {daemon})."]
    found = []
    if not host.capabilities >> CAP_SYS_ADMIN & 1:
        found.append(
            "This root may not mount or make namespaces (CAP_SYS_ADMIN is missing, as inside a "
            "container); run Boxy on the machine itself, or give the container --privileged."
        )
    if host.kernel_version < ID_MAPPED_MOUNTS:
        found.append(
            f"Linux {host.kernel} is too old, Boxy needs 5.12 for id-mapped mounts (5.19 is "
            "better); boot a newer kernel (Debian 12 and Ubuntu 22.04 ship one)."
        )
    if not host.has_filesystem("overlay"):
        found.append(
            "This kernel has no overlayfs, which keeps a box's changes apart from its image; load "
            "it with: modprobe overlay, or boot a kernel with CONFIG_OVERLAY_FS."
        )
    if not host.has_cgroups():
        found.append(
            "No writable cgroup hierarchy is mounted, so nothing could be limited or measured; "
            "mount one with: mount -t cgroup2 cgroup2 /sys/fs/cgroup."
        )
    if host.user_namespaces == 0:
        found.append(
            "User namespaces are off on this machine; allow them with: sysctl "
            "user.max_user_namespaces=65536 (or boot a kernel with CONFIG_USER_NS)."
        )
    return found


def degraded(host: Host) -> list[str]:
    """One sentence for each thing that works, but less well than it could on a newer machine."""
    if ID_MAPPED_MOUNTS <= host.kernel_version < ID_MAPPED_OVERLAY:
        sentence = (
            f"Linux {host.kernel} cannot id-map overlay layers (5.19 can), so images are "
            "prepared a slower way; nothing else changes."
        )
        return [sentence]
    return []
