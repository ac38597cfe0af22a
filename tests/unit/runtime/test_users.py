"""Users and groups from files that an image brings, so hostile ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyd.runtime import users

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
# a comment: is:no:record
broken:x:zero:0::/:/bin/sh
huge:x:99999999999:0::/:/bin/sh
alice:x:1000:100:Alice:/home/alice:/bin/sh
1000:x:4242:4242:named like a number:/odd:/bin/sh
homeless:x:1001:1001:::/bin/sh
"""
GROUP = """\
root:x:0:root
users:x:100:
wheel:x:10:root,alice
audio:x:29:bob,alice
bad:x:nan:alice
5:x:55:
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "passwd").write_text(PASSWD)
    (tmp_path / "group").write_text(GROUP)
    return str(tmp_path / "passwd"), str(tmp_path / "group")


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, [0], "/root"),
        ("root", 0, 0, [0, 10], "/root"),
        ("alice", 1000, 100, [10, 29], "/home/alice"),
        ("0", 0, 0, [0, 10], "/root"),
        ("1000", 4242, 4242, [], "/odd"),
        ("7", 7, 0, [], "/"),
        ("alice:audio", 1000, 29, [], "/home/alice"),
        ("alice:77", 1000, 77, [], "/home/alice"),
        ("7:5", 7, 55, [], "/"),
        ("homeless", 1001, 1001, [], "/"),
        ("4294967294:4294967294", 4294967294, 4294967294, [], "/"),
    ],
)
def test_a_user_is_found(
    files: tuple[str, str], text: str, uid: int, gid: int, groups: list[int], home: str
) -> None:
    user = users.resolve(text, *files)
    if text == "":
        groups = [0, 10]
    assert (user.uid, user.gid, user.groups, user.home) == (uid, gid, groups, home)


@pytest.mark.parametrize("text", ["bob", "broken", "huge", "alice:nobody", "4294967295", "-1", "²"])
def test_one_who_is_not_there_is_named(files: tuple[str, str], text: str) -> None:
    with pytest.raises(users.UnknownUserError, match=text.rsplit(":", maxsplit=1)[-1]):
        users.resolve(text, *files)


def test_without_files_numbers_still_work(tmp_path: Path) -> None:
    user = users.resolve("12:13", str(tmp_path / "no"), str(tmp_path / "no"))
    assert (user.uid, user.gid) == (12, 13)


def test_a_pipe_in_the_files_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert users.resolve("5", str(tmp_path / "fifo"), str(tmp_path / "fifo")).uid == 5


def test_a_device_in_the_files_place_is_not_read() -> None:
    assert users.resolve("5", "/dev/zero", "/dev/zero").uid == 5


@given(passwd=st.binary(max_size=300), text=st.text(max_size=12))
def test_no_file_makes_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, passwd: bytes, text: str
) -> None:
    path = tmp_path_factory.mktemp("u") / "passwd"
    path.write_bytes(passwd)
    try:
        user = users.resolve(text, str(path), str(path))
    except users.UnknownUserError:
        return
    assert 0 <= user.uid <= users.MAX_ID
