"""The client's connection goes to the shim whole: nothing read too far, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest

from boxy_core.protocol import EXIT, RESIZE, STDIN, STDOUT, FrameReader, frame, resize
from tests.integration.conftest import Served, closed, read_reply, request
from tests.support.waiting import eventually_async

UPGRADE = {"Connection": "Upgrade", "Upgrade": "boxy-stream"}


async def frames_until_end(reader: asyncio.StreamReader) -> list[tuple[int, bytes]]:
    parser, frames = FrameReader(), []
    while data := await asyncio.wait_for(reader.read(65536), 30):
        frames += parser.feed(data)
    return frames


async def test_start_with_an_upgrade_attaches_from_the_first_byte(served: Served) -> None:
    record = await served.new("web")
    reader, writer = await served.connect()
    writer.write(request("POST", "/boxes/web/start?stdin=1&rows=40&cols=120", **UPGRADE))
    reply = await read_reply(reader)
    assert reply.status == 101
    assert reply.headers["upgrade"] == "boxy-stream"
    served.shim(record).end(7)
    assert await frames_until_end(reader) == [(STDOUT, b"hello\n"), (EXIT, b'{"status":7}')]
    await closed(writer)


@pytest.mark.parametrize("pieces", [1, 3, 50])
async def test_bytes_sent_right_behind_the_request_reach_the_shim_whole(
    served: Served, pieces: int
) -> None:
    record = await served.new("web")
    early = resize(40, 120) + frame(STDIN, os.urandom(100_000)) + b"GET / HTTP/1.1\r\n\r\n"
    data = request("POST", "/boxes/web/start?stdin=1", {}, **UPGRADE) + early
    reader, writer = await served.connect()
    step = len(data) // pieces + 1
    for at in range(0, len(data), step):
        writer.write(data[at : at + step])
        await asyncio.sleep(0)
    assert (await read_reply(reader)).status == 101
    client = served.shim(record).clients[0]
    client.settimeout(30)
    got = b""
    while len(got) < len(early):
        got += await asyncio.to_thread(client.recv, 65536)
    assert got == early
    assert got[0] == RESIZE
    served.shim(record).end(0)
    await closed(writer)


async def test_an_upgrade_may_follow_ordinary_requests_on_its_connection(served: Served) -> None:
    record = await served.new("web")
    reader, writer = await served.connect()
    writer.write(request("GET", "/version") + request("GET", "/boxes/web"))
    writer.write(request("POST", "/boxes/web/start", **UPGRADE) + b"early")
    assert (await read_reply(reader)).status == 200
    assert (await read_reply(reader)).status == 200
    assert (await read_reply(reader)).status == 101
    assert await asyncio.to_thread(served.shim(record).clients[0].recv, 100) == b"early"
    served.shim(record).end(0)
    await closed(writer)


async def test_attach_and_exec_hand_over_too_and_exec_names_its_session(served: Served) -> None:
    record = await served.running("web")
    for path, body in (("attach?session=main&replay=0", None), ("exec", {"command": ["sh"]})):
        reader, writer = await served.connect()
        writer.write(request("POST", f"/boxes/web/{path}", body, **UPGRADE))
        reply = await read_reply(reader)
        assert reply.status == 101
        assert reply.headers.get("boxy-session") == ("e1" if body else None)
        await closed(writer)
    served.shim(record).end(0)


async def test_after_the_101_the_daemon_holds_nothing_of_the_connection(served: Served) -> None:
    record = await served.running("web")
    before = _descriptors()
    reader, writer = await served.connect()
    writer.write(request("POST", "/boxes/web/attach", **UPGRADE))
    assert (await read_reply(reader)).status == 101
    # this process is client, daemon and shim: one end each for client and shim, none between
    await eventually_async(lambda: _descriptors() == before + 2)
    assert not served.house.closing.is_set()
    served.shim(record).end(0)
    await closed(writer)


def _descriptors() -> int:
    """How many sockets are open; a thread may have a file open at any moment."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/boxes/none/attach", None, 404),
        ("/boxes/web/attach?session=e9", None, 404),
        ("/boxes/web/start", None, 409),
        ("/boxes/web/exec", {"command": ["missing"]}, 400),
        ("/boxes/web/exec", {"command": 1}, 400),
        ("/boxes/web/attach?rows=99999", None, 400),
        ("/version", None, 200),
    ],
)
async def test_an_upgrade_that_fails_is_an_ordinary_answer_and_the_connection_closes(
    served: Served, path: str, body: object, status: int
) -> None:
    await served.running("web")
    method = "GET" if path == "/version" else "POST"
    reader, writer = await served.connect()
    writer.write(request(method, path, body, **UPGRADE) + frame(STDIN, b"early"))
    reply = await read_reply(reader)
    assert reply.status == status
    if status >= 400:
        assert reply.json["error"]["message"]
    assert await asyncio.wait_for(reader.read(), 30) == b""
    await closed(writer)


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "boxy-stream2"])
async def test_another_protocol_is_refused_by_name(served: Served, protocol: str) -> None:
    await served.running("web")
    reply = await served.ask("POST", "/boxes/web/attach", Connection="Upgrade", Upgrade=protocol)
    assert reply.status == 400
    assert protocol in reply.json["error"]["message"]


async def test_a_chunked_upgrade_is_refused_with_what_to_send(served: Served) -> None:
    await served.running("web")
    data = (
        b"POST /boxy/v1/boxes/web/exec HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\n"
        b"Upgrade: boxy-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'13\r\n{"command": ["ls"]}\r\n0\r\n\r\n'
    )
    reply = await served.raw(data)
    assert reply.status == 400
    assert "Content-Length" in reply.json["error"]["hint"]


async def test_a_client_that_vanishes_while_its_box_starts_hurts_nobody(served: Served) -> None:
    served.launches.gate = asyncio.Event()
    record = await served.new("web")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(served.paths.socket)
    sock.sendall(request("POST", "/boxes/web/start", **UPGRADE) + b"early")
    await eventually_async(lambda: record.box.status == "starting")
    sock.close()
    served.launches.gate.set()
    await eventually_async(lambda: record.box.status == "running")
    assert (await served.client.request("GET", "/version"))["api"] == 1


async def test_a_client_that_vanishes_in_the_middle_of_an_upgrade_request_is_forgotten(
    served: Served,
) -> None:
    await served.running("web")
    before = _descriptors()
    data = request("POST", "/boxes/web/exec", {"command": ["ls"]}, **UPGRADE)
    for cut in (10, 60, len(data) - 3):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(served.paths.socket)
        sock.sendall(data[:cut])
        await asyncio.sleep(0.01)
        sock.close()
    await eventually_async(lambda: _descriptors() <= before)
    assert (await served.client.request("GET", "/version"))["api"] == 1


async def test_many_connections_at_once_leave_no_descriptor(served: Served) -> None:
    record = await served.running("web")
    before = _descriptors()
    pairs = [await served.connect() for _ in range(60)]
    for _, writer in pairs:
        writer.write(request("POST", "/boxes/web/attach", **UPGRADE))
    for reader, _ in pairs:
        assert (await read_reply(reader)).status == 101
    served.shim(record).end(0)
    for reader, writer in pairs:
        await frames_until_end(reader)
        await closed(writer)
    await eventually_async(lambda: _descriptors() <= before)
