"""Names, paths, ranges and manifests: what is taken, what is refused, and how."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_registry import manifests
from boxy_registry.errors import (
    DigestInvalid,
    ManifestInvalid,
    MethodNotAllowed,
    NameInvalid,
    NotFound,
    RegistryError,
    TagInvalid,
)
from boxy_registry.http import ranges, target
from boxy_registry.names import check_digest, check_repository, check_tag, digest_of
from boxy_registry.parts import Need

DIGEST = digest_of(b"x")


@pytest.mark.parametrize("name", ["a", "a/b", "1/2/3", "a__b", "a-b--c", "a.b_c/d", "x/manifests"])
def test_repository_names_of_the_specification_pass(name: str) -> None:
    assert check_repository(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A", "a//b", "-a", "a/", "/a", "a..b", "a___b", "../x", "a b", "ä", "a\n", "a" * 256],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        check_repository(name)


@pytest.mark.parametrize("tag", [".dot", "-dash", "a" * 129, "a b", "a/b", "", "a\n", "a:b"])
def test_bad_tags_are_refused(tag: str) -> None:
    with pytest.raises(TagInvalid):
        check_tag(tag)


@pytest.mark.parametrize(
    "digest",
    ["sha256:" + "a" * 63, "sha256:" + "A" * 64, "md5:" + "a" * 32, "sha256:../../x", "sha256", ""],
)
def test_bad_digests_are_refused(digest: str) -> None:
    with pytest.raises(DigestInvalid):
        check_digest(digest)


@given(st.text())
def test_no_name_that_passes_leaves_its_folder(text: str) -> None:
    try:
        check_repository(text)
    except NameInvalid:
        return
    assert ".." not in text
    assert not text.startswith("/")
    assert text.isascii()


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/", ("base", "", "")),
        ("/v2", ("base", "", "")),
        ("/v2/_catalog", ("catalog", "", "")),
        ("/v2/a/b/tags/list", ("tags", "a/b", "")),
        ("/v2/a/manifests/latest", ("manifest", "a", "latest")),
        ("/v2/a/manifests/manifests/x", ("manifest", "a/manifests", "x")),
        ("/v2/w/blobs/uploads/manifests/x", ("manifest", "w/blobs/uploads", "x")),
        (f"/v2/a/blobs/{DIGEST}", ("blob", "a", DIGEST)),
        (f"/v2/a/referrers/{DIGEST}", ("referrers", "a", DIGEST)),
        ("/v2/a/blobs/uploads/17", ("upload", "a", "17")),
    ],
)
def test_a_path_names_an_end_point_a_repository_and_a_reference(
    path: str, expected: tuple[str, str, str]
) -> None:
    assert target.find("GET", path) == expected


def test_an_upload_begins_at_the_path_with_the_slash() -> None:
    assert target.find("POST", "/v2/a/b/blobs/uploads/") == ("uploads", "a/b", "")


@pytest.mark.parametrize("path", ["/v2/a", "/v2/a/b/c", "/v2/a/tags", "/v2//tags/list/x"])
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        target.find("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/v2/", Need()),
        ("GET", "/v2/_catalog", Need("catalog")),
        ("HEAD", "/v2/a/manifests/x", Need("pull", "a")),
        ("PUT", "/v2/a/manifests/x", Need("push", "a")),
        ("DELETE", "/v2/a/manifests/x", Need("delete", "a")),
        ("GET", "/v2/a/blobs/uploads/1", Need("push", "a")),
        ("DELETE", "/v2/a/blobs/uploads/1", Need("push", "a")),
        ("GET", f"/v2/a/referrers/{DIGEST}", Need("pull", "a")),
    ],
)
def test_each_request_needs_a_right(method: str, path: str, need: Need) -> None:
    assert target.find(method, path).need(method) == need


def test_a_wrong_method_is_told_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        target.find("PATCH", "/v2/a/manifests/x")
    assert caught.value.headers == {"Allow": "GET, HEAD, PUT, DELETE"}


# ------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=10-19", (10, 10)),
        ("bytes=150-", (150, 50)),
        ("bytes=-30", (170, 30)),
        ("bytes=-999", (0, 200)),
        ("bytes=190-9999", (190, 10)),
        ("bytes=0-0", (0, 1)),
        (None, None),
        ("bytes=", None),
        ("bytes=1-2,4-5", None),
        ("lines=1-2", None),
        ("bytes=-", None),
    ],
)
def test_a_range_is_a_first_byte_and_a_count(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert ranges.asked(header, 200) == expected


@pytest.mark.parametrize("header", ["bytes=200-", "bytes=500-600", "bytes=-0", "bytes=20-10"])
def test_a_range_that_cannot_be_is_told_so(header: str) -> None:
    with pytest.raises(ranges.NotSatisfiable):
        ranges.asked(header, 200)


@given(st.text(max_size=40), st.integers(0, 1000))
def test_any_range_header_lies_within_the_content(header: str, size: int) -> None:
    try:
        found = ranges.asked(header, size)
    except ranges.NotSatisfiable:
        return
    if found is not None:
        first, count = found
        assert first >= 0
        assert 0 < count <= size - first


@pytest.mark.parametrize(
    ("header", "expected"),
    [("0-1023", (0, 1024)), ("bytes 5-9/100", (5, 5)), ("9-5", None), ("x", None), ("", None)],
)
def test_a_chunk_is_a_first_byte_and_a_count(header: str, expected: tuple[int, int] | None) -> None:
    assert ranges.chunk(header) == expected


# ------------------------------------------------------------------ manifests


def _image(**more: object) -> bytes:
    layer = {"mediaType": "application/x", "digest": digest_of(b"layer"), "size": 5}
    config = {"mediaType": "application/c", "digest": digest_of(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": [layer], **more}).encode()


def test_an_image_names_its_blobs() -> None:
    manifest = manifests.parse(_image(mediaType=manifests.IMAGE))
    assert [blob.digest for blob in manifest.blobs] == [digest_of(b"{}"), digest_of(b"layer")]
    assert manifest.content_size == 7
    assert manifest.artifact_type == "application/c"


def test_an_index_names_its_children_and_may_be_empty() -> None:
    child = {"mediaType": manifests.IMAGE, "digest": DIGEST, "size": 1}
    body = json.dumps({"schemaVersion": 2, "manifests": [child]}).encode()
    assert [c.digest for c in manifests.parse(body, manifests.INDEX).children] == [DIGEST]
    assert manifests.parse(b'{"manifests": []}', manifests.INDEX).children == ()


def test_parameters_of_the_content_type_are_ignored() -> None:
    body = _image(mediaType=manifests.IMAGE)
    assert manifests.parse(body, manifests.IMAGE + "; charset=utf-8").media_type == manifests.IMAGE


def test_an_unknown_type_is_kept_as_it_is() -> None:
    manifest = manifests.parse(b'{"anything": [1]}', "application/vnd.new+json")
    assert manifest.media_type == "application/vnd.new+json"
    assert manifest.blobs == manifest.children == ()


def test_layers_that_lie_elsewhere_are_optional() -> None:
    layer = {"digest": DIGEST, "size": 1, "urls": ["https://example.org/x"]}
    manifest = manifests.parse(_image(layers=[layer]), manifests.IMAGE)
    assert [blob.optional for blob in manifest.blobs] == [False, True]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"not json", b"[]", b"null", b"{}", b"[" * 100_000, b'"x"', b"\xff",
        b'{"mediaType": 5}', _image(layers=7), _image(layers=[5]), _image(config=5),
        _image(config=None), _image(layers=[{"digest": DIGEST, "size": -1}]),
        _image(layers=[{"digest": DIGEST, "size": True}]), _image(annotations=[1]),
        _image(subject=5), _image(layers=[{"digest": 5}]), _image(annotations={"a": 1}),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_invalid(body: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        manifests.parse(body, manifests.IMAGE if body != b"{}" else "")


def test_a_bad_digest_within_is_named_with_its_place() -> None:
    with pytest.raises(DigestInvalid, match=r"layers\[0\]"):
        manifests.parse(_image(layers=[{"digest": "sha256:zz", "size": 1}]), manifests.IMAGE)


def test_a_header_that_contradicts_the_body_is_refused() -> None:
    with pytest.raises(ManifestInvalid, match="contradicts"):
        manifests.parse(_image(mediaType=manifests.IMAGE), manifests.INDEX)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_registry_error(body: bytes) -> None:
    try:
        manifests.parse(body, "")
    except RegistryError:
        return


def test_every_error_has_a_code_a_status_and_a_body() -> None:
    kinds, seen = [RegistryError], []
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        seen.append(kind)
        error = kind("sentence", detail={"a": 1})
        assert 400 <= error.status < 600
        assert error.to_wire() == {
            "errors": [{"code": kind.code, "message": "sentence", "detail": {"a": 1}}]
        }
    assert len(seen) > 20
