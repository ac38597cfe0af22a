"""Ports that a server of a test can listen on, stop, and listen on again.

One that the kernel picks (port 0) is free only until somebody else asks: a connection that goes
out, of another test, takes a port of the same range.  So these lie below that range, and each
test process (xdist's, and every run of its own) goes through a part of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from pathlib import Path

_FIRST = 15_000
_PARTS = 16
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_numbers = itertools.count(random.randrange(1 << 16))


def _range() -> tuple[int, int]:
    """The first of this process's ports, and how many it has."""
    last = min(int(_OUTGOING.read_text().split()[0]), 32_768)
    if last < _FIRST + 100 * _PARTS:  # this host's range begins so low that none is out of its way
        last = 32_768
    size = (last - _FIRST) // _PARTS
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return _FIRST + int(worker) % _PARTS * size, size


def free_port() -> int:
    """A port of the loopback interface that nobody has, nor gets by chance."""
    first, size = _range()
    for number in itertools.islice(_numbers, size):
        port = first + number % size
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LookupError("every port of this test process is taken")
