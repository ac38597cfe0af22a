"""Sockets that a shim keeps."""

from __future__ import annotations

import os

import pytest

from boxy_core.errors import InvalidRequest
from boxyd.runtime.held import Held


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_what_is_held_is_open_until_it_is_let_go() -> None:
    held, fds = Held(), [*os.pipe(), *os.pipe()]
    mine = list(fds)
    held.hold(["a", "b", "c", "d"], fds)
    assert fds == []
    assert held.names() == ["a", "b", "c", "d"]
    held.let_go(["a", "nosuch"])
    assert [is_open(fd) for fd in mine] == [False, True, True, True]
    again, other = os.pipe()
    held.hold(["b"], [again])
    assert not is_open(mine[1])
    held.let_go(held.names())
    assert not any(map(is_open, [*mine, again]))
    os.close(other)


def test_names_and_sockets_must_match() -> None:
    with pytest.raises(InvalidRequest):
        Held().hold(["a"], [])
