"""Small reads are answered on a short way; here it is held against the long one."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable

import pytest

from tests.support.registry_process import Registry, Reply, digest_of
from tests.support.waiting import eventually

LONG_WAY = {"Range": "none"}
"""a header that the short way does not know, and that asks for nothing"""


@pytest.fixture
def served(new_registry: Callable[[], Registry]) -> Registry:
    registry = new_registry()
    registry.start("--access-log", "json", config='warning = "soon moved"\n')
    return registry


def told(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    return reply.status, {k: v for k, v in reply.headers.items() if k != "date"}, reply.body


def test_the_short_way_says_what_the_long_way_says(served: Registry) -> None:
    digest = served.push(b"layer", name="team/app")
    layer = digest_of(b"layer")
    big = served.push_blob(b"x" * 100_000, "team/app")
    paths = {
        "/v2/": "",
        "/v2/team/app/manifests/t": digest,
        f"/v2/team/app/manifests/{digest}": digest,
        f"/v2/team/app/blobs/{layer}": layer,
        f"/v2/team/app/blobs/{big}": big,
        "/v2/team/app/manifests/none": "",
        f"/v2/team/other/blobs/{layer}": "",
        "/v2/team/app/manifests/sha256:short": "",
        "/v2/team/app/tags/list": "",
    }
    asked = 0
    connection = served.connection()
    for path, tag in paths.items():
        for method in ("GET", "HEAD"):
            for condition in ({}, {"If-None-Match": f'"{tag}"'} if tag else {}):
                short = served.ask(method, path, None, connection, **condition)
                long = served.ask(method, path, None, connection, **condition, **LONG_WAY)
                assert told(short) == told(long), (method, path)
                assert short.status == 304 if condition else short.status != 304
                asked += 2
    connection.close()
    served.stop()
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line[0] == "{"]
    lines = [line for line in lines if line.get("method") in ("GET", "HEAD") and line["endpoint"]]
    assert len(lines) == asked
    for short, long in zip(lines[::2], lines[1::2], strict=True):
        differ = {name for name in short if short[name] != long[name]}
        assert differ <= {"time", "seconds"}


def test_requests_that_come_together_are_answered_in_their_order(served: Registry) -> None:
    served.push(b"layer", name="team/app")
    blob = served.push_blob(b"y" * 60_000, "team/app")
    short, long = "/v2/team/app/manifests/t", "/v2/team/app/tags/list"
    paths = [short, f"/v2/team/app/blobs/{blob}", long, short, "/v2/nowhere/manifests/t"] * 30
    head = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
        sock.sendall("".join(head.format(path) for path in paths).encode())
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    statuses = [int(found) for found in re.findall(rb"HTTP/1.1 (\d+) ", data)]
    assert statuses == [200, 200, 200, 200, 404] * 30 + [200]
    assert data.count(b"y" * 60_000) == 30


def test_a_request_in_pieces_is_a_request(served: Registry) -> None:
    served.push(b"layer", name="team/app")
    request = b"GET /v2/team/app/manifests/t HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(len(request)):
            sock.sendall(request[index : index + 1])
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_file_that_is_shorter_than_it_was_is_an_error_and_no_silence(served: Registry) -> None:
    for size in (1000, 100_000):
        digest = served.push_blob(bytes([size % 251]) * size, "team/app")
        algorithm, _, digits = digest.partition(":")
        os.truncate(served.root / "blobs" / algorithm / digits[:2] / digits, 10)
        reply = served.ask("GET", f"/v2/team/app/blobs/{digest}")
        assert (reply.status, reply.code) == (500, "UNKNOWN")
        assert "is damaged here" in reply.json["errors"][0]["message"]
    # written a moment later
    eventually(lambda: "run boxy-registry scrub" in served.log.read_text())


def test_a_server_without_upstreams_loads_no_client(served: Registry) -> None:
    assert served.process is not None
    with open(f"/proc/{served.process.pid}/maps") as file:
        mapped = file.read()
    assert "_http_parser" in mapped
    assert "libstdc++" not in mapped
