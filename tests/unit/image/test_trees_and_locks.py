"""Removing trees of any depth; locks that die with their holder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from boxy_core.image import trees
from boxy_core.image.locks import Lock

ROOT = str(Path(__file__).parents[3])


def dig(top: Path, depth: int, name: str = "d") -> None:
    """Make a chain of folders, each with a file, beyond what one path can name."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)


@pytest.mark.parametrize("name", ["d", "a-folder-with-a-long-name"])
def test_a_tree_of_three_thousand_levels_is_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / "top").mkdir()
    dig(tmp_path / "top", 3000, name)
    trees.remove(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []


def test_removing_follows_no_symlink_and_counts_bytes(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "file").write_bytes(bytes(1000))
    os.link(top / "a" / "file", top / "a" / "b" / "same")
    (top / "a" / "link").symlink_to(outside)
    assert trees.remove(str(top)) == 1000
    assert (outside / "kept").read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["outside"]


def test_removing_nothing_is_no_error_and_a_symlink_is_refused(tmp_path: Path) -> None:
    assert trees.remove(str(tmp_path / "none")) == 0
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        trees.remove(str(tmp_path / "link"))


def test_syncing_works_on_a_real_folder(tmp_path: Path) -> None:
    trees.sync(str(tmp_path))
    trees.sync_folder(str(tmp_path))


def test_a_lock_keeps_threads_apart_and_names_are_independent(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with Lock(path, "a") as first, Lock(path, "a") as second, Lock(path, "b") as other:
        assert first.take_now()
        assert not second.take_now()
        assert other.take_now()
    with Lock(path, "a") as again:
        assert again.take_now()


def test_waiting_for_a_lock_can_be_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")

    def give_up() -> None:
        raise KeyboardInterrupt

    with Lock(path, "a") as first, Lock(path, "a") as second:
        first.take_now()
        with pytest.raises(KeyboardInterrupt):
            second.wait_and_take(give_up)


def test_who_waits_gets_the_lock_when_it_is_let_go(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    waited = threading.Event()
    order: list[str] = []

    def second() -> None:
        with Lock(path, "a") as lock:
            lock.wait_and_take(waited.set)
            order.append("second")

    with Lock(path, "a") as first:
        first.take_now()
        thread = threading.Thread(target=second)
        thread.start()
        assert waited.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_lock_ends_with_its_process_but_lives_on_in_a_child_that_got_it(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    program = (
        f"import sys; sys.path.insert(0, {ROOT!r}); import subprocess, os;"
        "from boxy_core.image.locks import Lock;"
        f"lock = Lock({path!r}, 'a'); assert lock.take_now();"
        "child = subprocess.Popen(['cat'], pass_fds=[lock.fd], stdout=subprocess.DEVNULL);"
        "print('ready', flush=True); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"ready\n"
        assert holder.wait(30) == 0
        with Lock(path, "a") as lock:
            assert not lock.take_now()  # the holder is dead; its child holds on
            holder.stdin.close()  # ends the child
            lock.wait_and_take(lambda: None)
