"""Manifests and configurations: read from anybody, written the same everywhere."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import BoxyError, ImageError
from boxy_core.image import manifest as oci
from tests.support.registry import digest, layer, oci_image

ONE = oci_image([layer({"a": b"1"})])


def test_a_configuration_becomes_what_a_box_takes_from_it() -> None:
    data = json.dumps({
        "architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}, "unknown": [1],
        "config": {
            "Env": ["A=1", "B=x=y", "EMPTY="], "Cmd": ["run"], "Entrypoint": None, "User": "1000:1",
            "WorkingDir": "srv", "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}}, "StopSignal": "9", "Healthcheck": {"Test": ["NONE"]},
        },
    }).encode()  # fmt: skip
    fields = oci.image_fields(oci.decode_config(data, "it"))
    assert fields == {
        "env": {"A": "1", "B": "x=y", "EMPTY": ""}, "cmd": ["run"], "entrypoint": [],
        "user": "1000:1", "workdir": "/srv", "labels": {"k": "v"},
        "ports": ["53/udp", "80/tcp"], "volumes": ["/data"], "stop_signal": "SIGKILL",
    }  # fmt: skip


def test_what_is_written_is_read_back_and_always_the_same() -> None:
    fields = {"env": {"A": "1"}, "cmd": ["x"], "workdir": "/w", "ports": ["80/tcp"]}
    first = oci.encode_config(fields, [digest(b"")])
    assert first == oci.encode_config(fields, [digest(b"")])
    read = oci.image_fields(oci.decode_config(first, "it"))
    assert {key: read[key] for key in fields} == fields


def test_the_platform_is_chosen_from_an_index_and_a_missing_one_is_named() -> None:
    def child(platform: dict[str, str]) -> dict[str, object]:
        return {"mediaType": oci.MANIFEST, "digest": digest(str(platform).encode()), "size": 1,
                "platform": platform}  # fmt: skip

    platforms = [
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
        {"os": "linux", "architecture": "arm", "variant": "v6"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
        {"os": "unknown", "architecture": "unknown"},
    ]
    index = oci.decode(json.dumps({"manifests": [*map(child, platforms)]}).encode(), "", "it")
    assert isinstance(index, oci.Index)
    chosen = oci.choose(index, oci.parse_platform("linux/arm/v7"), "it")
    assert chosen.platform == oci.Platform("arm", "linux", "v7")
    assert oci.choose(index, oci.parse_platform("arm64"), "it").platform is not None
    with pytest.raises(ImageError, match=r"nothing for linux/amd64; it has linux/arm/v6, .*arm64"):
        oci.choose(index, oci.parse_platform("amd64"), "it")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"schemaVersion":1}', "obsolete"),
        (b'{"layers":[]}', "cannot be read"),
        (ONE.manifest.replace(b"sha256:", b"md5:"), "names a blob wrongly"),
        (
            ONE.manifest.replace(oci.CONFIG.encode(), b"application/x-thing"),
            "no image that could run",
        ),
    ],
)
def test_a_manifest_that_is_none_says_why(data: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        oci.decode(data, "", "it")


def test_layers_and_configuration_must_tell_the_same() -> None:
    manifest = oci.decode(ONE.manifest, "", "it")
    assert isinstance(manifest, oci.Manifest)
    with pytest.raises(ImageError, match="1 layers, and 0 in its configuration"):
        oci.check_pair(manifest, oci.Config(), "it")


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_an_image_error(data: bytes) -> None:
    for decode in (lambda: oci.decode(data, "", "it"), lambda: oci.decode_config(data, "it")):
        try:
            decode()
        except BoxyError:
            continue


@given(st.from_type(dict[str, bool]))
def test_nor_does_json_of_another_shape(data: dict[str, bool]) -> None:
    encoded = msgspec.json.encode({"config": data, "layers": [data], "rootfs": data})
    with pytest.raises(ImageError):
        oci.decode(encoded, "", "it")
