"""Volumes and files on the wire: what is answered, what is refused, what a crash leaves."""

from __future__ import annotations

import os

import pytest

from boxyd.volumes import Volumes
from tests.integration.conftest import Served


async def test_a_volume_is_made_told_used_and_removed(served: Served) -> None:
    made = await served.ask("POST", "/volumes", {"name": "data", "labels": {"a": "b"}})
    assert made.status == 201
    assert (await served.ask("POST", "/volumes", {"name": "data"})).status == 409
    mounts = [{"type": "volume", "source": "data", "target": "/d"},
              {"type": "volume", "target": "/anon"}]  # fmt: skip
    box = await served.ask("POST", "/boxes", {"image": "tiny", "name": "user", "mounts": mounts})
    assert box.status == 201, box
    anonymous = box.json["spec"]["mounts"][1]["source"]
    found = await served.client.request("GET", "/volumes", query={"size": 1})
    assert {v["name"]: (v["boxes"], v["size"], v["anonymous"]) for v in found} == {
        "data": (["user"], 0, False), anonymous: (["user"], 0, True),
    }  # fmt: skip
    [one] = await served.client.request("GET", "/volumes", query={"label": "a=b"})
    assert one["name"] == "data"
    refused = await served.ask("DELETE", "/volumes/data")
    assert refused.status == 409
    assert refused.json["error"]["details"]["boxes"] == ["user"]
    assert (await served.ask("DELETE", "/boxes/user?volumes=1")).status == 200
    assert (await served.ask("GET", f"/volumes/{anonymous}")).status == 404
    assert (await served.ask("DELETE", "/volumes/data")).status == 200
    assert (await served.ask("DELETE", "/volumes/data")).status == 404
    assert (await served.ask("DELETE", "/volumes/data?force=1")).status == 200
    assert os.listdir(served.paths.volumes) == []


async def test_a_box_that_cannot_be_made_leaves_no_volume(served: Served) -> None:
    mounts = [{"type": "volume", "target": "/anon"}, {"source": "/none/here", "target": "/x"}]
    assert (await served.ask("POST", "/boxes", {"image": "tiny", "mounts": mounts})).status == 400
    assert (await served.ask("GET", "/volumes")).json == []


async def test_what_a_crash_left_of_volumes_is_cleared_and_what_is_damaged_is_told(
    served: Served,
) -> None:
    await served.ask("POST", "/volumes", {"name": "kept"})
    for name in (".new-x", ".removing-y", "broken"):
        os.mkdir(f"{served.paths.volumes}/{name}")
    volumes = Volumes(served.paths, served.house.events, lambda: ())
    [sentence] = volumes.load()
    assert "broken" in sentence
    assert [volume.name for volume in volumes.list()] == ["kept"]
    assert sorted(os.listdir(served.paths.volumes)) == ["broken", "kept"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 200, "é", "-x"])
async def test_a_name_that_could_be_a_path_is_refused(served: Served, name: str) -> None:
    answer = await served.ask("POST", "/volumes", {"name": name})
    assert answer.status == (201 if name == "" else 400)


@pytest.mark.parametrize(
    "path",
    ["stat", "stat?path=relative", "stat?path=/a%00b", "files?path=", "file?path=/x&offset=-1",
     "archive?path=/x&follow=maybe", "stat?path=/x&deep=1"],
)  # fmt: skip
async def test_a_path_that_is_none_is_refused_before_anything_is_started(
    served: Served, path: str
) -> None:
    await served.running("a")
    answer = await served.ask("GET", f"/boxes/a/{path}")
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid-request"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/boxes/a/snapshots?name=../x", 400),
        ("POST", "/boxes/a/snapshots/none/restore", 404),
        ("DELETE", "/boxes/a/snapshots/none", 404),
        ("GET", "/boxes/none/changes", 404),
        ("POST", "/boxes/none/clone", 404),
    ],
)
async def test_snapshots_that_cannot_be_are_told(
    served: Served, method: str, path: str, status: int
) -> None:
    await served.running("a")
    assert (await served.ask(method, path)).status == status
    assert (await served.ask("GET", "/boxes/a/snapshots")).json == []
