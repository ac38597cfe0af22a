"""A client of a session: its socket, what waits to be sent to it, what it sends.

Constraint: the box never waits for a viewer.  A viewer has a bounded queue; when that is full
it is emptied, the client is told how much it missed and gets the session's history afresh.
Only a lossless owner (a pipe's end in a shell's sense) may hold the session back.
"""

from __future__ import annotations

import socket
from collections import deque

from boxyd.runtime import frames
from boxyd.runtime.poller import HUP, IN, OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from boxyd.runtime.poller import Poller

    class Hub(Protocol):
        """What a client needs of its session."""

        poller: Poller

        def history(self) -> list[bytes]: ...  # noqa: D102
        def received(self, client: Client, kind: int, payload: bytes) -> None: ...  # noqa: D102
        def finished_input(self, client: Client) -> None: ...  # noqa: D102
        def drained(self, client: Client) -> None: ...  # noqa: D102
        def gone(self, client: Client) -> None: ...  # noqa: D102


VIEWER_LIMIT = 1 << 20
"""bytes that may wait for a viewer"""
OWNER_HIGH, OWNER_LOW = 256 << 10, 64 << 10
"""a lossless owner's queue holds the session back above the first, lets it go below the other"""
_BATCH = 64

_buffer = bytearray(64 << 10)
_view = memoryview(_buffer)


class Client:
    """One connection.  `owner`: lossless; `stdin`: what it types reaches the box.

    `tells`: it can tell what the screen shows.  `opening`: it waits for its first output, which
    will be the present screen; what comes meanwhile will be in it.
    """

    def __init__(self, sock: socket.socket, hub: Hub, *, owner: bool, stdin: bool) -> None:
        sock.setblocking(False)
        self.sock, self.owner, self.stdin = sock, owner, stdin
        self.tells = self.opening = False
        self.rows = self.cols = self.last_active = 0
        self.missed = 0
        self.queued = 0
        self._hub = hub
        self._queue: deque[bytes | memoryview] = deque()
        self._cut = False  # the first of the queue is the rest of a frame half sent
        self._reader = frames.FrameReader()
        self._reading = True
        self._ended = False  # it sends no more; it may still read, until it hangs up
        self._closing = False
        self._deaf = False  # it takes no more; what it sent before is still to be read
        hub.poller.add(sock.fileno(), IN, self._ready)

    # -------------------------------------------------------------- to the client

    def push(self, frame: bytes) -> None:
        """Send a frame of output, now or when there is room; or count it as missed."""
        if self.opening or self._deaf:
            return
        if self.missed:
            self.missed += len(frame) - frames.HEADER.size
        elif not self.owner and self.queued + len(frame) > VIEWER_LIMIT:
            self._lag(frame)
        else:
            self.send(frame)

    def send(self, data: bytes) -> None:
        """Send what must not get lost: a preamble, an answer, the end."""
        if self._deaf:
            return
        rest: bytes | memoryview = data
        if not self._queue:
            try:
                sent = self.sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._stop_sending()
                return
            if sent == len(data):
                return
            rest = memoryview(data)[sent:] if sent else data
            self._cut = sent > 0
        if self.sock.fileno() < 0:
            return
        self._queue.append(rest)
        self.queued += len(rest)
        self._watch()

    def _lag(self, frame: bytes) -> None:
        """Forget the queue, but for the rest of a frame that the client has half of."""
        kept = self._queue.popleft() if self._cut else None
        waiting = sum(len(f) - frames.HEADER.size for f in self._queue)
        self.missed = waiting + len(frame) - frames.HEADER.size
        self._queue.clear()
        self.queued = 0
        if kept is not None:
            self._queue.append(kept)
            self.queued = len(kept)

    def _flush(self) -> None:
        queue = self._queue
        try:
            while queue:
                batch = [queue[at] for at in range(min(len(queue), _BATCH))]
                self._sent(self.sock.sendmsg(batch))
        except BlockingIOError:
            pass
        except OSError:
            self._stop_sending()
        if not queue and self.missed:
            self._catch_up()
        if self.owner and self.queued < OWNER_LOW:
            self._hub.drained(self)
        if not queue and self._closing:
            self.drop()
        elif self.sock.fileno() >= 0:
            self._watch()

    def _stop_sending(self) -> None:
        """It hung up; what it typed before that is its last will, and the poller tells the rest."""
        self._deaf = True
        self._queue.clear()
        self.queued = self.missed = 0

    def _sent(self, count: int) -> None:
        queue = self._queue
        self.queued -= count
        self._cut = False
        while count:
            size = len(queue[0])
            if size > count:
                queue[0] = memoryview(queue[0])[count:]
                self._cut = True
                return
            count -= size
            queue.popleft()

    def _catch_up(self) -> None:
        """Tell what was missed, then the history, then go on live."""
        missed, self.missed = self.missed, 0
        lagged = frames.frame(frames.LAGGED, frames.COUNT.pack(missed))
        for frame in [lagged, *self._hub.history()]:
            self._queue.append(frame)
            self.queued += len(frame)

    def finish(self, last: bytes) -> None:
        """Send the last frame and close once all has been sent."""
        if self.missed:
            self._catch_up()
        self.send(last)
        self._closing = True
        if not self._queue:
            self.drop()

    # -------------------------------------------------------------- from the client

    def feed(self, data: bytes | memoryview) -> None:
        """Take bytes that the client sent; a client that breaks the rules is dropped."""
        try:
            for kind, payload in self._reader.feed(data):
                self._hub.received(self, kind, payload)
        except ValueError:
            self.drop()

    def hold_input(self, hold: bool) -> None:
        """Read no more from this client until its input has room, or read on."""
        if self._ended or self._reading is not hold:
            return
        self._reading = not hold
        fd = self.sock.fileno()
        if fd >= 0:
            if not self._hub.poller.watches(fd):
                self._hub.poller.add(fd, self._events(), self._ready)
            self._watch()

    def _ready(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if self.sock.fileno() < 0:
            return
        if events & IN and self._reading:
            self._receive()
        elif events & HUP:
            if self._reading or self._ended:
                self.drop()
            else:  # what it sent before it left is still to be read: look away until then
                self._hub.poller.remove(self.sock.fileno())

    def _receive(self) -> None:
        try:
            count = self.sock.recv_into(_view)
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            return
        if count:
            self.feed(_view[:count])
            return
        self._reading, self._ended = False, True
        self._hub.finished_input(self)
        if self.sock.fileno() >= 0:
            self._watch()

    def _events(self) -> int:
        return (IN if self._reading else 0) | (OUT if self._queue else 0)

    def _watch(self) -> None:
        fd = self.sock.fileno()
        if self._hub.poller.watches(fd):
            self._hub.poller.modify(fd, self._events())

    def drop(self) -> None:
        """Close the connection; the session is told once."""
        fd = self.sock.fileno()
        if fd < 0:
            return
        self._hub.poller.remove(fd)
        self._queue.clear()
        self.queued = 0
        swallow(self.sock)
        self.sock.close()
        self._hub.gone(self)


def swallow(sock: socket.socket) -> None:
    """Read what nobody wants any more: closing over it would reset the connection (unix(7))."""
    _quiet(lambda: sock.shutdown(socket.SHUT_RDWR))
    while _quiet(lambda: sock.recv_into(_view)):
        pass


def _quiet(call: Callable[[], int | None]) -> int:
    try:
        return call() or 0
    except OSError:
        return 0
