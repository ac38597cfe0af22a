"""Copying trees: everything that makes a file what it is."""

from __future__ import annotations

import mmap
import os
import stat
import time
from pathlib import Path

from boxyd.runtime import copytree


def copy(source: Path, target: Path) -> copytree.Copied:
    target.mkdir()
    here, there = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target))
    try:
        return copytree.copy_tree(here, there)
    finally:
        os.close(here)
        os.close(there)


def test_a_copy_has_modes_times_links_holes_and_attributes(tmp_path: Path) -> None:
    source = tmp_path / "a"
    (source / "folder").mkdir(parents=True)
    (source / "folder").chmod(0o2750)
    plain = source / "folder" / "plain"
    plain.write_bytes(b"x" * 5000)
    plain.chmod(0o4711)
    os.link(plain, source / "again")
    os.symlink("/etc/passwd", source / "link")
    os.mkfifo(source / "fifo")
    with (source / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    os.utime(plain, ns=(1, 2_000_000_003))
    os.utime(source / "folder", ns=(5, 6_000_000_007))
    copied = copy(source, tmp_path / "b")
    target = tmp_path / "b"
    assert (target / "folder" / "plain").read_bytes() == b"x" * 5000
    assert stat.S_IMODE((target / "folder" / "plain").stat().st_mode) == 0o4711
    assert stat.S_IMODE((target / "folder").stat().st_mode) == 0o2750
    assert (target / "folder" / "plain").stat().st_mtime_ns == 2_000_000_003
    assert (target / "folder").stat().st_mtime_ns == 6_000_000_007
    assert (target / "again").stat().st_ino == (target / "folder" / "plain").stat().st_ino
    assert os.readlink(target / "link") == "/etc/passwd"
    assert stat.S_ISFIFO((target / "fifo").stat().st_mode)
    sparse = (target / "sparse").stat()
    assert sparse.st_size == (64 << 20) + 3
    assert sparse.st_blocks * 512 < 1 << 20
    assert copied.entries == 5


def test_a_deep_tree_is_copied(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("deep", dir_fd=at)
    for _ in range(200):
        inner = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
        os.mkdir("deep", dir_fd=at)
    os.close(at)
    copy(tmp_path / "deep", tmp_path / "b")
    depth, at_path = 0, tmp_path / "b"
    while (at_path / "deep").is_dir() and depth < 150:
        at_path, depth = at_path / "deep", depth + 1
    assert depth == 150


def test_what_changed_after_the_first_pass_is_caught_up_with(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "sub").mkdir(parents=True)
    for name in ("same", "grows", "goes", "turns", "sub/mapped"):
        (source / name).write_text(name)
    (source / "sub" / "folder").mkdir()
    with (source / "sub" / "mapped").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    target.mkdir()
    began = time.time()
    here, there = (os.open(path, os.O_RDONLY) for path in (source, target))
    copytree.copy_tree(here, there, moving_since=began)
    untouched = (target / "same").stat().st_ino
    os.utime(source / "sub", ns=(7, 7))
    time.sleep(0.01)
    mapped[:4] = b"MAPP"
    (source / "grows").write_text("grown")
    (source / "goes").unlink()
    (source / "turns").unlink()
    (source / "turns").mkdir()
    (source / "sub" / "folder").rmdir()
    (source / "sub" / "folder").write_text("a file now")
    (source / "new").mkdir()
    (source / "new" / "file").write_text("new")
    copytree.catch_up(here, there, began + copytree.CLOCK)
    os.close(here)
    os.close(there)
    mapped.close()
    told = {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()}
    assert told == {
        "same": "same", "grows": "grown", "sub/mapped": "MAPPmapped", "sub/folder": "a file now",
        "new/file": "new",
    }  # fmt: skip
    assert (target / "turns").is_dir()
    assert (target / "same").stat().st_ino == untouched
