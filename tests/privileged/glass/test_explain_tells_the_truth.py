"""`boxy explain` of real boxes: every command by hand is run, and says the same."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from boxyd.runtime import capabilities
from tests.support.daemon import Daemon
from tests.support.waiting import eventually


def sections(daemon: Daemon, name: str) -> dict[str, list[dict[str, Any]]]:
    found = daemon.request("GET", f"/boxes/{name}/explain")
    return {section["key"]: section["facts"] for section in found["sections"]}


def fact(facts: list[dict[str, Any]], what: str) -> str:
    return str(next(fact for fact in facts if fact["what"].strip() == what)["value"])


def by_hand(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_a_running_box_is_what_it_is_said_to_be(daemon: Daemon) -> None:
    daemon.run("run", "-d", "--name", "web", "-m", "64m", "--pids-limit", "50", "alpine",
               "sh", "-c", "sleep 600 & wait")  # fmt: skip
    eventually(  # the box runs before its child
        lambda: "sleep 600" in [p["command"] for p in daemon.request("GET", "/boxes/web/top")]
    )
    found = sections(daemon, "web")
    box = daemon.request("GET", "/boxes/web")
    said = {
        (key, fact["what"]): by_hand(fact["by_hand"])
        for key, facts in found.items()
        for fact in facts
        if fact["by_hand"]
    }
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        ours, host = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (box["pid"], "self"))
        assert fact(found["namespaces"], kind) == f"{ours}, its own; the host's is {host}"
        assert said["namespaces", kind].strip() == ours
    assert fact(found["users"], "user map").split() == said["users", "user map"].split()
    limits = [fact for fact in found["cgroup"] if fact["note"].startswith("set by --")]
    assert {fact["note"].split()[2] for fact in limits} == {"--memory", "--pids-limit"}
    for limit in limits:
        assert said["cgroup", limit["what"]].strip() == limit["value"]
        assert limit["value"] in ("67108864", "50")
    effective = said["powers", "CapEff"].split("CapEff:")[1].split()[0]
    assert int(effective, 16) == capabilities.mask(fact(found["powers"], "CapEff").split(", "))
    commands = [fact["value"] for fact in found["processes"]]
    assert "sleep 600" in commands
    assert fact(found["network"], "interfaces").split(", ")[0] == "lo"


def test_the_command_that_enters_a_box_enters_it(daemon: Daemon) -> None:
    daemon.run("run", "-d", "--name", "web", "--hostname", "inside", "alpine", "sleep", "600")
    found = daemon.request("GET", "/boxes/web/explain")["sections"]
    about = next(section["about"] for section in found if section["key"] == "namespaces")
    command = about.partition("nsenter")[1] + about.partition("nsenter")[2]
    assert by_hand(command + " -c hostname") == "inside\n"


def test_what_is_said_to_be_refused_is_refused_and_the_layers_are_the_layers(
    daemon: Daemon,
) -> None:
    daemon.run("run", "-d", "--name", "web", "alpine", "sh", "-c", "echo x >/new; sleep 600")
    found = sections(daemon, "web")
    refused = fact(found["powers"], "refused").split(", ")
    assert {"mount", "unshare", "keyctl"} <= set(refused)
    assert daemon.boxy("exec", "web", "unshare", "-U", "true").returncode != 0
    upper, layer = fact(found["layers"], "writable"), fact(found["layers"], "layer 1")
    eventually(lambda: "new" in os.listdir(upper))
    assert "bin" in os.listdir(layer)
    every = [fact["value"] for fact in found["mounts"]] + [f["what"] for f in found["mounts"]]
    with open(f"/proc/{daemon.request('GET', '/boxes/web')['pid']}/mountinfo") as table:
        for line in table:
            target = line.split()[4]
            assert any(target == text or target in text.split(", ") for text in every), target
    assert not [f for f in found["mounts"] if f["note"].startswith("made by a process")]


def test_an_ended_box_is_explained_and_traced(daemon: Daemon) -> None:
    daemon.run("run", "--name", "job", "alpine", "true")
    assert list(sections(daemon, "job")) == ["box", "layers"]
    traced = daemon.request("GET", "/boxes/job/trace")
    assert [line["what"] for line in traced["lines"]][:2] == ["create", "start"]
    assert traced["start"]["total_ms"] > 0
    assert sum(step["ms"] for step in traced["start"]["steps"]) <= traced["start"]["total_ms"] + 1
    daemon.restart()
    assert daemon.request("GET", "/boxes/job/trace")["lines"] == traced["lines"]


def test_each_hop_of_the_network_is_there(daemon: Daemon) -> None:
    daemon.run("network", "create", "lan")
    daemon.run("run", "-d", "--name", "web", "--network", "lan", "-p", "80", "alpine",
               "sleep", "600")  # fmt: skip
    hops = sections(daemon, "web")["network"]
    box = daemon.request("GET", "/boxes/web")
    end, port = box["networks"][0], box["ports"][0]
    said = {hop["what"]: by_hand(hop["by_hand"]) for hop in hops}
    assert end["address"] in said["eth0"]
    bridge = next(hop["what"].strip(" ↓") for hop in hops if "the bridge" in hop["value"])
    assert bridge in said[f"  ↓ {end['host_interface']}"]
    assert f"{port['host']}" in said["published"]
    daemon.run("rm", "-f", "web")
    daemon.run("network", "rm", "lan")
