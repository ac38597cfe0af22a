"""Sockets that are bound and do not listen: they have a port, and /proc/net/tcp does not say so.

Constraint: blocks, for a moment.  Linux tells of them since 6.8; before, of none.
Source: sock_diag(7), linux/inet_diag.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import NamedTuple

from boxyd.network.netlink import DUMP, Socket

_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_BOUND = 1 << 13  # TCPF_BOUND_INACTIVE
_REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2
_PORT, _ADDRESS, _INODE = 4, 8, 68
"""where they lie in struct inet_diag_msg, of 72 bytes"""


class Bound(NamedTuple):
    """A bound socket."""

    address: str
    port: int
    inode: str


class _Diag(Socket):
    FAMILY = 4  # NETLINK_SOCK_DIAG


def bound_tcp() -> list[Bound]:
    """The TCP sockets of this network namespace that are bound and nothing else.

    Raises OSError where the kernel tells of no sockets (tcp_diag is missing).
    """
    found = []
    with _Diag() as link:
        for family, length in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
            asked = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _BOUND)
            for _, body in link.ask(_BY_FAMILY, DUMP, asked):
                if len(body) >= _INODE + 4:
                    address = ipaddress.ip_address(body[_ADDRESS : _ADDRESS + length])
                    port = int.from_bytes(body[_PORT : _PORT + 2], "big")
                    inode = struct.unpack_from("=I", body, _INODE)[0]
                    found.append(Bound(str(address), port, str(inode)))
    return found
