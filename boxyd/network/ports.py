"""Ports of the host that lead to boxes: chosen, held, and who has one that is taken.

Constraint: nftables sends packets on before any socket sees them, so a published port needs no
listener; but a host's program could take the same port and would wait for ever.  So each is
held by a bound socket that does not listen.  The box's shim keeps it (see `boxyd.runtime.held`),
so that it outlives the daemon.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable

from boxy_core.errors import Conflict, Denied, InvalidRequest
from boxy_core.models_network import Port, Published
from boxyd.network import sockdiag

LOOPBACK = "127.0.0.1"
WIDE = ("0.0.0.0", "::")
_ATTEMPTS = 64
_TABLES = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}


def check(ports: Iterable[Port]) -> None:
    """Raises InvalidRequest for a port that no packet can have, or one given twice."""
    seen: set[tuple[str, str, int]] = set()
    for port in ports:
        if not 1 <= port.box <= 65535 or not 0 <= port.host <= 65535:
            raise InvalidRequest(
                f"a port cannot be {port.host}:{port.box}", hint="ports are 1 to 65535"
            )
        if port.protocol not in _TABLES:
            raise InvalidRequest(
                f"a port's protocol cannot be {port.protocol[:20]!r}", hint="it is tcp or udp"
            )
        check_address(port.address)
        key = (port.protocol, port.address, port.host)
        if port.host and key in seen:
            raise InvalidRequest(
                f"the host's port {port.host}/{port.protocol} is asked for twice",
                hint="one port of the host leads to one port of a box",
            )
        seen.add(key)


def check_address(text: str) -> None:
    """Raises InvalidRequest unless it is "", or an address that a host can have."""
    if not text:
        return
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(
            f"ports cannot be published on {text[:60]!r}", hint="it is an IP address of this host"
        ) from None
    if address.is_multicast:
        raise InvalidRequest(
            f"{text} is no address of a host", hint="ip -br addr lists this machine's addresses"
        )
    if address == ipaddress.IPv6Address("::1"):
        raise InvalidRequest(
            "ports cannot be published on ::1: the kernel routes nothing from there to a box",
            hint="use 127.0.0.1, or [::] with a firewall of your own",
        )


def hold(port: Port, address: str, others: Iterable[tuple[str, Published]]) -> socket.socket:
    """A socket bound to the port; a free one if `port.host` is 0.

    `others` are the published ports of boxes, each with its box's name.  Raises Conflict saying
    who has it, InvalidRequest for an address that is not this host's, Denied.
    """
    taken = list(others)
    if port.host and (known := _box_holding(port.host, port.protocol, address, taken)):
        raise _taken(port.host, port.protocol, f"box {known} publishes it")
    for _ in range(_ATTEMPTS):
        sock = _bind(port, address)
        number = sock.getsockname()[1]
        if port.host or _box_holding(number, port.protocol, address, taken) is None:
            return sock
        sock.close()
    raise Conflict("no port of the host is free", hint="name one: -p 8080:80")


def _bind(port: Port, address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port.host))
    except OSError as error:
        sock.close()
        raise _not_bound(port, address, error) from None
    if port.protocol == "udp":
        # A bound UDP socket receives: what slips past the rules must not fill memory.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    return sock


def _not_bound(port: Port, address: str, error: OSError) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return _taken(port.host, port.protocol, holder(port.host, port.protocol, address))
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidRequest(
            f"this host has no address {address}", hint="`ip address` shows which it has"
        )
    return Denied(
        f"port {port.host} of {address} cannot be published: {error.strerror}",
        hint="choose a port above 1023, or an address of this machine",
    )


def _taken(number: int, protocol: str, who: str) -> Conflict:
    return Conflict(
        f"port {number}/{protocol} of the host is taken: {who}",
        hint="take another, or name the box's port only and have a free one chosen",
    )


def _box_holding(
    number: int, protocol: str, address: str, others: Iterable[tuple[str, Published]]
) -> str | None:
    for name, port in others:
        if (port.host, port.protocol) == (number, protocol) and _meet(port.address, address):
            return name
    return None


def _meet(one: str, other: str) -> bool:
    """Whether two addresses of the host share packets."""
    if (":" in one) != (":" in other):
        return False
    return one == other or one in WIDE or other in WIDE


# ------------------------------------------------------------------------ who has it


def holder(number: int, protocol: str, address: str, proc: str = "/proc") -> str:
    """Who has the port, in words: "process nginx (pid 812) listens on it"."""
    inodes = _inodes(number, protocol, address, proc) or _bound(number, protocol, address)
    if found := _process_with(inodes, proc):
        pid, name = found
        return f"process {name} (pid {pid}) has it"
    return "another program has it"


def _inodes(number: int, protocol: str, address: str, proc: str) -> set[str]:
    """The inodes of sockets on that port (proc(5), net/tcp)."""
    found = set()
    for table in _TABLES[protocol]:
        try:
            with open(f"{proc}/net/{table}", encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        for row in rows:
            host, _, port = row[1].partition(":")
            has_it = protocol == "udp" or row[3] in ("0A", "07")
            if int(port, 16) == number and has_it and _shares(_decoded(host), address):
                found.add(row[9])
    return found - {"0"}


def _bound(number: int, protocol: str, address: str) -> set[str]:
    """The inodes of sockets that have the port without listening, as our own shims'."""
    try:
        found = sockdiag.bound_tcp() if protocol == "tcp" else []
    except OSError:
        return set()
    return {one.inode for one in found if one.port == number and _shares(one.address, address)}


def _shares(bound: str, address: str) -> bool:
    return bound == address or bound in WIDE or address in WIDE


def _decoded(text: str) -> str:
    """An address as /proc/net writes it: words of the host's byte order."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return str(ipaddress.ip_address(packed))


def _process_with(inodes: set[str], proc: str) -> tuple[int, str] | None:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for pid in (name for name in os.listdir(proc) if name.isdigit()):
        try:
            for fd in os.listdir(f"{proc}/{pid}/fd"):
                if os.readlink(f"{proc}/{pid}/fd/{fd}") in wanted:
                    with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
                        return int(pid), file.read().strip()
        except OSError:
            continue
    return None
