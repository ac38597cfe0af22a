"""Every request of the API, and every way in which it can be wrong."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from boxy_core import __version__
from boxy_core.errors import BY_CODE
from boxyd.handlers import routes
from tests.integration.conftest import Served, awaited, closed, request
from tests.support.waiting import eventually_async

BAD_QUERIES = [
    "/version?x=1",
    "/boxes?al=1",
    "/boxes?all=maybe",
    "/boxes?filter=nope",
    "/boxes?filter=nope=1",
    "/watch?since=-1",
    "/watch?since=x",
    "/watch?since=99999999999999999999999",
    "/boxes/web/wait?condition=started",
    "/boxes/web/logs?tail=-5",
    "/boxes/web/logs?tail=1.5",
    "/boxes/web/logs?since=yesterday",
    "/boxes/web/logs?since=nan",
    "/boxes/web/logs?follow=2",
]


async def test_version_and_info_say_who_answers(served: Served) -> None:
    version = await served.client.request("GET", "/version")
    assert (version["version"], version["api"], version["pid"]) == (__version__, 1, os.getpid())
    await served.running("a")
    info = await served.client.request("GET", "/info")
    assert info["boxes"]["total"] == info["boxes"]["running"] == 1
    assert info["paths"]["root"] == served.paths.root
    assert info["cgroup"]["driver"] == "null"
    assert "nothing is limited here" in info["notices"]


async def test_images_are_listed_and_found(served: Served) -> None:
    images = await served.client.request("GET", "/images")
    assert [image["name"] for image in images] == ["broken", "packed", "tiny"]
    assert (await served.client.request("GET", "/images/tiny"))["ready"] is True
    assert (await served.ask("GET", "/images/none")).status == 404


async def test_preparing_tells_its_progress_and_then_the_image(served: Served) -> None:
    async with served.client.stream("POST", "/images/packed/prepare") as answer:
        lines = [line async for line in answer.lines()]
    assert lines[0] == {"step": "unpacking", "done": 1, "total": 2}
    assert lines[-1]["image"]["ready"] is True
    assert (await served.ask("POST", "/images/none/prepare")).status == 404


async def test_a_failed_preparing_ends_with_the_error(served: Served) -> None:
    def fail() -> None:
        raise BY_CODE["image-error"]("the archive is cut off", hint="fetch it again")

    served.store.gate = fail
    reply = await served.ask("POST", "/images/packed/prepare")
    assert reply.status == 200
    assert b'"the archive is cut off"' in reply.body.splitlines()[-1]


async def test_the_whole_life_by_requests(served: Served) -> None:
    ask = served.client.request
    box = await ask("POST", "/boxes", body={"image": "tiny", "name": "web"})
    assert (await ask("GET", "/boxes")) == []
    assert [b["id"] for b in await ask("GET", "/boxes", query={"all": 1})] == [box["id"]]
    assert (await ask("POST", "/boxes/web/start", body={}))["status"] == "running"
    assert len(await ask("GET", "/boxes/web/top")) == 1
    assert [s["session"] for s in await ask("GET", "/boxes/web/sessions")] == ["main"]
    assert (await ask("POST", "/boxes/web/pause"))["status"] == "paused"
    assert (await ask("POST", "/boxes/web/unpause"))["status"] == "running"
    assert (await ask("POST", "/boxes/web/rename", query={"name": "www"}))["name"] == "www"
    limits = (await ask("POST", "/boxes/www/update", body={"pids": 9}))["spec"]["limits"]
    assert limits["pids"] == 9
    assert (await ask("POST", "/boxes/www/exec", body={"command": ["ls"]})) == {"session": "e1"}
    assert (await ask("POST", "/boxes/www/restart", query={"timeout": 1}))["restarts"] == 1
    await ask("POST", "/boxes/www/kill", query={"signal": "USR1"})
    assert isinstance(await ask("GET", "/boxes/www/history"), list)
    assert (await ask("GET", "/boxes/www/plan"))["lines"] == ["runs /bin/sh"]
    assert (await ask("POST", "/boxes/www/stop", query={"timeout": 0.1}))["status"] == "exited"
    assert (await ask("GET", "/boxes/www/wait"))["status"] == 143
    assert await ask("DELETE", "/boxes/www") == {}
    assert (await ask("GET", f"/boxes/{box['id']}/wait", query={"condition": "removed"}))[
        "status"
    ] == 143


async def test_a_plan_is_shown_and_nothing_made(served: Served) -> None:
    reply = await served.client.request(
        "POST", "/plan", body={"image": "packed", "command": ["a", "b"]}
    )
    assert reply["lines"] == ["runs a b"]
    assert served.folders() == []
    assert len(served.house.shelf) == 0


async def test_every_request_on_an_unknown_box_is_not_found_with_a_next_step(
    served: Served,
) -> None:
    for route in routes():
        if "/boxes/{ref}" not in route.path:
            continue
        path = route.path.removeprefix("/boxy/v1").format(ref="nobody", name="x")
        body: object = {"command": ["x"]} if path.endswith("exec") else None
        body = {"pids": 1} if path.endswith("update") else body
        body = {"add": []} if path.endswith("ports") else body
        query = "?name=x" if path.endswith("rename") else ""
        upgrade = {"Upgrade": "boxy-stream"} if path.endswith("attach") else {}
        reply = await served.ask(route.method, path + query, body, **upgrade)
        assert reply.status == 404, (route.method, path)
        error = reply.json["error"]
        assert error["code"] == "not-found"
        assert "nobody" in error["message"]
        assert "boxy ps -a" in error["hint"]


@pytest.mark.parametrize("path", BAD_QUERIES)
async def test_a_wrong_parameter_is_refused_by_name(served: Served, path: str) -> None:
    await served.new("web")
    reply = await served.ask("GET", path)
    assert reply.status == 400
    error = reply.json["error"]
    assert error["code"] == "invalid-request"
    assert error["hint"]


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/boxes", b"", "no body"),
        ("/boxes", b"{", "truncated"),
        ("/boxes", b"[]", "array"),
        ("/boxes", b"\xff\xfe", "malformed"),
        ("/boxes", b'{"image": "tiny", "nope": 1}', "nope"),
        ("/boxes", b'{"image": 1}', "image"),
        ("/boxes", b'{"image": "tiny", "tty": "yes"}', "tty"),
        ("/boxes", b'{"image": "tiny", "limits": {"memory": "1g"}}', "limits.memory"),
        ("/boxes", b'{"image": "tiny", "name": "a/b"}', "a/b"),
        ("/boxes", b'{"name": "x"}', "image"),
        ("/boxes", b"[" * 500_000, "body"),
        ("/plan", b'{"imag": "tiny"}', "imag"),
        ("/boxes/web/exec", b'{"command": "ls"}', "command"),
        ("/boxes/web/exec", b'{"command": []}', "command"),
        ("/boxes/web/update", b'{"memry": 1}', "memry"),
        ("/boxes/web/start", b'{"x": 1}', "no body"),
        ("/boxes/web/start", b"{", "JSON"),
        ("/boxes/web/kill?signal=NOPE", b"", "NOPE"),
        ("/boxes/web/stop?timeout=soon", b"", "timeout"),
        ("/boxes/web/rename?name=", b"", "name"),
        ("/boxes/web/attach", b"", "upgrade"),
    ],
)
async def test_a_wrong_body_is_refused_naming_the_field(
    served: Served, path: str, body: bytes, word: str
) -> None:
    await served.new("web")
    reply = await served.ask("POST", path, body)
    assert reply.status == 400
    assert word in reply.json["error"]["message"]
    assert len(reply.json["error"]["message"]) < 400


async def test_unknown_paths_and_methods_are_told_in_the_same_form(served: Served) -> None:
    assert (await served.ask("GET", "/nope")).json["error"]["code"] == "not-found"
    reply = await served.ask("PUT", "/boxes")
    assert reply.status == 400
    assert "GET, HEAD, POST" in reply.json["error"]["message"]


async def test_a_conflict_is_409_and_names_the_holder(served: Served) -> None:
    holder = await served.new("web")
    reply = await served.ask("POST", "/boxes", {"image": "tiny", "name": "web"})
    assert reply.status == 409
    assert reply.json["error"]["details"]["holder"] == holder.box.id


async def test_a_command_that_does_not_exist_is_told_as_such(served: Served) -> None:
    record = await served.new(command=["missing"])
    reply = await served.ask("POST", f"/boxes/{record.box.id}/start")
    assert (reply.status, reply.json["error"]["code"]) == (400, "command-not-found")
    assert reply.json["error"]["details"]["step"] == "exec"


async def test_a_bug_is_internal_and_the_daemon_lives(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(served.house.shelf, "select", broken)
    reply = await served.ask("GET", "/boxes")
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal")
    assert b"secret" not in reply.body
    assert "secret detail" in caplog.text
    assert (await served.ask("GET", "/version")).status == 200


async def test_who_changed_something_is_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        await served.ask("POST", "/boxes", {"image": "tiny"})
    line = next(text for text in caplog.messages if "POST /boxy/v1/boxes 201" in text)
    assert f"pid {os.getpid()} uid {os.getuid()}" in line


async def test_wait_is_answered_as_soon_as_the_box_ends(served: Served) -> None:
    record = await served.running("web", auto_remove=True)
    ended = asyncio.create_task(served.client.request("GET", "/boxes/web/wait"))
    removed = asyncio.create_task(
        served.client.request("GET", "/boxes/web/wait", query={"condition": "removed"})
    )
    await awaited(record.exited)
    await awaited(record.removed, 2)
    served.shim(record).end(6)
    assert (await ended)["status"] == 6
    assert (await removed)["status"] == 6


async def test_a_start_whose_client_leaves_goes_on(served: Served) -> None:
    served.launches.gate = asyncio.Event()
    record = await served.new("web")
    reader, writer = await served.connect()
    writer.write(request("POST", "/boxes/web/start"))
    await writer.drain()
    await eventually_async(lambda: record.box.status == "starting")
    await closed(writer)
    await asyncio.sleep(0.02)
    served.launches.gate.set()
    await eventually_async(lambda: record.box.status == "running")
    assert reader.at_eof()
