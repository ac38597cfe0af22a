"""The shim and network namespaces: lending one to a new process, telling of one.

Constraint: the shim itself always comes back to the host's.
"""

from __future__ import annotations

import os
import socket

from boxyd.runtime import report
from boxyd.runtime import syscalls as sys_

HOME = "/proc/self/ns/net"


class entered:  # noqa: N801 - reads as a phrase
    """Within the block this process is in the namespace of the fd; -1: where it was.

    Raises OSError.  A process made within stays there.
    """

    __slots__ = ("_fd", "_home")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._home = -1

    def __enter__(self) -> None:
        if self._fd >= 0:
            self._home = os.open(HOME, os.O_RDONLY | os.O_CLOEXEC)
            sys_.setns(self._fd, sys_.CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        if self._home >= 0:
            sys_.setns(self._home, sys_.CLONE_NEWNET)
            os.close(self._home)
            self._home = -1

    def forget(self) -> None:
        """In a process that stays: there is no way back."""
        if self._home >= 0:
            os.close(self._home)
            self._home = -1


def tell(sock: int, pid: int) -> None:
    """Send the network namespace of the process to whoever connects it.  Raises OSError."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with socket.socket(fileno=os.dup(sock)) as link:
            report.send(link, b"net", [fd])
    finally:
        os.close(fd)
