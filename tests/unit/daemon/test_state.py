"""Box folders: whole after any crash, damaged ones told and left alone."""

# ruff: noqa: ASYNC240 - a test may wait for its disk

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boxy_core.models import Box, BoxSpec, ExitInfo, Image, encode
from boxy_core.paths import Paths
from boxyd.state import State, read_exit, write_atomic

ID = "ab" * 32
IMAGE = Image(name="i", id="sha256:0", source="/r/i")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "boxes").mkdir()
    return Paths(str(tmp_path), str(tmp_path / "run"), str(tmp_path / "s"), (), "boxy/t")


def a_box(box_id: str = ID, name: str = "n", **spec: object) -> Box:
    return Box(id=box_id, name=name, image="i", spec=BoxSpec(image="i", **spec))  # type: ignore[arg-type]


async def test_a_box_is_loaded_as_it_was_made(paths: Paths) -> None:
    state = State(paths)
    box = a_box(tty=True, env={"A": "ü"})
    state.make(box, IMAGE)
    await state.save_durably(box)
    assert State(paths).load() == ([box], [])
    assert State(paths).image_of(box) == IMAGE
    await state.close()


async def test_what_is_saved_replaces_the_whole_file_and_leaves_no_temporary_one(
    paths: Paths,
) -> None:
    state = State(paths)
    state.make(a_box(name="long" * 30), IMAGE)
    state.save(a_box(name="s"))
    await state.close()
    assert [box.name for box in State(paths).load()[0]] == ["s"]
    assert sorted(os.listdir(paths.box(ID))) == ["box.json", "image.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(str(path), b"old")
    (tmp_path / "f.tmp").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(str(path), b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "truncated"),
        (b'{"id": "', "truncated"),
        (b"\xff\xfe", "malformed"),
        (encode({"id": ID, "name": "n", "image": "i", "spec": {"image": "i"}, "x": 1}), "`x`"),
        (encode({"id": "cd" * 32, "name": "n", "image": "i", "spec": {"image": "i"}}), "another"),
    ],
)
async def test_a_damaged_folder_is_told_and_left_as_it_is(
    paths: Paths, content: bytes, word: str
) -> None:
    folder = Path(paths.box(ID))
    folder.mkdir()
    (folder / "box.json").write_bytes(content)
    boxes, damaged = State(paths).load()
    assert boxes == []
    assert [name for name, _ in damaged] == [str(folder)]
    assert word in damaged[0][1]
    assert (folder / "box.json").read_bytes() == content


async def test_a_folder_without_box_json_but_with_files_is_told_and_kept(paths: Paths) -> None:
    upper = Path(paths.box(ID)) / "upper"
    upper.mkdir(parents=True)
    assert len(State(paths).load()[1]) == 1
    assert upper.exists()


async def test_a_folder_that_was_only_begun_is_removed(paths: Paths) -> None:
    folder = Path(paths.box(ID))
    folder.mkdir()
    (folder / "image.json").write_text("{}")
    (folder / "box.json.tmp").write_text("{")
    assert State(paths).load() == ([], [])
    assert not folder.exists()


async def test_a_stray_file_among_the_boxes_is_told(paths: Paths) -> None:
    Path(paths.boxes, "note").write_text("mine")
    assert len(State(paths).load()[1]) == 1


async def test_a_discarded_box_is_no_box_any_more_and_its_trash_is_found(paths: Paths) -> None:
    state = State(paths)
    state.make(a_box(), IMAGE)
    trash = state.discard(ID)
    assert State(paths).load() == ([], [])
    assert State(paths).trash() == [trash]
    assert state.discard(ID) == ""


@pytest.mark.parametrize("content", [b"", b"{}", b'{"status": "x"}', b"[]", b"\xff"])
def test_an_unusable_exit_json_is_as_good_as_none(paths: Paths, content: bytes) -> None:
    os.makedirs(paths.box(ID))
    Path(paths.box(ID), "exit.json").write_bytes(content)
    assert read_exit(paths, ID) is None


async def test_the_exit_of_the_run_before_is_forgotten(paths: Paths) -> None:
    os.makedirs(paths.box(ID))
    Path(paths.box(ID), "exit.json").write_bytes(encode(ExitInfo(status=3)))
    assert read_exit(paths, ID) == ExitInfo(status=3)
    State(paths).forget_exit(ID)
    assert read_exit(paths, ID) is None
    State(paths).forget_exit(ID)
