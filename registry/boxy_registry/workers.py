"""From settings to serving: bind the sockets, then serve here or in several processes.

Constraint: with several, this process only watches.  It is single-threaded, so that a worker
that died can be replaced by a fork; it passes on the signals that it gets, and ends when all
have ended.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
import time

from boxy_core.errors import Denied
from boxy_core.systemd import notify
from boxy_registry import server
from boxy_registry.config import Settings, endpoint
from boxy_registry.store import Store

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SHORTEST_LIFE = 1.0
"""seconds; a worker that dies sooner is not replaced at once"""


def serve(settings: Settings) -> int:
    """Serve until told to end; the exit status.  Raises BoxyError if it cannot begin."""
    Store(settings.root).close()  # what is wrong with the store is told here, once
    sockets = listen(settings)
    if settings.workers == 1:
        server.run(settings, sockets, lambda: announce(settings))
        return 0
    return _Workers(settings, sockets).run()


def listen(settings: Settings) -> list[socket.socket]:
    """The listening sockets.  Raises Denied naming the address that cannot be had."""
    found: list[socket.socket] = []
    for address in settings.listen:
        try:
            found += _listen(*endpoint(address))
        except OSError as error:
            for sock in found:
                sock.close()
            raise Denied(
                f"cannot listen on {address}: {error.strerror or error}",
                hint="is another server there? give another address with --listen",
            ) from None
    return found


def announce(settings: Settings) -> None:
    """Say that connections are taken: on stderr, and to systemd (sd_notify(3))."""
    sys.stderr.write(f"boxy-registry serves {settings.root} on {', '.join(settings.listen)}\n")
    notify(os.environ, "READY=1")


def _listen(host: str, port: int) -> list[socket.socket]:
    found = []
    for family, kind, protocol, _, where in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        sock = socket.socket(family, kind, protocol)
        found.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(server.BACKLOG)
        sock.setblocking(False)
    return found


class _Workers:
    """The processes that serve, by pid, with the time of their start."""

    def __init__(self, settings: Settings, sockets: list[socket.socket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._started: dict[int, float] = {}
        self._ending = False
        self._lifeline, self._held = os.pipe()  # its end tells the workers of ours, even by kill -9

    def run(self) -> int:
        """Start them, replace the dead, end with the last."""
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)
        told, tells = os.pipe()
        for _ in range(self._settings.workers):
            self._start(tells)
        os.close(tells)
        while os.read(told, 1):  # ends when the last one serves, or has ended
            pass
        os.close(told)
        announce(self._settings)
        while self._started:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                break
            self._ended(pid, os.waitstatus_to_exitcode(status))
        return 0

    def _start(self, tells: int | None = None) -> None:
        """Fork one; it closes `tells` when it takes connections."""
        pid = os.fork()
        if pid == 0:
            self._work(tells)
        self._started[pid] = time.monotonic()

    def _work(self, tells: int | None) -> None:
        """The child; never returns."""
        status = 1
        try:
            for number in _PASSED_ON:
                # a SIGHUP that comes before the server listens to it means nothing yet
                ignored = number == signal.SIGHUP
                signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
            os.close(self._held)
            ready = (lambda: None) if tells is None else functools.partial(os.close, tells)
            server.run(self._settings, self._sockets, ready, self._lifeline)
            status = 0
        finally:
            os._exit(status)

    def _ended(self, pid: int, status: int) -> None:
        lived = time.monotonic() - self._started.pop(pid, 0)
        if self._ending:
            return
        sys.stderr.write(f"boxy-registry: worker {pid} ended with {status}; another takes over\n")
        if lived < _SHORTEST_LIFE:
            time.sleep(_SHORTEST_LIFE)
        if not self._ending:
            self._start()

    def _pass_on(self, number: int, _: object) -> None:
        if number != signal.SIGHUP:
            self._ending = True
        for pid in list(self._started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
