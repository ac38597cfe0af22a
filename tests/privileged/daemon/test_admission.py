"""Who may use the daemon's socket: its group's members are known by the kernel's word."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boxy_core.errors import Denied
from boxyd.admission import Admission
from boxyd.hijack import Peer

GROUP, NOBODY = 43_210, 65_534


class Transport:
    """As much of a transport as is asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def get_extra_info(self, _: str) -> socket.socket:
        return self._sock


@contextmanager
def connection(groups: list[int]) -> Iterator[Any]:
    """A connection from a user who is nobody, in these groups."""
    name = "boxy-test-" + secrets.token_hex(8)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            _connect_as_nobody(groups, "\0" + name, ours, theirs)
        try:
            sock, _ = listener.accept()
            with sock:
                yield Transport(sock)
        finally:
            os.close(ours)
            os.close(theirs)
            os.waitpid(pid, 0)


def _connect_as_nobody(groups: list[int], address: str, ours: int, theirs: int) -> None:
    """In a child: connect, and stay until the other side is done."""
    os.close(theirs)
    os.setgroups(groups)
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(address)
        os.read(ours, 1)
    os._exit(0)


@pytest.fixture
def admission(tmp_path: Path) -> Admission:
    path = tmp_path / "boxyd.sock"
    path.touch()
    os.chown(path, 0, GROUP)
    path.chmod(0o660)
    return Admission(str(path))


def test_a_member_of_the_sockets_group_is_let_in(admission: Admission) -> None:
    with connection([1, GROUP]) as transport:
        admission.check(transport, Peer(1, NOBODY, NOBODY))


def test_whoever_is_not_in_it_is_told_which_group_that_is(admission: Admission) -> None:
    with connection([1]) as transport, pytest.raises(Denied) as caught:
        admission.check(transport, Peer(1, NOBODY, NOBODY))
    assert str(GROUP) in caught.value.hint
