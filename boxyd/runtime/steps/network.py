"""Steps for the box's network, which the daemon makes while the box makes the rest."""

from __future__ import annotations

import errno
import os

from boxyd.runtime import netns
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps.base import QUIET, Host, Inside, Step, new_filesystem


class Network(Step):
    """The daemon connects the box to networks; the command waits until it has."""

    do = "network"
    networks: list[str]
    _sock: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        return f"wait until the daemon has connected the box to {', '.join(self.networks)}"

    def prepare(self, host: Host) -> None:
        """Hand the socket down."""
        self._sock = host.network

    def apply(self, inside: Inside) -> None:
        """Read one word; the end of the connection is the end of the daemon."""
        if self._sock < 0:
            raise OSError(errno.ENETDOWN, "no daemon is there to connect the box")
        word = os.read(self._sock, 4096)
        if word != b"ok":
            text = word[1:].decode(errors="replace") or "the daemon ended meanwhile"
            raise OSError(errno.ENETDOWN, text)


class JoinedSysfs(Step):
    """/sys of the network that the box shares with another one, read-only.

    The shim mounts it, as the host's root in that network namespace: the box's own root is not
    the one whom that namespace belongs to.
    """

    do = "joined_sysfs"
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        return "show a /sys of the network that it shares, read-only"

    def prepare(self, host: Host) -> None:
        """Mount it, from within that network namespace."""
        with netns.entered(host.netns):
            self._mount = host.keep(new_filesystem("sysfs", QUIET | sys_.MOUNT_ATTR_RDONLY))

    def apply(self, inside: Inside) -> None:
        """Attach it."""
        inside.attach_own(os.dup(self._mount), "/sys")
