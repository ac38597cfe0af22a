"""The remover meets what a hostile box can leave behind."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxyd.trees import remove_tree, removing


def test_nothing_there_is_fine(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "none"))


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        os.close(os.open("file", os.O_CREAT, dir_fd=here))
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(str(top))
    assert not top.exists()


def test_symlinks_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "t"
    (top / "a/b").mkdir(parents=True)
    for place in ("", "a", "a/b"):
        (top / place / "link").symlink_to(outside)
        (top / place / "dangling").symlink_to("/nowhere")
    remove_tree(str(top))
    assert not top.exists()
    assert (outside / "kept").exists()


def test_a_symlink_in_place_of_the_folder_is_removed_itself(tmp_path: Path) -> None:
    (tmp_path / "outside/kept").mkdir(parents=True)
    (tmp_path / "t").symlink_to(tmp_path / "outside")
    remove_tree(str(tmp_path / "t"))
    assert (tmp_path / "outside/kept").exists()
    assert not (tmp_path / "t").is_symlink()


def test_names_that_the_remover_would_use_itself_are_no_trap(tmp_path: Path) -> None:
    top = tmp_path / "t"
    for number in range(4):
        (top / f".boxy-removing-{number}" / "x").mkdir(parents=True)
        (top / "a" / f"d{number}" / "e" / "f").mkdir(parents=True)
    (top / ".boxy-removing-4").write_text("a file")
    remove_tree(str(top))
    assert not top.exists()


def test_special_files_and_odd_names_go_too(tmp_path: Path) -> None:
    top = tmp_path / "t"
    top.mkdir()
    os.mkfifo(top / "pipe")
    os.mkdir(os.fsencode(top) + b"/\xff\n")
    (top / ("x" * 255)).mkdir(mode=0)
    remove_tree(str(top))
    assert not top.exists()


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    top = tmp_path / "t"
    for a in range(6):
        (top / f"{a}/b/c/d/e/f/g/h").mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
    try:
        remove_tree(str(top))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not top.exists()


def test_a_removal_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    top = tmp_path / "t"
    for a in range(20):
        (top / f"{a}/b/c").mkdir(parents=True)
    steps = removing(str(top))
    for _ in range(15):
        next(steps)
    steps.close()
    assert top.exists()
    remove_tree(str(top))
    assert not top.exists()


tree = st.recursive(
    st.sampled_from(["file", "link", "pipe"]),
    lambda inner: st.dictionaries(
        st.sampled_from(["a", "b", ".boxy-removing-0", ".boxy-removing-1", "c d"]), inner
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from("xyz"), tree))
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_tree_is_removed(
    tmp_path_factory: pytest.TempPathFactory, shape: dict[str, object]
) -> None:
    top = tmp_path_factory.mktemp("t")
    _grow(top, shape)
    remove_tree(str(top))
    assert not top.exists()


def _grow(folder: Path, shape: dict[str, object]) -> None:
    for name, what in shape.items():
        place = folder / name
        if isinstance(what, dict):
            place.mkdir()
            _grow(place, what)
        elif what == "link":
            place.symlink_to("..")
        elif what == "pipe":
            os.mkfifo(place)
        else:
            place.write_text("x")
