"""A served house in this process, with fake shims: every request, without root.

The daemon as a process of its own is in test_process.py; real boxes are in tests/privileged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from boxy_core.client.aio import Client
from boxyd import instance
from boxyd.server import Server
from tests.support.waiting import eventually_async
from tests.unit.daemon.conftest import World

API = "/boxy/v1"


class Reply(NamedTuple):
    """An HTTP answer as raw as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served(World):
    """A world whose daemon listens on a real socket."""

    client: Client

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writers: list[asyncio.StreamWriter] = []

    async def watched(self, count: int = 1) -> None:
        """Wait until so many watchers wait for the next event."""
        await eventually_async(lambda: len(self.house.events._waiting) == count)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.paths.socket)
        self.writers.append(writer)
        return reader, writer

    async def raw(self, data: bytes, *, eof: bool = False) -> Reply:
        """Send these bytes on a connection of their own; the first answer."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            await writer.drain()
            if eof:
                writer.write_eof()
            return await read_reply(reader)
        finally:
            await closed(writer)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        return await self.raw(request(method, path, body, **headers))


def request(method: str, path: str, body: object = None, **headers: str) -> bytes:
    """A request's bytes; `body` bytes go as they are, other things as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {API}{path} HTTP/1.1", "Host: boxy", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    """One answer with a Content-Length, a chunked one, or an interim switch of protocols."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(first.split()[1]), headers, body)


async def awaited(end: asyncio.Future[Any], count: int = 1) -> None:
    """Wait until so many wait for this."""
    await eventually_async(lambda: len(end._callbacks or ()) >= count)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        return


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A served house; nothing of it is left afterwards."""
    world = Served(tmp_path)
    world.client = Client(world.paths.socket)
    async with world.daemon() as house:
        with instance.listen(world.paths.socket) as sock:
            server = Server(house, sock)
            await server.start()
            yield world
            for writer in world.writers:
                writer.transport.abort()
            await server.stop()
    world.outside.close()
