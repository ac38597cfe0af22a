"""The registry client against a registry that misbehaves in every way that is known of."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from boxy_core.errors import BoxyError, Denied, ImageError, NotFound
from boxy_core.image.auth import challenges
from boxy_core.image.credentials import Credentials, Login
from boxy_core.image.manifest import MANIFEST, Descriptor
from boxy_core.image.reference import parse
from boxy_core.image.remote import Remote
from boxy_core.image.trust import Trust
from tests.support.free_ports import free_port
from tests.support.registry import digest, layer, oci_image

DATA = bytes(range(256)) * 4096
BLOB = Descriptor("application/octet-stream", digest(DATA), len(DATA))
IMAGE = oci_image([layer({"a": b"1"})])
ADA = Login("ada", "secret")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def registry(handler: Handler, login: Login | None = None) -> AsyncIterator[Remote]:
    """A client of a registry that answers everything below /v2/ and /token by `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        async with Remote(f"127.0.0.1:{port}", login) as remote:
            yield remote
    finally:
        await runner.cleanup()


def ignored(_: int) -> None:
    """A count that nobody looks at."""


async def test_a_download_that_breaks_goes_on_where_it_stopped(tmp_path: Path) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.Response()
        asked.append(request.headers.get("Range", ""))
        start = int(re.findall(r"\d+", asked[-1])[0]) if asked[-1] else 0
        answer = web.StreamResponse(status=206 if start else 200)
        answer.content_length = len(DATA) - start
        await answer.prepare(request)
        if len(asked) < 3:
            await answer.write(DATA[start : start + 300_000])
            assert request.transport is not None
            request.transport.close()
        else:
            await answer.write(DATA[start:])
        return answer

    counted: list[int] = []
    target = tmp_path / "blob"
    async with registry(handler) as remote:
        await remote.fetch("a", BLOB, str(target), counted.append)
    assert target.read_bytes() == DATA
    assert asked[0] == ""
    assert len(asked) == 3
    assert all(re.fullmatch(r"bytes=[1-9]\d*-", one) for one in asked[1:])
    assert sum(counted) == len(DATA)


async def test_a_registry_without_ranges_is_asked_for_the_whole_again(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=DATA)

    target = tmp_path / "blob"
    target.write_bytes(b"left by an interrupted pull")
    async with registry(handler) as remote:
        await remote.fetch("a", BLOB, str(target), ignored)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("body", [DATA[:-1] + b"!", DATA + b"more"])
async def test_bytes_that_are_not_the_blob_s_are_not_kept(tmp_path: Path, body: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body)

    target = tmp_path / "blob"
    async with registry(handler) as remote:
        with pytest.raises(ImageError, match=r"another digest|longer than"):
            await remote.fetch("a", BLOB, str(target), ignored)
    assert not target.exists() or len(body) > len(DATA)


async def test_a_manifest_must_have_the_digest_that_was_asked_for() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=IMAGE.manifest + b" ", content_type=MANIFEST)

    async with registry(handler) as remote:
        with pytest.raises(ImageError, match="has the digest"):
            await remote.manifest(parse(f"{remote.host}/a@{IMAGE.digest}"))


async def test_a_token_is_fetched_for_the_scope_and_used_until_it_ends() -> None:
    seen: list[tuple[str, str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("Authorization", "")
        seen.append((request.path, sent, request.query.get("scope", "")))
        if request.path == "/token":
            assert request.query["service"] == "it"
            return web.json_response({"token": "T", "expires_in": 300})
        if sent == "Bearer T":
            return web.Response(body=IMAGE.manifest, content_type=MANIFEST)
        realm = f"http://{request.host}/token"
        challenge = f'Bearer realm="{realm}",service="it",scope="repository:a:pull"'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async with registry(handler, ADA) as remote:
        for _ in range(2):
            found = await remote.manifest(parse(f"{remote.host}/a"))
            assert found.digest == IMAGE.digest
    tokens = [entry for entry in seen if entry[0] == "/token"]
    basic = "Basic " + base64.b64encode(b"ada:secret").decode()
    assert tokens == [("/token", basic, "repository:a:pull")]
    assert seen[-1][1] == "Bearer T"


async def test_a_basic_registry_gets_the_password_and_a_wrong_one_is_told_with_the_next_step() -> (
    None
):
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") == ADA.basic:
            return web.json_response({"repositories": ["a"]})
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="it"'})

    async with registry(handler, ADA) as remote:
        assert await remote.repositories() == ["a"]
    for login, said in (
        (None, "wants to know who asks"),
        (Login("eve", "x"), "not take the password"),
    ):
        async with registry(handler, login) as remote:
            with pytest.raises(Denied, match=said) as caught:
                await remote.repositories()
            assert f"boxy login {remote.host}" in caught.value.hint


async def test_a_list_of_many_pages_is_read_to_its_end_but_not_at_a_stranger_s() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        last = request.query.get("last", "")
        link = {"": '</v2/a/tags/list?n=1&last=1>; rel="next"',
                "1": '<http://stranger.example/v2/a/tags/list?last=2>; rel="next"'}  # fmt: skip
        headers = {"Link": link[last]} if last in link and "two" not in request.path else {}
        if request.path.startswith("/v2/two") and not last:
            headers = {"Link": '</v2/two/tags/list?last=1>; rel="next"'}
        return web.json_response({"tags": [f"t{last or 0}"]}, headers=headers)

    async with registry(handler) as remote:
        assert await remote.tags("two") == ["t0", "t1"]
        with pytest.raises(ImageError, match="stranger"):
            await remote.tags("a")


async def test_a_push_sends_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    got: dict[str, bytes] = {}
    there = {digest(b"there")}
    (tmp_path / "blob").write_bytes(DATA)

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(status=200 if request.path.rpartition("/")[2] in there else 404)
        if request.method == "POST":
            if request.query.get("from") == "neighbour":
                return web.Response(status=201)
            return web.Response(status=202, headers={"Location": "/v2/a/blobs/uploads/1?state=x"})
        if request.method == "PUT":
            assert request.query["state"] == "x"
            got[request.query["digest"]] = await request.read()
            return web.Response(status=201)
        return web.Response()

    def opened() -> int:
        return os.open(tmp_path / "blob", os.O_RDONLY)

    async with registry(handler) as remote:
        assert await remote.push_blob("a", BLOB, opened, ignored)
        assert not await remote.push_blob("a", BLOB, opened, ignored, "neighbour")
        known = Descriptor("x", digest(b"there"), 5)
        assert not await remote.push_blob("a", known, opened, ignored)
    assert got == {BLOB.digest: DATA}


async def test_the_registry_s_own_words_reach_the_user() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/v2/":
            return web.Response()
        error = {"errors": [{"code": "DENIED", "message": "quota of team\nis used up"}]}
        return web.json_response(error, status=int(request.path.split("/")[2]))

    async with registry(handler) as remote:
        with pytest.raises(Denied, match="quota of team is used up"):
            await remote.tags("403")
        with pytest.raises(ImageError, match=r"405, .*quota of team"):
            await remote.tags("405")
        with pytest.raises(NotFound):
            await remote.manifest(parse(f"{remote.host}/404"))


async def test_nobody_there_is_said_so() -> None:
    async with Remote(f"127.0.0.1:{free_port()}") as remote:
        with pytest.raises(BoxyError, match="nobody answers at") as caught:
            await remote.check()
        assert "running" in caught.value.hint


async def test_another_machine_is_never_spoken_to_in_plain_http_unasked() -> None:
    async with Remote("registry.example:5000") as remote:
        assert await remote._find_base() == "https://registry.example:5000"
    assert Trust().insecure is False


def test_a_header_may_offer_several_schemes() -> None:
    header = 'Basic realm="a, b", Bearer realm="https://t/?x=1,2",service="s",scope="r:a:pull,push"'
    found = challenges([header])
    assert [one.scheme for one in found] == ["basic", "bearer"]
    assert found[0].parameters == {"realm": "a, b"}
    assert found[1].parameters["scope"] == "r:a:pull,push"
    assert challenges(["Negotiate", ""]) == []


def test_credentials_are_each_user_s_own_and_for_root_s_eyes(tmp_path: Path) -> None:
    kept = Credentials(str(tmp_path / "credentials"))
    kept.put(1000, "reg.example", ADA)
    assert kept.get(1000, "reg.example") == ADA
    assert kept.get(1001, "reg.example") is None
    file = tmp_path / "credentials" / "1000.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert "secret" not in repr(kept.get(1000, "reg.example"))
    kept.drop(1000, "reg.example")
    assert kept.hosts(1000) == []
    with pytest.raises(NotFound):
        kept.drop(1000, "reg.example")
