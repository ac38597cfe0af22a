"""The tutorial's pull is a program that learners will copy: hostile archives do not get out."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

STEPS = Path(__file__).parents[3] / "docs" / "tutorial" / "build-your-own" / "steps"


@pytest.fixture(scope="module")
def pull() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pull", STEPS / "12_pull.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.mode = kind, link, 0o666
    return entry


def _archive(*entries: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            entry.size = 4 if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(b"evil") if entry.isreg() else None)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [_entry("../victim")],
        [_entry("/../../victim")],
        [_entry("way", tarfile.SYMTYPE, ".."), _entry("way/victim")],
        [_entry("way", tarfile.SYMTYPE, "../victim"), _entry("way")],
        [_entry("way", tarfile.SYMTYPE, "../victim"), _entry("hard", tarfile.LNKTYPE, "way"),
         _entry("hard")],
        [_entry("way", tarfile.SYMTYPE, ".."), _entry("hard", tarfile.LNKTYPE, "way/victim")],
        [_entry("way", tarfile.SYMTYPE, "../folder"), _entry("way", tarfile.DIRTYPE)],
    ],
    ids=["dots", "absolute", "through a link", "over a link", "hard link to a link",
         "hard link through a link", "folder over a link"],
)  # fmt: skip
def test_nothing_outside_of_the_layer_is_changed(
    pull: ModuleType, tmp_path: Path, entries: list[tarfile.TarInfo]
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_text("mine")
    victim.chmod(0o600)
    folder.mkdir(mode=0o700)
    with contextlib.suppress(OSError):  # either it is refused, or it stays inside
        pull.unpack(_archive(*entries), str(tmp_path / "layer"))
    assert victim.read_text() == "mine"
    assert victim.stat().st_mode & 0o777 == 0o600
    assert victim.stat().st_nlink == 1
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_broken_archive_leaves_no_layer(pull: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="leads out"):
        pull.unpack(_archive(_entry("fine"), _entry("a", tarfile.SYMTYPE, ".."), _entry("a/b")),
                    str(tmp_path / "layer"))  # fmt: skip
    assert not (tmp_path / "layer").exists()


def test_an_honest_archive_is_unpacked(pull: ModuleType, tmp_path: Path) -> None:
    entries = [
        _entry("etc", tarfile.DIRTYPE),
        _entry("etc/a"),
        _entry("etc/b", tarfile.LNKTYPE, "etc/a"),
    ]
    entries[0].mode = 0o755
    pull.unpack(_archive(*entries), str(tmp_path / "layer"))
    assert (tmp_path / "layer/etc/b").read_text() == "evil"
