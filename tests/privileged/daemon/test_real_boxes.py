"""The daemon's requests on real boxes: what only the kernel can show."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from boxy_core.client.blocking import Upgraded
from boxy_core.errors import BoxyError, CommandNotFound, Conflict, NotFound
from boxy_core.protocol import EXIT, STDERR, STDIN, STDIN_EOF, STDOUT, frame
from tests.support.daemon import Daemon
from tests.support.waiting import eventually


@pytest.fixture
def daemon(shared_daemon: Daemon) -> Daemon:
    """One for all tests here."""
    return shared_daemon


SLEEP = ["sleep", "600"]


def create(daemon: Daemon, *command: str, **spec: Any) -> dict[str, Any]:
    body = {"image": "alpine", "command": list(command), **spec}
    box: dict[str, Any] = daemon.request("POST", "/boxes", body=body)
    return box


def run(daemon: Daemon, *command: str, **spec: Any) -> dict[str, Any]:
    box = create(daemon, *(command or SLEEP), **spec)
    started: dict[str, Any] = daemon.request("POST", f"/boxes/{box['id']}/start", body={})
    return started


def output(stream: Upgraded) -> tuple[bytes, bytes, dict[str, Any]]:
    """stdout, stderr and the end of an attached session."""
    out, err, end = b"", b"", {}
    for kind, data in stream.frames():
        if kind == STDOUT:
            out += data
        elif kind == STDERR:
            err += data
        elif kind == EXIT:
            end = json.loads(data)
    stream.socket.close()
    return out, err, end


def events(daemon: Daemon, since: int, count: int) -> list[dict[str, Any]]:
    """The next events of boxes; images are unpacked when they are."""
    seen: list[dict[str, Any]] = []
    lines: Any = daemon.client().stream("GET", "/watch", query={"since": since})
    with contextlib.closing(lines):
        for line in lines:
            if line.get("type", "").startswith("box."):
                seen.append(line)
            if len(seen) == count:
                break
    return seen


def cursor(daemon: Daemon) -> int:
    lines: Any = daemon.client().stream("GET", "/watch")
    with contextlib.closing(lines):
        return int(next(lines)["cursor"])


READY = "echo ready; while :; do sleep 0.05; done"


def said_ready(daemon: Daemon, box: dict[str, Any]) -> None:
    """Wait until the box has come to `READY`, with what stands before it done."""
    log = Path(daemon.paths.box(box["id"]), "log")
    eventually(lambda: log.exists() and b"ready" in log.read_bytes())


def test_start_attached_gives_every_byte_and_the_status(daemon: Daemon) -> None:
    box = create(daemon, "sh", "-c", "cat; echo oops >&2; exit 7", stdin=True)
    stream = daemon.client().upgrade(f"/boxes/{box['id']}/start", query={"stdin": 1}, body={})
    stream.socket.sendall(frame(STDIN, b"hello\n" * 1000) + frame(STDIN_EOF))
    out, err, end = output(stream)
    assert out == b"hello\n" * 1000
    assert err == b"oops\n"
    assert (end["status"], end["signal"]) == (7, 0)
    assert daemon.request("GET", f"/boxes/{box['id']}/wait")["status"] == 7


def test_bytes_sent_right_behind_the_request_reach_the_box(daemon: Daemon) -> None:
    box = create(daemon, "cat", stdin=True)
    head = (
        f"POST /boxy/v1/boxes/{box['id']}/start?stdin=1 HTTP/1.1\r\nHost: b\r\n"
        "Connection: Upgrade\r\nUpgrade: boxy-stream\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(daemon.paths.socket)
        sock.sendall(head + frame(STDIN, b"early bird\n") + frame(STDIN_EOF))
        data = b""
        while part := sock.recv(65536):
            data += part
    assert data.startswith(b"HTTP/1.1 101 ")
    assert b"early bird\n" in data


def test_the_order_of_events_of_a_whole_run(daemon: Daemon) -> None:
    since = cursor(daemon)
    box = create(daemon, "sh", "-c", "exit 3", auto_remove=True)
    daemon.request("POST", f"/boxes/{box['id']}/start", body={})
    info = daemon.request("GET", f"/boxes/{box['id']}/wait", query={"condition": "removed"})
    assert info["status"] == 3
    seen = events(daemon, since, 5)
    assert [(e["type"], e["data"]["status"]) for e in seen] == [
        ("box.created", "created"),
        ("box.starting", "starting"),
        ("box.started", "running"),
        ("box.exited", "exited"),
        ("box.removed", "removing"),
    ]
    assert not os.path.exists(daemon.paths.box(box["id"]))
    assert not os.path.exists(daemon.paths.box_run(box["id"]))


def test_stop_lets_a_box_end_by_itself_and_kills_one_that_will_not(daemon: Daemon) -> None:
    polite = run(daemon, "sh", "-c", f"trap 'exit 5' TERM; {READY}")
    stubborn = run(daemon, "sh", "-c", f"trap '' TERM; {READY}")
    for box in (polite, stubborn):
        said_ready(daemon, box)
    assert daemon.request("POST", f"/boxes/{polite['id']}/stop")["exit"]["status"] == 5
    box = daemon.request("POST", f"/boxes/{stubborn['id']}/stop", query={"timeout": 0.2})
    assert (box["status"], box["exit"]["signal"]) == ("exited", 9)


def test_pause_stops_time_in_the_box_and_unpause_lets_it_go_on(daemon: Daemon) -> None:
    box = run(daemon, "sh", "-c", "while :; do echo x; sleep 0.02; done")
    log = Path(daemon.paths.box(box["id"]), "log")
    eventually(log.exists)
    daemon.request("POST", f"/boxes/{box['id']}/pause")
    sizes = [-1, log.stat().st_size]  # what it had said before is still written down
    while sizes[-1] != sizes[-2]:
        time.sleep(0.3)
        sizes.append(log.stat().st_size)
    assert len(sizes) < 10
    size = sizes[-1]
    with pytest.raises(Conflict):
        daemon.request("POST", f"/boxes/{box['id']}/exec", body={"command": ["true"]})
    daemon.request("POST", f"/boxes/{box['id']}/unpause")
    eventually(lambda: log.stat().st_size > size)
    daemon.request("POST", f"/boxes/{box['id']}/pause")
    assert daemon.request("POST", f"/boxes/{box['id']}/stop", query={"timeout": 0.2})["exit"]


def test_kill_of_a_paused_box_ends_it(daemon: Daemon) -> None:
    box = run(daemon)
    daemon.request("POST", f"/boxes/{box['id']}/pause")
    try:
        daemon.request("POST", f"/boxes/{box['id']}/kill")
    except BoxyError:
        print(daemon.log_text())
        raise
    assert daemon.wait_status(box["id"], "exited")["exit"]["signal"] == 9


def test_of_many_starts_at_once_exactly_one_wins(daemon: Daemon) -> None:
    box = create(daemon, *SLEEP)
    results: list[str] = []

    def start() -> None:
        try:
            daemon.request("POST", f"/boxes/{box['id']}/start", body={})
        except BoxyError as error:
            results.append(error.code)
        else:
            results.append("won")

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["conflict"] * 7 + ["won"]


def test_a_missing_command_is_127_and_leaves_nothing_running(daemon: Daemon) -> None:
    box = create(daemon, "/no/such/command")
    with pytest.raises(CommandNotFound) as caught:
        daemon.request("POST", f"/boxes/{box['id']}/start", body={})
    assert caught.value.exit_status == 127
    again = daemon.request("GET", f"/boxes/{box['id']}")
    assert again["status"] == "created"
    assert "/no/such/command" in again["error"]


def test_limits_change_while_the_box_runs(daemon: Daemon) -> None:
    box = run(daemon, limits={"pids": 50})
    daemon.request("POST", f"/boxes/{box['id']}/update", body={"pids": 20, "memory": 64 << 20})

    def limits() -> tuple[int, int]:
        stats = daemon.request("GET", f"/boxes/{box['id']}/stats")
        return stats["memory_limit"], stats["pids_limit"]

    eventually(lambda: limits() == (64 << 20, 20))


def test_a_box_killed_for_want_of_memory_says_so(daemon: Daemon) -> None:
    since = cursor(daemon)
    script = "x=a; while :; do x=$x$x; done"
    box = run(daemon, "sh", "-c", script, limits={"memory": 16 << 20})
    ended = daemon.wait_status(box["id"], "exited", 30)
    assert ended["exit"]["oom"] is True
    assert ended["exit"]["signal"] == 9
    types = [event["type"] for event in events(daemon, since, 5)]
    assert types == ["box.created", "box.starting", "box.started", "box.oom", "box.exited"]


def test_top_shows_the_boxs_own_users(daemon: Daemon) -> None:
    box = run(daemon, "sh", "-c", "sleep 600 & exec sleep 601", user="1000:1000")

    def top() -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = daemon.request("GET", f"/boxes/{box['id']}/top")
        return told

    eventually(lambda: sorted(p["command"] for p in top()) == ["sleep 600", "sleep 601"], what=top)
    processes = top()
    assert {p["uid"] for p in processes} == {1000}
    assert box["pid"] in {p["pid"] for p in processes}


def test_exec_runs_beside_and_is_told(daemon: Daemon) -> None:
    box = run(daemon)
    since = cursor(daemon)
    body = {"command": ["sh", "-c", "echo from exec; exit 4"]}
    stream = daemon.client().upgrade(f"/boxes/{box['id']}/exec", body=body)
    assert stream.headers["boxy-session"]
    out, _, end = output(stream)
    assert (out, end["status"]) == (b"from exec\n", 4)
    started, exited = events(daemon, since, 2)
    assert started["data"]["command"] == body["command"]
    assert exited["data"]["exit_status"] == 4
    assert exited["data"]["session"] == stream.headers["boxy-session"]


def test_logs_are_the_boxs_bytes_also_while_it_runs(daemon: Daemon) -> None:
    script = "for i in 1 2 3; do echo out$i; echo err$i >&2; sleep 0.1; done; printf end"
    box = run(daemon, "sh", "-c", script)
    followed = list(daemon.client().frames("GET", f"/boxes/{box['id']}/logs", query={"follow": 1}))
    for kind, wanted in ((STDOUT, b"out1\nout2\nout3\nend"), (STDERR, b"err1\nerr2\nerr3\n")):
        assert b"".join(data for k, data in followed if k == kind) == wanted
    tail = list(daemon.client().frames("GET", f"/boxes/{box['id']}/logs", query={"tail": 1}))
    assert tail == [(STDOUT, b"end")]


def test_what_a_box_leaves_on_its_disk_is_removed_however_deep(daemon: Daemon) -> None:
    script = (
        "deep=$(yes d/ | head -n 1500 | tr -d '\\n'); mkdir -p $deep; ln -s / d/l; "
        "cd $deep; mkdir -p $deep; ln -s / $deep/l; ln -s / d/l; echo $?"
    )
    box = run(daemon, "sh", "-c", script)
    assert daemon.wait_status(box["id"], "exited", 60)["exit"]["status"] == 0
    daemon.request("DELETE", f"/boxes/{box['id']}")
    assert os.listdir(daemon.paths.boxes) == []


def test_a_box_keeps_what_it_wrote_over_a_restart(daemon: Daemon) -> None:
    box = run(daemon, "sh", "-c", "echo line >> /root/kept; exec sleep 600")

    def kept() -> bytes:
        body = {"command": ["sh", "-c", "cat /root/kept; true"]}
        return output(daemon.client().upgrade(f"/boxes/{box['id']}/exec", body=body))[0]

    eventually(lambda: kept() == b"line\n")
    again = daemon.request("POST", f"/boxes/{box['id']}/restart", query={"timeout": 0})
    assert again["restarts"] == 1
    eventually(lambda: kept() == b"line\nline\n")


def test_a_removed_box_is_not_found_but_its_end_is_remembered(daemon: Daemon) -> None:
    box = run(daemon)
    daemon.request("DELETE", f"/boxes/{box['id']}", query={"force": 1})
    with pytest.raises(NotFound):
        daemon.request("GET", f"/boxes/{box['id']}")
    info = daemon.request("GET", f"/boxes/{box['id']}/wait", query={"condition": "removed"})
    assert info["signal"] == 9
