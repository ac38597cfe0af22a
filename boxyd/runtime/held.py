"""Sockets that a shim keeps for as long as its box lives: the host's ports that lead to it.

They are bound and do not listen, so that no other program takes a port which the rules send to
the box.  The shim keeps them because it is what lives as long as the box: the daemon may end.
"""

from __future__ import annotations

import os

from boxy_core.errors import InvalidRequest

MOST = 4096


class Held:
    """Descriptors by name."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def hold(self, names: list[str], fds: list[int]) -> None:
        """Take as many descriptors as there are names.  Raises InvalidRequest."""
        if len(names) != len(fds) or len(self._fds) + len(names) > MOST:
            raise InvalidRequest("names and sockets do not match")
        for name in names:
            self.let_go([name])
            self._fds[str(name)] = fds.pop(0)

    def let_go(self, names: list[str]) -> None:
        """Close those of these names."""
        for name in names:
            fd = self._fds.pop(str(name), -1)
            if fd >= 0:
                os.close(fd)

    def names(self) -> list[str]:
        """What is held."""
        return sorted(self._fds)
