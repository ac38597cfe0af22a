"""A registry with accounts, as docker, containerd and a browser meet it."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from boxy_core.image.credentials import Login
from boxy_core.image.remote import Remote
from boxy_registry.access import users
from boxy_registry.main import main
from tests.support.registry import RegistryServer, layer, oci_image

IMAGE = oci_image([layer({"a": b"1"})])
RULES = """
public/*  anonymous  pull
public/*  users      pull,push
{user}/*  users      all
"""


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def registry(
    tmp_path: Path, start: Callable[..., RegistryServer], monkeypatch: pytest.MonkeyPatch
) -> RegistryServer:
    monkeypatch.setattr(users, "ROUNDS", 4)
    root = tmp_path / "registry"
    root.mkdir()
    for name in ("ada", "bob"):
        users.add(str(root / "users"), name, f"secret of {name}")
    (root / "access").write_text(RULES)
    return start("--auth", root=root)


def token(registry: RegistryServer, scope: str, headers: dict[str, str]) -> dict[str, str]:
    status, _, body = registry.ask("GET", f"/token?{urlencode({'scope': scope})}", headers=headers)
    assert status == 200
    return {"Authorization": "Bearer " + json.loads(body)["token"]}


def test_everybody_pulls_what_is_public_users_push_and_strangers_see_nothing(
    registry: RegistryServer,
) -> None:
    ada, bob = basic("ada", "secret of ada"), basic("bob", "secret of bob")
    registry.push("public/app", "1", IMAGE, ada)
    registry.push("ada/app", "1", IMAGE, ada)
    manifest = "/v2/{}/manifests/1"
    cases = [
        ({}, "public/app", 200), ({}, "ada/app", 401), (bob, "public/app", 200),
        (bob, "ada/app", 403), (ada, "ada/app", 200), (basic("ada", "guess"), "ada/app", 401),
        (basic("eve", "guess"), "public/app", 401), ({"Authorization": "Basic !"}, "ada/app", 401),
    ]  # fmt: skip
    for headers, name, expected in cases:
        assert registry.ask("GET", manifest.format(name), headers=headers)[0] == expected, name
    # a blob is mounted from where its caller may read, and from nowhere else
    secret = oci_image([layer({"secret": b"1"})])
    registry.push("ada/secret", "1", secret, ada)
    for image, expected in ((IMAGE, 201), (secret, 202)):
        upload = f"/v2/bob/x/blobs/uploads/?mount={next(iter(image.blobs))}"
        assert registry.ask("POST", upload, headers=bob)[0] == expected
    assert registry.ask("DELETE", manifest.format("public/app"), headers=ada)[0] == 403
    listed = json.loads(registry.ask("GET", "/v2/_catalog", headers=bob)[2])["repositories"]
    assert listed == ["public/app"]


async def test_our_own_client_sees_what_its_user_may_see_not_what_a_stranger_may(
    registry: RegistryServer,
) -> None:
    registry.push("ada/app", "1", IMAGE, basic("ada", "secret of ada"))
    registry.push("public/app", "1", IMAGE, basic("ada", "secret of ada"))
    for login, seen in (
        (None, ["public/app"]), (Login("ada", "secret of ada"), ["ada/app", "public/app"])
    ):  # fmt: skip
        async with Remote(registry.host, login) as remote:
            assert await remote.repositories() == seen
            assert await remote.tags("public/app") == ["1"]


def test_a_client_that_shows_credentials_only_when_asked_is_asked_at_the_door(
    registry: RegistryServer,
) -> None:
    status, headers, _ = registry.ask("GET", "/v2/")
    assert status == 401
    realm = f'realm="http://{registry.host}/token"'
    assert headers["www-authenticate"].startswith("Bearer ")
    assert realm in headers["www-authenticate"]
    anonymous = token(registry, "repository:public/app:pull,push", {})
    assert registry.ask("GET", "/v2/", headers=anonymous)[0] == 200
    ada = token(registry, "repository:ada/app:pull,push", basic("ada", "secret of ada"))
    registry.push("ada/app", "1", IMAGE, ada)
    # a token is worth what it was asked for, and no more than its user may do
    other = token(registry, "repository:ada/other:push", basic("ada", "secret of ada"))
    status, headers, _ = registry.ask("GET", "/v2/ada/app/manifests/1", headers=other)
    assert status == 401
    assert 'error="insufficient_scope"' in headers["www-authenticate"]
    assert 'scope="repository:ada/app:pull"' in headers["www-authenticate"]
    bob = token(registry, "repository:ada/app:pull,push", basic("bob", "secret of bob"))
    assert registry.ask("GET", "/v2/ada/app/manifests/1", headers=bob)[0] == 403
    forged = {"Authorization": "Bearer " + ada["Authorization"][7:-4] + "AAAA"}
    assert registry.ask("GET", "/v2/ada/app/manifests/1", headers=forged)[0] == 401
    wrong = registry.ask("GET", "/token", headers=basic("ada", "guess"))
    assert (wrong[0], wrong[1]["www-authenticate"][:5]) == (401, "Basic")


def test_containerd_gets_its_token_by_a_form(registry: RegistryServer) -> None:
    def post(**fields: str) -> tuple[int, bytes]:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        status, _, body = registry.ask("POST", "/token", urlencode(fields).encode(), form)
        return status, body

    fields = {"grant_type": "password", "service": "x", "client_id": "containerd",
              "username": "ada", "scope": "repository:ada/app:pull,push"}  # fmt: skip
    status, body = post(**fields, password="secret of ada")
    told = json.loads(body)
    assert (status, told["scope"]) == (200, "repository:ada/app:pull,push")
    registry.push("ada/app", "1", IMAGE, {"Authorization": "Bearer " + told["access_token"]})
    assert post(**fields, password="guess")[0] == 401
    assert post(grant_type="refresh_token", refresh_token="x")[0] == 401


def test_a_user_who_is_taken_away_is_out_at_once_and_so_is_a_right(
    registry: RegistryServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    root = str(registry.root)
    monkeypatch.setattr("sys.stdin", io.StringIO("secret of eve\n"))
    assert main(["user", "add", "eve", "--root", root, "--password-stdin"]) == 0
    assert main(["user", "ls", "--root", root]) == 0
    assert capsys.readouterr().out.split() == ["ada", "bob", "eve"]
    assert main(["access", "add", "team/*", "eve", "pull,push", "--root", root]) == 0
    time.sleep(0.6)  # the server looks at most twice a second
    eve = token(registry, "repository:team/x:pull,push", basic("eve", "secret of eve"))
    registry.push("team/x", "1", IMAGE, eve)
    assert main(["access", "check", "eve", "push", "team/x", "--root", root]) == 0
    assert main(["access", "rm", "team/*", "eve", "pull,push", "--root", root]) == 0
    assert main(["access", "check", "eve", "push", "team/x", "--root", root]) == 1
    time.sleep(0.6)
    assert registry.ask("GET", "/v2/team/x/manifests/1", headers=eve)[0] == 403
    assert main(["user", "rm", "eve", "--root", root]) == 0
    time.sleep(0.6)
    assert registry.ask("GET", "/v2/team/x/manifests/1", headers=eve)[0] == 401
    (registry.root / "access").write_text("nonsense\n")
    time.sleep(0.6)
    ada = basic("ada", "secret of ada")
    assert registry.ask("GET", "/v2/ada/none/tags/list", headers=ada)[0] == 404  # the old rules


def test_a_page_asks_a_browser_and_shows_what_its_reader_may_pull(registry: RegistryServer) -> None:
    ada = basic("ada", "secret of ada")
    registry.push("ada/app", "1", IMAGE, ada)
    registry.push("public/app", "1", IMAGE, ada)
    everybody = registry.ask("GET", "/")[2].decode()
    assert "public/app" in everybody
    assert "ada/app" not in everybody
    status, headers, _ = registry.ask("GET", "/r/ada/app")
    assert (status, headers["www-authenticate"][:11]) == (401, "Basic realm")
    status, headers, page = registry.ask("GET", "/r/ada/app/-/1", headers=ada)
    assert status == 200
    assert f"boxy pull {registry.host}/ada/app:1" in page.decode()
    assert "default-src 'none'" in headers["content-security-policy"]
    assert registry.ask("GET", "/r/ada/app/-/1", headers=basic("bob", "secret of bob"))[0] == 403
    assert registry.ask("GET", "/static/registry.js")[0] == 200
    assert registry.ask("GET", "/static/..%2fviews.py")[0] == 404
    metrics = registry.ask("GET", "/metrics")[2].decode()
    assert (
        'boxy_registry_requests_total{endpoint="manifest",method="PUT",status="201"} 2' in metrics
    )
    assert 'le="+Inf"} 2' in metrics
