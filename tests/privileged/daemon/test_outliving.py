"""Boxes outlive their daemon, and the next one takes them up."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from boxy_core.errors import BoxyError, NotFound
from boxy_core.protocol import STDIN, STDOUT, FrameReader, frame
from tests.privileged.daemon.test_real_boxes import READY, create, run, said_ready
from tests.support.daemon import Daemon
from tests.support.waiting import eventually


def test_boxes_and_attached_clients_do_not_notice_that_the_daemon_is_killed(
    daemon: Daemon,
) -> None:
    box = create(daemon, "cat", stdin=True)
    stream = daemon.client().upgrade(f"/boxes/{box['id']}/start", query={"stdin": 1}, body={})
    daemon.kill()
    reader = FrameReader()
    reader.feed(stream.rest)
    _echo(stream.socket, reader, b"still here\n")
    daemon.start()
    again = daemon.request("GET", f"/boxes/{box['id']}")
    assert (again["status"], again["pid"] > 0) == ("running", True)
    _echo(stream.socket, reader, b"and now\n")
    stream.socket.close()


def _echo(sock: Any, reader: FrameReader, text: bytes) -> None:
    """Send text to a `cat` and wait for it to come back."""
    sock.settimeout(30)
    sock.sendall(frame(STDIN, text))
    seen = b""
    while text not in seen:
        seen += b"".join(d for kind, d in reader.feed(sock.recv(65536)) if kind == STDOUT)


def test_every_state_is_taken_up_as_it_is(daemon: Daemon) -> None:
    running, paused = run(daemon, name="running"), run(daemon, name="paused")
    created = create(daemon, "true", name="created")
    exited, short = run(daemon, "sh", "-c", "exit 3"), run(daemon, "sh", "-c", "sleep 0.5; exit 4")
    daemon.request("POST", "/boxes/paused/pause")
    daemon.wait_status(exited["id"], "exited")
    daemon.kill()
    eventually(Path(daemon.paths.box(short["id"]), "exit.json").exists)  # while nobody looks
    daemon.start()
    states = {b["id"]: b for b in daemon.request("GET", "/boxes", query={"all": 1})}
    assert states[running["id"]]["status"] == "running"
    assert states[running["id"]]["pid"] == running["pid"]
    assert states[paused["id"]]["status"] == "paused"
    assert states[created["id"]]["status"] == "created"
    assert states[exited["id"]]["exit"]["status"] == 3
    assert (states[short["id"]]["status"], states[short["id"]]["exit"]["status"]) == ("exited", 4)
    daemon.request("POST", "/boxes/paused/unpause")
    assert daemon.request("POST", "/boxes/running/exec", body={"command": ["true"]})["session"]
    assert daemon.request("GET", "/boxes/running/stats")["pids"] >= 1


def test_a_clean_end_leaves_boxes_running_and_stop_boxes_takes_them_along(
    daemon: Daemon,
) -> None:
    box = run(daemon, "sh", "-c", f"trap 'exit 6' TERM; {READY}")
    said_ready(daemon, box)
    assert daemon.stop() == 0
    assert os.path.exists(f"/proc/{box['pid']}")
    daemon.start("--stop-boxes")
    assert daemon.request("GET", f"/boxes/{box['id']}")["status"] == "running"
    assert daemon.stop() == 0
    assert not os.path.exists(f"/proc/{box['pid']}")
    daemon.start()
    assert daemon.request("GET", f"/boxes/{box['id']}")["exit"]["status"] == 6


def test_a_shim_that_is_killed_leaves_its_box_lost_and_nothing_of_it_running(
    daemon: Daemon,
) -> None:
    box = run(daemon)
    os.kill(box["shim_pid"], signal.SIGKILL)
    lost = daemon.wait_status(box["id"], "lost")
    assert lost["error"]
    eventually(lambda: not os.path.exists(f"/proc/{box['pid']}"))
    daemon.request("POST", f"/boxes/{box['id']}/start", body={})
    again = daemon.wait_status(box["id"], "running")
    eventually(lambda: _on_disk(daemon, box["id"])["status"] == "running")  # a moment later
    daemon.kill()
    os.kill(again["shim_pid"], signal.SIGKILL)
    eventually(lambda: not os.path.exists(f"/proc/{again['pid']}"))
    daemon.start()
    assert daemon.request("GET", f"/boxes/{box['id']}")["status"] == "lost"


def _on_disk(daemon: Daemon, box_id: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(daemon.paths.box(box_id), "box.json").read_text())
    return told


def test_a_damaged_box_hurts_no_other(daemon: Daemon) -> None:
    good, bad = run(daemon), create(daemon, "true")
    daemon.stop()
    path = Path(daemon.paths.box(bad["id"]), "box.json")
    kept = path.read_bytes()
    path.write_bytes(kept[:40])
    daemon.start()
    assert [b["id"] for b in daemon.request("GET", "/boxes", query={"all": 1})] == [good["id"]]
    assert any(path.parent.name in notice for notice in daemon.request("GET", "/info")["notices"])
    daemon.stop()
    path.write_bytes(kept)
    daemon.start()
    assert len(daemon.request("GET", "/boxes", query={"all": 1})) == 2


@pytest.mark.timeout(180)
def test_killed_at_any_moment_of_many_lives_it_comes_back_consistent(daemon: Daemon) -> None:
    """kill -9 at random moments while boxes are made, started, stopped and removed."""
    chance = random.Random(os.environ.get("BOXY_TEST_SEED", "7"))
    for _ in range(8):
        stop = threading.Event()
        threads = [
            threading.Thread(target=_lives, args=(daemon, stop, chance.random())) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, 0.6))
        daemon.kill()
        stop.set()
        for thread in threads:
            thread.join(30)
        daemon.start()
        _check_consistent(daemon)
    daemon.remove_boxes()
    assert os.listdir(daemon.paths.boxes) == []
    assert os.listdir(daemon.paths.run + "/boxes") == []
    assert "Traceback" not in daemon.log_text()


def _lives(daemon: Daemon, stop: threading.Event, seed: float) -> None:
    chance = random.Random(seed)
    while not stop.is_set():
        try:
            box = create(daemon, "sleep", str(chance.choice([0, 0.01, 600])),
                         auto_remove=chance.random() < 0.3)  # fmt: skip
            path = f"/boxes/{box['id']}"
            daemon.request("POST", path + "/start", body={})
            if chance.random() < 0.5:
                daemon.request("POST", path + "/stop", query={"timeout": 0})
            if chance.random() < 0.5:
                daemon.request("DELETE", path, query={"force": 1})
        except (BoxyError, OSError):
            continue


def _check_consistent(daemon: Daemon) -> None:
    """Every box's state is true, and every folder belongs to a box."""
    assert not [n for n in daemon.request("GET", "/info")["notices"] if "damaged" in n]
    eventually(lambda: not [n for n in os.listdir(daemon.paths.boxes) if n.startswith(".")])
    boxes: list[dict[str, Any]] = daemon.request("GET", "/boxes", query={"all": 1})
    for box in boxes:
        assert box["status"] in ("created", "running", "exited", "stopping", "lost"), box
        if box["status"] == "lost":
            assert box["error"], box
        eventually(functools.partial(_is_true, daemon, box["id"]), what=str(box))


def _is_true(daemon: Daemon, box_id: str) -> bool:
    """Whether a box is as it is told to be; one that lives briefly ends between two looks."""
    try:
        box: dict[str, Any] = daemon.request("GET", f"/boxes/{box_id}")
    except NotFound:
        return not os.path.exists(daemon.paths.box(box_id))
    if box["status"] == "running" and not os.path.exists(f"/proc/{box['pid']}"):
        return False
    try:
        on_disk = json.loads(Path(daemon.paths.box(box_id), "box.json").read_text())
    except FileNotFoundError:
        return False
    return bool(on_disk["id"] == box_id)
