"""A daemon that says what a test scripted: for clients, without any box behind it.

It answers on a real Unix socket, one thread per connection, and keeps what it was asked.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boxy_core.paths import Paths, default_paths

PREFIX = "/boxy/v1"


class Request:
    """What a client asked; `connection` is its socket, for answers that are not plain."""

    def __init__(
        self, method: str, target: str, headers: dict[str, str], body: bytes, sock: socket.socket
    ) -> None:
        self.method = method
        self.target = target
        self.path = target.partition("?")[0].removeprefix(PREFIX)
        self.query = target.partition("?")[2]
        self.headers = headers
        self.body = body
        self.connection = sock

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


Answer = Callable[[Request], bytes]


def answer(value: object, status: int = 200) -> bytes:
    """A plain JSON response."""
    body = json.dumps(value).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def error(code: str, message: str, status: int, hint: str = "") -> bytes:
    """An error as the daemon sends one."""
    wire = {"code": code, "message": message, "hint": hint, "details": {}}
    return answer({"error": wire}, status)


def switching(stream: bytes = b"") -> bytes:
    """The head that ends HTTP, and the first bytes of the stream."""
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: boxy-stream\r\nConnection: Upgrade\r\n"
    return head + b"Boxy-Session: e1\r\n\r\n" + stream


class FakeDaemon:
    """Serves `script`: "METHOD /path" to a value (JSON, 200), bytes (as they are) or a function.

    An empty bytes answer closes the connection without a word.
    """

    def __init__(self, folder: Path, script: dict[str, Any]) -> None:
        self.path = folder / "fake.sock"
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.close_after_answer = False
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def paths(self) -> Paths:
        """Paths that lead here."""
        return default_paths(socket=str(self.path), env={})

    @property
    def asked(self) -> list[str]:
        """Each request as "METHOD /path"."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def close(self) -> None:
        """Stop serving and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(30)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                while (request := _read(reader, connection)) is not None:
                    self.requests.append(request)
                    reply = self._reply(request)
                    connection.sendall(reply)
                    if not reply or reply.startswith(b"HTTP/1.1 101") or self.close_after_answer:
                        return
            except OSError:
                return

    def _reply(self, request: Request) -> bytes:
        scripted = self.script.get(f"{request.method} {request.path}", None)
        if callable(scripted):
            scripted = scripted(request)
        if isinstance(scripted, bytes):
            return scripted
        if scripted is None:
            return error("not-found", f"there is no {request.path}", 404)
        return answer(scripted)


def _read(reader: Any, connection: socket.socket) -> Request | None:
    first = reader.readline().decode()
    if not first:
        return None
    method, target, _ = first.split()
    headers: dict[str, str] = {}
    while line := reader.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)
