"""What the store tells of images before anything is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from boxy_core.errors import Denied, ImageError, NotFound
from boxy_core.image.store import ImageStore
from boxy_core.paths import Paths, shipped_registry
from tests.support import archives as raw


def store_on(tmp_path: Path, *registries: str) -> ImageStore:
    root = str(tmp_path / "state")
    folders = registries or (str(tmp_path / "registry"),)
    return ImageStore(Paths(root, root + "/run", root + "/sock", folders, "boxy/test"))


def image(tmp_path: Path, name: str = "it", **content: object) -> Path:
    folder = tmp_path / "registry" / name
    folder.mkdir(parents=True)
    (folder / "image.json").write_text(json.dumps(content))
    return folder


def test_a_rootfs_folder_is_used_where_it_is(tmp_path: Path) -> None:
    (image(tmp_path, cmd="/bin/sh -l", workdir="/srv") / "rootfs").mkdir()
    found = store_on(tmp_path).resolve("it")
    assert found.ready
    assert found.layers == [str(tmp_path / "registry/it/rootfs")]
    assert (found.cmd, found.workdir) == (["/bin/sh", "-l"], "/srv")
    assert found.id.startswith("sha256:")
    assert store_on(tmp_path).prepare("it") == found
    assert not (tmp_path / "state").exists()


def test_an_unknown_image_is_told_with_a_likely_one(tmp_path: Path) -> None:
    image(tmp_path, "alpine")
    with pytest.raises(NotFound) as caught:
        store_on(tmp_path).resolve("alpin")
    assert str(tmp_path / "registry") in caught.value.message
    assert "'alpine'" in caught.value.hint


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b", "\ud800", "x" * 5000])
def test_a_hostile_name_is_just_not_found(tmp_path: Path, name: str) -> None:
    store = store_on(tmp_path)
    for ask in (store.resolve, store.prepare, store.remove):
        with pytest.raises(NotFound):
            ask(name)


def test_the_tag_latest_means_the_image(tmp_path: Path) -> None:
    (image(tmp_path) / "rootfs").mkdir()
    assert store_on(tmp_path).resolve("it:latest").name == "it"


def test_a_missing_root_file_system_says_where_to_put_it(tmp_path: Path) -> None:
    folder = image(tmp_path)
    with pytest.raises(ImageError) as caught:
        store_on(tmp_path).resolve("it")
    assert str(folder) in caught.value.hint
    assert "no root file system" in store_on(tmp_path).list()[0].problem


def test_a_command_that_makes_it_is_shown_and_not_run(tmp_path: Path) -> None:
    image(tmp_path, rootfs={"how": f"touch {tmp_path}/ran"})
    with pytest.raises(ImageError) as caught:
        store_on(tmp_path).prepare("it")
    assert f"touch {tmp_path}/ran" in caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_several_root_file_systems_must_be_told_apart(tmp_path: Path) -> None:
    folder = image(tmp_path)
    (folder / "a.tar.gz").write_bytes(b"")
    (folder / "rootfs").mkdir()
    with pytest.raises(ImageError, match=r"several root file systems: a.tar.gz, rootfs"):
        store_on(tmp_path).resolve("it")
    (folder / "image.json").write_text('{"rootfs": "rootfs"}')
    assert store_on(tmp_path).resolve("it").ready


def test_a_named_file_that_is_missing_is_told(tmp_path: Path) -> None:
    image(tmp_path, rootfs="base.tar.zst")
    with pytest.raises(ImageError, match=r"'base.tar.zst' is not there"):
        store_on(tmp_path).resolve("it")


def test_an_image_of_another_machine_is_told(tmp_path: Path) -> None:
    image(tmp_path, rootfs={"url": "https://x/y.tar", "arch": "pdp11"})
    assert "it is for pdp11" in store_on(tmp_path).list()[0].problem


def test_an_address_is_no_problem_until_it_is_needed(tmp_path: Path) -> None:
    image(tmp_path, rootfs={"url": "https://nowhere.invalid/y.tar"})
    store = store_on(tmp_path)
    assert store.list()[0].problem == ""
    assert not store.resolve("it").ready
    with pytest.raises(ImageError) as caught:
        store.prepare("it")
    assert str(tmp_path / "state/images/downloads/it/y.tar") in caught.value.hint


def test_a_symlink_is_followed_only_where_root_alone_writes(tmp_path: Path) -> None:
    folder = image(tmp_path)
    (tmp_path / "real").mkdir()
    (folder / "rootfs").symlink_to(tmp_path / "real")
    assert store_on(tmp_path).resolve("it").layers == [str(tmp_path / "real")]
    folder.chmod(0o777)
    with pytest.raises(ImageError, match="symlink in a folder that others"):
        store_on(tmp_path).resolve("it")


def test_an_archive_that_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = image(tmp_path)
    os.mkfifo(folder / "a.tar")
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        store_on(tmp_path).resolve("it")


def test_a_wrong_archive_is_noticed_by_its_digest_before_unpacking(tmp_path: Path) -> None:
    data = raw.file(b"a") + raw.END
    rootfs = {"url": "https://x/base.tar", "sha256": "0" * 64}
    (image(tmp_path, rootfs=rootfs) / "base.tar").write_bytes(data)
    with pytest.raises(ImageError) as caught:
        store_on(tmp_path).prepare("it")
    assert hashlib.sha256(data).hexdigest() in caught.value.message


def test_unpacking_without_root_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (image(tmp_path) / "a.tar").write_bytes(raw.file(b"a") + raw.END)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Denied, match="needs root"):
        store_on(tmp_path).prepare("it")
    assert not [name for name in os.listdir(tmp_path / "state/layers") if name.startswith("tmp-")]


def test_a_spoiled_record_counts_as_none(tmp_path: Path) -> None:
    (image(tmp_path) / "a.tar").write_bytes(raw.file(b"a") + raw.END)
    (tmp_path / "state/images").mkdir(parents=True)
    for text in ("", "{", "[]", '{"name": 5}'):
        (tmp_path / "state/images/it.json").write_text(text)
        assert not store_on(tmp_path).resolve("it").ready


def test_the_shipped_images_are_whole(tmp_path: Path) -> None:
    images = {found.name: found for found in store_on(tmp_path, shipped_registry()).list()}
    assert {"alpine", "busybox", "debian", "host"} <= set(images)
    assert images["host"].problem == images["alpine"].problem == ""
    assert images["host"].mounts[0].source == "/usr"
    assert "mmdebstrap" not in images["debian"].problem
