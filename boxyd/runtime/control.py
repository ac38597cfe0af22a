"""Control connections of a shim: one JSON object per packet (SOCK_SEQPACKET), fds beside it.

A request bears `id` and `op`; its answer the same `id` and either `ok` or `error` (the error
tree's wire form).  What bears `event` was not asked for.  Only root may connect.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque

from boxy_core import wirejson
from boxy_core.errors import BoxyError, InvalidRequest
from boxyd.runtime import report
from boxyd.runtime.poller import HUP, IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from boxyd.runtime.poller import Poller

MAX_PACKET = 4 << 20
SUN_PATH = 107
"""bytes that fit into struct sockaddr_un (unix(7))"""


class Link:
    """One control connection.  `serve(link, request, fds)` answers or keeps it for later."""

    def __init__(
        self,
        sock: socket.socket,
        poller: Poller,
        serve: Callable[[Link, dict[str, Any], list[int]], None],
        on_close: Callable[[Link], None],
    ) -> None:
        sock.setblocking(False)
        widen(sock)
        self.sock = sock
        self._poller, self._serve, self._on_close = poller, serve, on_close
        self._queue: deque[bytes] = deque()
        poller.add(sock.fileno(), IN, self._ready)

    @property
    def idle(self) -> bool:
        """Whether everything has been told."""
        return not self._queue

    def tell(self, message: dict[str, Any]) -> None:
        """Send an event or an answer; it waits while the other side is slow."""
        if self.sock.fileno() < 0:
            return
        self._queue.append(wirejson.dumps(message))
        self._flush()

    def fail(self, request: dict[str, Any], error: BoxyError) -> None:
        """Answer with an error."""
        self.tell({"id": request.get("id"), "error": error.to_wire()})

    def _flush(self) -> None:
        try:
            while self._queue:
                self.sock.send(self._queue[0])
                self._queue.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                self._queue.popleft()
            else:
                self.close()
                return
        self._poller.modify(self.sock.fileno(), IN | OUT if self._queue else IN)

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if self.sock.fileno() >= 0 and events & (IN | HUP):
            self._receive()

    def _receive(self) -> None:
        try:
            size = self.sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
            packet, fds = report.receive(self.sock, max(size, 1))
        except BlockingIOError:
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self.close()
            return
        try:
            request = wirejson.loads(packet)
            if not isinstance(request, dict):
                raise ValueError("not an object")
        except ValueError:
            drop_fds(fds)
            self.fail({}, InvalidRequest("a control packet was not a JSON object"))
            return
        self._handle(request, fds)

    def _handle(self, request: dict[str, Any], fds: list[int]) -> None:
        try:
            self._serve(self, request, fds)
        except BoxyError as error:
            drop_fds(fds)
            self.fail(request, error)
        except (KeyError, TypeError, ValueError) as error:
            drop_fds(fds)
            text = f"the request {request.get('op')!r} is malformed: {error}"
            self.fail(request, InvalidRequest(text))

    def close(self) -> None:
        """Close the connection; the shim goes on."""
        fd = self.sock.fileno()
        if fd >= 0:
            self._poller.remove(fd)
            self.sock.close()
            self._on_close(self)


def drop_fds(fds: list[int]) -> None:
    """Close descriptors that came with a request and that nobody took (those are -1)."""
    while fds:
        fd = fds.pop()
        if fd >= 0:
            os.close(fd)


def widen(sock: socket.socket) -> None:
    """Let one packet hold a long command line (SO_SNDBUFFORCE, socket(7))."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, 32, MAX_PACKET)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PACKET)


def peer_is_root(sock: socket.socket) -> bool:
    """Whether root, or whoever runs this shim, is at the other end (unix(7) SO_PEERCRED)."""
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return struct.unpack("3i", data)[1] in {0, os.geteuid()}


def listen(path: str) -> socket.socket:
    """A listening control socket at `path`, for root alone; an old one is replaced."""
    if os.path.lexists(path):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = os.umask(0o177)
    folder = -1
    try:
        if len(os.fsencode(path)) > SUN_PATH:
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            path = f"/proc/self/fd/{folder}/{os.path.basename(path)}"
        sock.bind(path)
    finally:
        os.umask(before)
        if folder >= 0:
            os.close(folder)
    sock.listen(16)
    sock.setblocking(False)
    return sock
