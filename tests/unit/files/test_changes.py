"""What a box changed, told from its layer and its image's."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxyd.files.layers import changes


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for path in ("etc/apk", "srv", "opt"):
        (lower / path).mkdir(parents=True)
    (lower / "etc/passwd").write_text("root\n")
    upper.mkdir()
    return upper, lower


def told(trees: tuple[Path, Path], *points: str) -> list[str]:
    upper, lower = trees
    return [f"{kind} {path}" for kind, path in changes(str(upper), [str(lower)], points)]


def make(trees: tuple[Path, Path], *paths: str) -> None:
    """Files, with something in them unless they are places for ours; folders end in /."""
    for path in paths:
        place = trees[0] / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("" if path in ("etc/hosts", "etc/resolv.conf") else "x")


def test_places_for_mounts_and_folders_with_nothing_else_are_not_told(
    trees: tuple[Path, Path],
) -> None:
    make(trees, "etc/hosts", "etc/resolv.conf", "data/deep/volume/", "srv/")
    assert told(trees, "/data/deep/volume") == ["C /srv"]


def test_what_the_box_did_beside_them_is_told_with_the_folders_above(
    trees: tuple[Path, Path],
) -> None:
    make(trees, "etc/hosts", "etc/apk/world", "data/deep/volume/", "data/mine")
    assert told(trees, "/data/deep/volume") == [
        "A /data", "A /data/mine", "C /etc", "C /etc/apk", "A /etc/apk/world",
    ]  # fmt: skip


def test_a_folder_with_other_rights_is_told_although_only_a_place_is_in_it(
    trees: tuple[Path, Path],
) -> None:
    make(trees, "etc/hosts", "opt/")
    (trees[0] / "etc").chmod(0o700)
    assert told(trees) == ["C /etc", "C /opt"]


def test_a_file_of_that_name_with_something_in_it_is_the_boxs(trees: tuple[Path, Path]) -> None:
    make(trees, "etc/passwd")
    (trees[0] / "etc/hosts").write_text("mine\n")
    assert told(trees) == ["C /etc", "A /etc/hosts", "C /etc/passwd"]
