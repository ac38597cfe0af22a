"""The registry as processes: how it ends, how it is killed, how several share a store."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.support.registry_process import IMAGE, Registry, digest_of, image_of
from tests.support.waiting import eventually


def test_a_kill_in_an_upload_leaves_no_torn_blob_and_the_upload_goes_on(
    registry: Registry,
) -> None:
    kept = registry.push(b"kept")
    data = os.urandom(4 << 20)
    place = registry.begin()
    with socket.create_connection(("127.0.0.1", registry.port)) as sock:
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        sock.sendall(head.encode() + data[: 3 << 20])
        eventually(lambda: registry.arrived(place) > 1 << 20)
        registry.stop(signal.SIGKILL)
    assert registry.command("scrub").returncode == 0
    registry.start()
    assert registry.ask("GET", f"/v2/a/manifests/{kept}").status == 200
    assert registry.ask("HEAD", f"/v2/a/blobs/{digest_of(data)}").status == 404
    arrived = int(registry.ask("GET", place).headers["range"].partition("-")[2]) + 1
    assert 1 << 20 < arrived <= 3 << 20
    done = registry.ask("PUT", f"{place}?digest={digest_of(data)}", data[arrived:])
    assert done.status == 201
    assert registry.ask("GET", f"/v2/a/blobs/{digest_of(data)}").body == data


def test_a_request_under_way_is_answered_before_the_end(registry: Registry) -> None:
    place, data = registry.begin(), os.urandom(900_000)
    with socket.create_connection(("127.0.0.1", registry.port), timeout=30) as sock:
        head = (
            f"PUT {place}?digest={digest_of(data)} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        sock.sendall(head.encode() + data[:600_000])
        eventually(lambda: registry.arrived(place) > 0)
        assert registry.process is not None
        registry.process.send_signal(signal.SIGTERM)
        eventually(registry.refuses)
        sock.sendall(data[600_000:])
        assert b" 201 " in sock.recv(4000).split(b"\r\n")[0]
    assert registry.stop() == 0


def test_workers_share_uploads_and_a_dead_one_is_replaced(
    new_registry: Callable[[], Registry],
) -> None:
    registry = new_registry()
    registry.start("--workers", "3")
    data, place = os.urandom(30_000), registry.begin()
    for start in range(0, 30_000, 1000):  # each on a new connection, to any of them
        reply = registry.ask(
            "PATCH", place, data[start : start + 1000], Content_Range=f"{start}-{start + 999}"
        )
        assert reply.status == 202
    assert registry.ask("PUT", f"{place}?digest={digest_of(data)}", b"").status == 201
    before = registry.workers()
    assert len(before) == 3
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: set(registry.workers()) - set(before))
    assert registry.ask("GET", f"/v2/a/blobs/{digest_of(data)}").body == data
    workers = registry.workers()
    registry.stop(signal.SIGKILL)  # what the workers must notice by themselves
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_to_read_again_ends_no_server_that_starts(
    registry: Registry, workers: str
) -> None:
    registry.stop()
    starting = threading.Thread(target=registry.start, args=("--workers", workers))
    before = registry.process
    starting.start()
    while starting.is_alive():
        process = registry.process
        if process is not None and process is not before and _hears_hangups(process.pid):
            process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    starting.join()
    assert registry.ask("GET", "/v2/").status == 200
    assert registry.stop() == 0


def _hears_hangups(pid: int) -> bool:
    """Whether the process ignores or catches SIGHUP: an interpreter that starts does not yet."""
    with suppress(FileNotFoundError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        masks = [line for line in lines if line.startswith(("SigIgn", "SigCgt"))]
        return any(int(mask.split()[1], 16) & 1 << signal.SIGHUP - 1 for mask in masks)
    return False


def test_what_keeps_it_from_starting_is_one_sentence(registry: Registry) -> None:
    taken = subprocess.run(
        [sys.executable, "-m", "boxy_registry", "serve", "--root", str(registry.root),
         "--listen", f"127.0.0.1:{registry.port}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert taken.returncode == 1
    assert taken.stderr.count("\n") == 1
    assert "cannot listen on" in taken.stderr


def test_the_access_log_is_structured_and_tells_the_error(
    new_registry: Callable[[], Registry],
) -> None:
    registry = new_registry()
    registry.start("--access-log", "json")
    registry.ask("GET", "/v2/a/manifests/none", User_Agent="probe/1")
    registry.stop()
    lines = [json.loads(line) for line in registry.log.read_text().splitlines() if line[0] == "{"]
    entry = next(line for line in lines if line.get("agent") == "probe/1")
    assert (entry["status"], entry["error"]) == (404, "MANIFEST_UNKNOWN")
    assert (entry["endpoint"], entry["repository"]) == ("manifest", "a")


def test_churn_ends_with_a_clean_scrub(new_registry: Callable[[], Registry]) -> None:
    """Pushes, deletes, collections without mercy, and kills, by several processes at once."""
    registry = new_registry()
    config = '[collection]\nevery = "300ms"\ngrace = "1s"\nuploads = "2s"\n'
    registry.start("--workers", "2", "--access-log", "off", config=config)
    enough, latest = threading.Event(), time.monotonic() + 60
    pushed: dict[int, int] = {}
    failures: list[str] = []

    def churn(number: int) -> None:
        pushed[number] = 0
        count = 0
        while not enough.is_set():
            count += 1
            with suppress(OSError, HTTPException):  # a worker was killed under us
                _one_round(registry, f"r{number}", count, failures)
                pushed[number] += 1

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    kills = 0
    while (kills < 4 or sum(pushed.values()) < 16) and time.monotonic() < latest:
        time.sleep(0.5)
        with suppress(ProcessLookupError, IndexError):
            os.kill(registry.workers()[0], signal.SIGKILL)
            kills += 1
        registry.command("gc", "--grace", "1s", "--untagged")
    enough.set()
    for thread in threads:
        thread.join()
    registry.stop()
    assert failures == []
    assert kills >= 4
    assert sum(pushed.values()) > 8
    scrubbed = registry.command("scrub", "--json")
    assert json.loads(scrubbed.stdout)["findings"] == [], scrubbed.stdout
    swept = registry.command("gc", "--grace", "0", "--json")
    assert swept.returncode == 0
    assert json.loads(registry.command("scrub", "--json").stdout)["findings"] == []


def _one_round(registry: Registry, name: str, count: int, failures: list[str]) -> None:
    """Push an image, read it back, delete an older one. What was promised must hold."""
    layer, began = f"{name}-{count}".encode() * 2000, time.monotonic()
    for data in (b"{}", b"common" * 5000, layer):
        if registry.ask("HEAD", f"/v2/{name}/blobs/{digest_of(data)}").status != 200:
            place = registry.begin(name)
            registry.ask("PATCH", place, data[:1000])
            reply = registry.ask("PUT", f"{place}?digest={digest_of(data)}", data[1000:])
            if reply.status != 201:
                return  # a worker was killed between: the client would begin again
    body = image_of(b"common" * 5000, layer)
    reply = registry.ask("PUT", f"/v2/{name}/manifests/t{count}", body, Content_Type=IMAGE)
    if reply.status != 201:
        # what was asked for is kept for three quarters of the grace time at least
        if time.monotonic() - began < 0.7:
            failures.append(f"{name} {count}: {reply.status} {reply.body!r}")
        return
    back = registry.ask("GET", f"/v2/{name}/blobs/{digest_of(layer)}")
    if back.body != layer:
        failures.append(f"{name} {count}: the layer came back as {back.status}")
    if count > 2:
        registry.ask("DELETE", f"/v2/{name}/manifests/t{count - 2}")
