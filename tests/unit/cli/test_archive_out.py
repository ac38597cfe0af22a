"""A file that a command writes is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxy_cli.archive_out import write_archive
from boxy_core.errors import DaemonUnreachable, InvalidRequest


def test_an_archive_replaces_what_had_its_name(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_bytes(b"old")
    write_archive(str(target), iter([b"new", b"", b" bytes"]))
    assert target.read_bytes() == b"new bytes"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_stream_that_breaks_off_leaves_the_old_archive_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_bytes(b"old")

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise DaemonUnreachable("the daemon is gone")

    with pytest.raises(DaemonUnreachable):
        write_archive(str(target), broken())
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tar"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    target = str(tmp_path / "none" / "a.tar")
    with pytest.raises(InvalidRequest, match=f"{target} cannot be written: No such file"):
        write_archive(target, iter([b"bytes"]))
