"""Archives of images from strangers: what does not hold together is refused, nothing is left."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.errors import BoxyError, ImageError
from boxy_core.image import archive
from boxy_core.image.layers import Layers, no_progress
from boxy_core.image.manifest import INDEX, MANIFEST
from boxy_core.image.named import Named
from boxy_core.image.streams import DEFAULT_LIMITS
from tests.support.registry import digest, layer, oci_image

IMAGE = oci_image([layer({"a": b"1"})])


@pytest.fixture
def named(tmp_path: Path) -> Named:
    (tmp_path / "images").mkdir()
    return Named(str(tmp_path / "images"), Layers(str(tmp_path / "layers"), DEFAULT_LIMITS))


def tar(members: Mapping[str, bytes | str]) -> bytes:
    """A tar; a text is a symlink's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                made.addfile(entry)
            else:
                entry.size = len(content)
                made.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def docker(**changes: object) -> bytes:
    line = {"Config": "config.json", "RepoTags": ["a:1"], "Layers": ["layer.tar"], **changes}
    return json.dumps([line]).encode()


def index(blob: str, kind: str = MANIFEST) -> bytes:
    return json.dumps({"manifests": [{"mediaType": kind, "digest": blob, "size": 1}]}).encode()


LOOP = {
    "manifest.json": docker(Layers=["one"]),
    "config.json": IMAGE.config,
    "one": "two",
    "two": "one",
}
NESTED = json.dumps({"mediaType": INDEX, "manifests": []}).encode()


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "neither index.json nor manifest.json"),
        ({"manifest.json": b"{"}, "cannot be read"),
        ({"manifest.json": docker()}, "lacks 'config.json'"),
        ({"manifest.json": docker(), "config.json": b"[]"}, "cannot be read"),
        ({"manifest.json": docker(), "config.json": IMAGE.config}, "lacks 'layer.tar'"),
        ({"manifest.json": docker(Config="../../../etc/passwd")}, "lacks '../../../etc/passwd'"),
        ({"manifest.json": docker(Config="/etc/passwd")}, "lacks '/etc/passwd'"),
        ({"manifest.json": docker(Config="link"), "link": "/etc/passwd"}, "lacks 'link'"),
        (LOOP, "is not a file"),
        ({"manifest.json": docker(RepoTags=["No/Good"]), "config.json": IMAGE.config,
          "layer.tar": IMAGE.layers[0]}, "no image reference"),
        ({"index.json": b"x"}, "cannot be read"),
        ({"index.json": index("sha256:" + "0" * 64)}, "lacks 'blobs/sha256/0"),
        ({"index.json": index("../../etc/passwd")}, "names a blob wrongly"),
        ({"index.json": index(IMAGE.digest), f"blobs/sha256/{IMAGE.digest[7:]}": b"{}"},
         "is damaged"),
        ({"index.json": index(digest(NESTED), INDEX),
          f"blobs/sha256/{digest(NESTED)[7:]}": NESTED}, "has nothing for linux"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_left(
    named: Named, tmp_path: Path, members: Mapping[str, bytes | str], said: str
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(tar(members))
    with pytest.raises(BoxyError, match=said):
        archive.load(named, str(path), no_progress)
    assert named.entries() == []
    left = os.listdir(named.blobs.folder) if os.path.isdir(named.blobs.folder) else []
    assert [name for name in left if name.startswith("tmp-")] == []


@given(st.binary(max_size=1500))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_do_more_than_raise_an_image_error(
    named: Named, tmp_path: Path, data: bytes
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(data)
    with pytest.raises(ImageError):
        archive.load(named, str(path), no_progress)


def test_what_is_saved_names_every_blob_once_and_each_name(named: Named, tmp_path: Path) -> None:
    for name, data in IMAGE.blobs.items():
        named.blobs.write(name, data)
    out = io.BytesIO()
    archive.save(named, [("reg.example/a:1", IMAGE.digest), ("b:2", IMAGE.digest)], out)
    out.seek(0)
    with tarfile.open(fileobj=out) as made:
        names = made.getnames()
        assert sorted(set(names)) == sorted(names)
        listed = json.load(made.extractfile("manifest.json"))  # type: ignore[arg-type]
        told = json.load(made.extractfile("index.json"))  # type: ignore[arg-type]
    assert listed[0]["RepoTags"] == ["reg.example/a:1", "b:2"]
    assert [one["digest"] for one in told["manifests"]] == [IMAGE.digest] * 2
