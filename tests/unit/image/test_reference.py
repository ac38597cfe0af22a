"""Image references: what is a host, what a path, what is refused and how that is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import InvalidRequest
from boxy_core.image.reference import Reference, is_loopback, parse

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpine", Reference("", "alpine")),
        ("alpine:3.23", Reference("", "alpine", "3.23")),
        ("team/app", Reference("", "team/app")),
        ("127.0.0.1:5000/team/app:1.2", Reference("127.0.0.1:5000", "team/app", "1.2")),
        ("localhost/app", Reference("localhost", "app")),
        ("[::1]:5000/app", Reference("[::1]:5000", "app")),
        ("reg.example/a/b/c_d-e.f", Reference("reg.example", "a/b/c_d-e.f")),
        (f"reg.example/app@{DIGEST}", Reference("reg.example", "app", "", DIGEST)),
        (f"reg.example/app:1@{DIGEST}", Reference("reg.example", "app", "1", DIGEST)),
        ("docker.io/alpine", Reference("docker.io", "library/alpine")),
        ("docker.io/user/app", Reference("docker.io", "user/app")),
    ],
)
def test_a_reference_is_read_as_other_clients_read_it(text: str, expected: Reference) -> None:
    assert parse(text) == expected
    assert parse(str(parse(text))) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "''"),
        ("https://reg.example/app", "leave out https://"),
        ("Alpine", "small letters it could be alpine"),
        ("reg.example/", "''"),
        ("reg.example/app:", "no tag"),
        ("reg.example/app:a b", "no tag"),
        ("reg.example/app@sha256:12", "no digest"),
        ("reg.example:port/app", "no host"),
        ("reg.example/../app", "no repository name"),
        ("reg.example/a//b", "no repository name"),
        ("reg.example/" + "a" * 256, "no repository name"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert named in caught.value.message + caught.value.hint


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_a_clear_error(text: str) -> None:
    try:
        found = parse(text)
    except InvalidRequest:
        return
    assert parse(str(found)) == found


def test_only_this_machine_is_loopback() -> None:
    assert all(is_loopback(h) for h in ("localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000"))
    assert not any(
        is_loopback(h) for h in ("127.0.0.1.example", "localhost.example:5000", "10.0.0.1")
    )
