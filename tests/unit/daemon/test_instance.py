"""Locks, the socket, and the word with systemd."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from boxy_core import systemd
from boxy_core.errors import BoxyError, Conflict, Denied, InvalidRequest
from boxy_core.paths import Paths
from boxyd import instance


def paths_in(folder: Path, root: str = "r", run: str = "run", sock: str = "s") -> Paths:
    return Paths(str(folder / root), str(folder / run), str(folder / sock), (), "boxy/t")


def test_folders_have_their_modes_whatever_they_had_before(tmp_path: Path) -> None:
    paths = paths_in(tmp_path)
    (tmp_path / "r").mkdir(mode=0o755)
    instance.make_folders(paths)
    modes = {p: stat.S_IMODE(os.stat(tmp_path / p).st_mode) for p in ("r", "r/boxes", "run")}
    assert modes == {"r": 0o700, "r/boxes": 0o700, "run": 0o711}
    instance.make_folders(paths)


def test_a_folder_that_cannot_be_made_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("a file")
    with pytest.raises(Denied) as caught:
        instance.make_folders(paths_in(tmp_path))
    assert str(tmp_path / "r") in caught.value.message
    assert "--root" in caught.value.hint


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"run": "run2", "sock": "s2"}, "root folder"),
        ({"root": "r2", "sock": "s2"}, "run folder"),
        ({"root": "r2", "run": "run2"}, "socket"),
    ],
)
def test_no_two_daemons_share_root_run_or_socket(
    tmp_path: Path, other: dict[str, str], named: str
) -> None:
    first, second = paths_in(tmp_path), paths_in(tmp_path, **other)
    for paths in (first, second):
        instance.make_folders(paths)
    held = instance.Locks(first)
    with pytest.raises(Conflict) as caught:
        instance.Locks(second)
    assert named in caught.value.message
    assert f"pid {os.getpid()}" in caught.value.message
    held.release()
    instance.Locks(second).release()


def test_two_daemons_with_nothing_in_common_live_side_by_side(tmp_path: Path) -> None:
    first, second = paths_in(tmp_path), paths_in(tmp_path, "r2", "run2", "s2")
    for paths in (first, second):
        instance.make_folders(paths)
    locks = [instance.Locks(first), instance.Locks(second)]
    for lock in locks:
        lock.release()


def test_the_socket_is_for_its_owner_and_group_only_and_a_stale_one_is_replaced(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "s")
    instance.listen(path).close()
    with instance.listen(path) as sock:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert os.stat(path).st_uid == os.geteuid()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
        assert not sock.get_inheritable()


@pytest.mark.parametrize(
    ("name", "group", "error"),
    [
        ("x" * 200, "", InvalidRequest),
        ("file", "", InvalidRequest),
        ("none/s", "", Denied),
        ("s", "no-such-group-here", InvalidRequest),
    ],
)
def test_a_socket_that_cannot_be_is_one_sentence_and_what_to_do(
    tmp_path: Path, name: str, group: str, error: type[BoxyError]
) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(error) as caught:
        instance.listen(str(tmp_path / name), group)
    assert caught.value.hint
    assert (tmp_path / "file").read_text() == "precious"


def test_systemd_is_told_at_either_kind_of_address(tmp_path: Path) -> None:
    for address in (str(tmp_path / "n"), f"@boxy-test-{os.getpid()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(address.replace("@", "\0"))
            systemd.notify({"NOTIFY_SOCKET": address}, "READY=1")
            assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/n"])
def test_without_systemd_nothing_is_told(address: str) -> None:
    systemd.notify({"NOTIFY_SOCKET": address}, "READY=1")


def test_sockets_that_were_passed_to_another_process_are_not_ours() -> None:
    assert instance.passed_socket({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None
    assert instance.passed_socket({}) is None
    assert instance.passed_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}) is None
    with pytest.raises(InvalidRequest):
        instance.passed_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
