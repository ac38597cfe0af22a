"""Who may ask: root, whoever runs the daemon, and members of the socket's group.

Constraint: the kernel's word counts (SO_PEERCRED, SO_PEERGROUPS; unix(7), socket(7)), not that
somebody could open the file: its mode can be wrong, or a box be given it as a volume, where its
root passes every check of modes and is nobody by his credentials.
"""

from __future__ import annotations

import asyncio
import grp
import os
import socket
import stat
import struct

from boxy_core.errors import Denied
from boxyd.hijack import Peer

_SO_PEERGROUPS = 59
_MOST_GROUPS = 256  # as many as fit into the 1024 bytes that socket.getsockopt() has room for


class Admission:
    """The rule for one listening socket; `group` -1: nobody but root."""

    def __init__(self, path: str) -> None:
        self.group = -1
        try:
            info = os.stat(path)
        except OSError:
            return
        if info.st_mode & stat.S_IWGRP:
            self.group = info.st_gid

    def check(self, transport: asyncio.BaseTransport | None, peer: Peer) -> None:
        """Raises Denied for who may not ask (or is gone), in one sentence."""
        if peer.uid in (0, os.geteuid()):
            return
        if self.group >= 0 and self.group in (peer.gid, *_groups(transport)):
            return
        raise Denied(
            f"the user {peer.uid} may not use this daemon", hint=self._hint(), uid=peer.uid
        )

    def _hint(self) -> str:
        if self.group <= 0:
            return "only root may: use sudo, or give the socket a group (--socket-group)"
        try:
            name = grp.getgrgid(self.group).gr_name
        except KeyError:
            name = str(self.group)
        return f"root may, and members of the group {name}: who is in it can become root"


def _groups(transport: asyncio.BaseTransport | None) -> tuple[int, ...]:
    """The supplementary groups of the other end."""
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None:
        return ()
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:  # not a Unix socket, or somebody in more groups than we can ask for
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)
