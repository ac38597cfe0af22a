"""The responder of one network: names of boxes, and everything else from the host's resolvers.

Constraint: in the daemon's loop, for strangers: bounded in questions under way, in connections,
in time.  A question is handed on as it came, by a socket of its own, and only who was asked can
answer it; so nothing of what a resolver can do is lost, and nothing is cached here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from typing import cast

from boxyd.network import dnswire
from boxyd.network.dnswire import Knows, Question

PORT = 53
UPSTREAM_WITHIN = 3.0
"""seconds that one of the host's resolvers gets"""
IDLE = 10.0
"""seconds of a TCP connection without a question"""
AT_ONCE = 256
"""questions of one network that are handed on at the same time"""
CONNECTIONS = 64
RESOLV_CONF = "/etc/resolv.conf"

log = logging.getLogger("boxyd.network")

Upstreams = Callable[[str], list[str]]
"""the resolvers to ask for a box with this address"""


class Resolvers:
    """The host's own resolvers and search domains, read again when the file changed."""

    def __init__(self, path: str = RESOLV_CONF) -> None:
        self._path = path
        self._seen: object = None
        self.servers: list[str] = []
        self.search: list[str] = []
        self.options: list[str] = []

    def refresh(self) -> Resolvers:
        """Read the file if it is another than before; itself."""
        try:
            status = os.stat(self._path)
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                with open(self._path, encoding="utf-8", errors="replace") as file:
                    self._read(file.read(1 << 16))
                self._seen = seen
        except OSError:
            self.servers, self.search, self.options = [], [], []
        return self

    def _read(self, text: str) -> None:
        self.servers, self.search, self.options = [], [], []
        for line in text.splitlines():
            word, _, rest = line.strip().partition(" ")
            values = rest.split()
            if word == "nameserver" and values:
                self.servers.append(values[0])
            elif word in ("search", "domain"):
                self.search = values
            elif word == "options":
                self.options += values


class Responder:
    """Answers on UDP and TCP at one address."""

    def __init__(self, knows: Knows, upstreams: Upstreams) -> None:
        self._knows = knows
        self._upstreams = upstreams
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._asked = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0

    async def start(self, address: str, port: int = PORT) -> int:
        """Listen; the port.  Raises OSError if somebody else does."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.bind((address, port))
            port = sock.getsockname()[1]
            self._transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), sock=sock
            )
        except BaseException:
            sock.close()
            raise
        try:
            self._server = await asyncio.start_server(self._connected, address, port)
        except BaseException:
            self._transport.close()
            raise
        return port

    def close(self) -> None:
        """Stop answering."""
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    # ------------------------------------------------------------------ questions

    def take(self, data: bytes, source: str, reply: Callable[[bytes], None], limit: int) -> None:
        """Answer at once, or hand the question on and answer when somebody knows."""
        asked = dnswire.parse(data)
        if asked is None:
            return
        if not isinstance(asked, Question):
            reply(dnswire.refusal(data, asked))
            return
        known = dnswire.answer(asked, self._knows, limit)
        if known is not None:
            reply(known)
            return
        servers = self._upstreams(source)
        if not servers or self._asked >= AT_ONCE:
            reply(dnswire.refusal(data, dnswire.SERVFAIL if servers else dnswire.REFUSED))
            return
        self._asked += 1
        task = asyncio.ensure_future(self._hand_on(data, servers, reply, tcp=limit > 4096))
        self._tasks.add(task)
        task.add_done_callback(self._handed_on)

    def _handed_on(self, task: asyncio.Task[None]) -> None:
        self._asked -= 1
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.debug("a question could not be handed on: %s", error)

    async def _hand_on(
        self, data: bytes, servers: list[str], reply: Callable[[bytes], None], *, tcp: bool
    ) -> None:
        for server in servers:
            try:
                async with asyncio.timeout(UPSTREAM_WITHIN):
                    said = await (_ask_tcp(server, data) if tcp else _ask_udp(server, data))
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
                continue
            reply(said)
            return
        reply(dnswire.refusal(data, dnswire.SERVFAIL))

    # ------------------------------------------------------------------ TCP

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS:
                with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                    await self._converse(reader, writer)
        finally:
            self._connections -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = writer.get_extra_info("peername")[0]
        while True:
            async with asyncio.timeout(IDLE):
                size = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(size)
            done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            def reply(said: bytes, done: asyncio.Future[bytes] = done) -> None:
                if not done.done():
                    done.set_result(said)

            self.take(data, source, reply, dnswire.TCP_LIMIT)
            async with asyncio.timeout(IDLE):  # what gets no answer ends the connection
                said = await done
                writer.write(len(said).to_bytes(2, "big") + said)
                await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        transport = self._transport
        assert transport is not None

        def reply(said: bytes) -> None:
            if not transport.is_closing():
                transport.sendto(said, addr)

        self._responder.take(data, str(addr[0]), reply, dnswire.UDP_LIMIT)

    def error_received(self, exc: Exception) -> None:
        log.debug("an answer could not be sent: %s", exc)


async def _ask_udp(server: str, data: bytes) -> bytes:
    """One question, by a socket that only `server` can answer on."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect((server, PORT))
        await loop.sock_sendall(sock, data)
        while True:
            said = await loop.sock_recv(sock, 65535)
            if said[:2] == data[:2] and len(said) >= 12:
                return said


async def _ask_tcp(server: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, PORT)
    try:
        writer.write(len(data).to_bytes(2, "big") + data)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()
