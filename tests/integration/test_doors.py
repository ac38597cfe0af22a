"""Bad input at every door: a clear error or a closed connection, and the daemon lives on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.errors import BY_CODE
from tests.integration.conftest import API, Served, closed, request
from tests.support.waiting import eventually_async

FUZZ = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["tiny", "packed", "/", "..", "\0", "\x1b[2J", "a=b"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
spec_fields = st.sampled_from(
    [
        "image",
        "name",
        "command",
        "entrypoint",
        "env",
        "workdir",
        "user",
        "hostname",
        "labels",
        "tty",
        "stdin",
        "auto_remove",
        "network",
        "limits",
        "mounts",
        "read_only",
        "init",
        "cap_add",
        "cap_drop",
        "seccomp",
        "userns",
        "stop_signal",
        "stop_timeout",
        "rows",
        "cols",
        "nope",
    ]
)
JSON_DOORS = ["/boxes", "/plan", "/boxes/web/exec", "/boxes/web/update", "/boxes/web/start"]


async def check_alive(served: Served) -> None:
    assert (await served.client.request("GET", "/version"))["api"] == 1


async def exchange(served: Served, data: bytes) -> bytes:
    """Send bytes, close our side, read all; [] bytes if the daemon just closed."""
    reader, writer = await served.connect()
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(65536), 30)
    except ConnectionError:
        return b""
    finally:
        await closed(writer)


def judged(answer: bytes) -> None:
    """An answer is one of ours: never a traceback, an internal error, an unknown code."""
    assert answer.startswith(b"HTTP/1.1 ")
    status = int(answer.split()[1])
    assert b"Traceback" not in answer
    if status >= 400:
        error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
        assert error["code"] in BY_CODE
        assert error["code"] != "internal", error
        assert error["message"]


@pytest.fixture
async def fuzzed(served: Served) -> Served:
    await served.running("web")
    return served


@pytest.mark.parametrize("door", JSON_DOORS)
async def test_any_json_at_any_door_is_taken_or_refused_clearly(fuzzed: Served, door: str) -> None:
    bodies: list[Any] = []

    @given(json_values | st.dictionaries(spec_fields, json_values, max_size=5))
    @settings(FUZZ, database=None, max_examples=60)
    def collect(body: Any) -> None:
        bodies.append(body)

    collect()
    for body in bodies:
        judged(await exchange(fuzzed, request("POST", door, body)))
    for record in fuzzed.house.shelf:
        if record.box.name != "web":
            await fuzzed.house.lives.remove(record, force=True)
    await check_alive(fuzzed)


async def test_nearly_right_specs_are_taken_or_refused_clearly(fuzzed: Served) -> None:
    bodies: list[Any] = []

    @given(st.dictionaries(spec_fields, json_values, max_size=3))
    @settings(FUZZ, database=None, max_examples=150)
    def collect(fields: dict[str, Any]) -> None:
        bodies.append({"image": "tiny", **fields})

    collect()
    for body in bodies:
        judged(await exchange(fuzzed, request("POST", "/boxes", body)))
    await check_alive(fuzzed)


async def test_any_bytes_at_the_door_are_answered_or_closed(fuzzed: Served) -> None:
    blobs: list[bytes] = []
    head = f"POST {API}/boxes HTTP/1.1\r\n".encode()

    @given(
        st.binary(min_size=1, max_size=400)
        | st.binary(max_size=200).map(lambda b: head + b + b"\r\n\r\n")
        | st.binary(max_size=100).map(lambda b: head + b"Content-Length: " + b + b"\r\n\r\n")
        | st.binary(max_size=100).map(lambda b: b"GET " + b + b" HTTP/1.1\r\nHost: b\r\n\r\n")
    )
    @settings(FUZZ, database=None, max_examples=150)
    def collect(blob: bytes) -> None:
        blobs.append(blob)

    collect()
    for blob in blobs:
        reader, writer = await fuzzed.connect()
        writer.write(blob)
        writer.write_eof()
        try:
            answer = await asyncio.wait_for(reader.read(), 30)
        except ConnectionError:
            answer = b""
        if answer:
            assert b"Traceback" not in answer
            assert b'"internal"' not in answer
        await closed(writer)
    await check_alive(fuzzed)


MALFORMED = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "negative length": b"POST /b HTTP/1.1\r\nHost: b\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /b HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "bad chunk": b"POST /boxy/v1/boxes HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "long header": b"GET /boxy/v1/version HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    "long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: b\r\n\r\n",
    "many headers": b"GET /boxy/v1/version HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_http_is_400_in_our_form(served: Served, data: bytes) -> None:
    answer = await exchange(served, data)
    assert answer.split()[1] == b"400", answer[:100]
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["code"] == "invalid-request"
    await check_alive(served)


async def test_a_body_over_a_mebibyte_is_refused_without_being_read_whole(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(
        f"POST {API}/boxes HTTP/1.1\r\nHost: b\r\nContent-Length: {1 << 40}\r\n\r\n".encode()
    )
    answer = asyncio.create_task(reader.read(65536))
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 1 << 36:
            writer.write(b"[" * (1 << 20))
            await writer.drain()
            sent += 1 << 20
    assert sent < 1 << 36
    assert b"larger than 1048576 bytes" in await answer
    writer.transport.abort()
    await check_alive(served)


async def test_a_body_of_just_a_mebibyte_is_read(served: Served) -> None:
    body = b'{"image": "tiny", "labels": {"a": "' + b"x" * 1_000_000 + b'"}}'
    reply = await served.ask("POST", "/boxes", body)
    assert reply.status == 201


async def test_a_slow_client_gets_its_answer_byte_by_byte(served: Served) -> None:
    reader, writer = await served.connect()
    for byte in request("POST", "/boxes", {"image": "tiny"}):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await asyncio.wait_for(reader.read(100), 30)).startswith(b"HTTP/1.1 201")
    await closed(writer)


async def test_silent_clients_keep_nobody_waiting(served: Served) -> None:
    silent = [await served.connect() for _ in range(100)]
    for _, writer in silent[::2]:
        writer.write(b"POST /boxy/v1/boxes HTTP/1.1\r\nContent-")
    await check_alive(served)
    for _, writer in silent:
        await closed(writer)


async def test_a_client_that_leaves_early_leaves_no_descriptor(served: Served) -> None:
    await served.running("web")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("/boxes?all=1", "/watch", "/stats", "/boxes/web/logs?follow=1", "/boxes/web/wait"):
        _, writer = await served.connect()
        writer.write(request("GET", path))
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort()
    # one inotify instance may have come to stay
    await eventually_async(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)
    await check_alive(served)
