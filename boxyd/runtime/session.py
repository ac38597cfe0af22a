"""A session: one command with its terminal or pipes, its history and its clients.

The shim always drains the command's output into history, log and clients; the exception is
the lossless owner of a session without terminal, whose full queue stops the reading, as a full
pipe stops a writer in a shell.  A terminal has the size of the client that was active last.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
from collections import deque

from boxy_core import wirejson
from boxyd.runtime import clients, frames
from boxyd.runtime.poller import HUP, IN, OUT
from boxyd.runtime.present import Present

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from boxyd.runtime.birth import Running
    from boxyd.runtime.clients import Client
    from boxyd.runtime.log import Log
    from boxyd.runtime.poller import Poller
    from boxyd.runtime.requests import Visit

INPUT_LIMIT = 256 << 10
"""bytes of input that may wait for the command; a client that sends more has to wait itself"""
LAST_WORDS = 4 << 20
"""bytes that are still taken from pipes whose command has ended, while others write to them"""
PATIENCE = 0.3
"""seconds that a client who comes waits for another to tell what the screen shows"""
NUDGE = 0.06
"""seconds that a terminal is a row smaller, so that a full-screen program draws itself anew"""

_buffer = bytearray(64 << 10)
_view = memoryview(_buffer)


class Outcome:
    """How a command ended: a shell's `status`, and the `signal` (0: none)."""

    def __init__(self, info: os.waitid_result) -> None:
        self.signal = 0 if info.si_code == os.CLD_EXITED else info.si_status
        self.status = 128 + self.signal if self.signal else info.si_status


class Nature:
    """What kind of session: the first `size` of its terminal, whether clients may type, bytes
    of history, and the log if it has one."""

    __slots__ = ("log", "ring", "size", "takes_input")

    def __init__(
        self, size: tuple[int, int], takes_input: bool, ring: int, log: Log | None
    ) -> None:
        self.size, self.takes_input, self.ring, self.log = size, takes_input, ring, log


class Session:
    """One running command.

    `on_end(session, outcome)` is called once, after all output was read; `on_change(session)`
    when clients come, go or change the size.
    """

    def __init__(
        self,
        name: str,
        running: Running,
        poller: Poller,
        nature: Nature,
        *,
        on_end: Callable[[Session, Outcome], None],
        on_change: Callable[[Session], None],
    ) -> None:
        self.name, self.running, self.poller = name, running, poller
        self.rows, self.cols = nature.size
        self.clients: list[Client] = []
        self.outcome: Outcome | None = None
        self._takes_input = nature.takes_input
        self._present, self._log = Present(nature.ring, terminal=running.terminal), nature.log
        self._waiting: dict[Client, Visit] = {}
        self._on_end, self._on_change = on_end, on_change
        self._outputs = {running.stdout: frames.STDOUT}
        if not running.terminal:
            self._outputs[running.stderr] = frames.STDERR
        self._input: deque[bytes | memoryview] = deque()
        self._input_size = 0
        self._input_ends = False
        self._activity = 0
        for fd in self._outputs:
            os.set_blocking(fd, False)
            poller.add(fd, IN, self._output_handler(fd))
        if running.stdin >= 0:
            os.set_blocking(running.stdin, False)
        poller.add(running.pidfd, IN, self._ended)

    # -------------------------------------------------------------- clients

    def attach(self, sock: socket.socket, visit: Visit) -> None:
        """A new client; its greeting comes before the first frame, as it is."""
        lossless = visit.owner and not self.running.terminal
        client = clients.Client(sock, self, owner=lossless, stdin=visit.stdin)
        self.clients.append(client)
        greeting = visit.greeting(self.name)
        if greeting:
            client.send(greeting)
        if visit.size != (0, 0):
            client.rows, client.cols = (max(1, side) for side in visit.size)
        client.opening = True
        self._waiting[client] = visit
        if visit.replay and self._ask(client):
            self.poller.later(PATIENCE, lambda: self._open(client))
        else:
            self._open(client)
        self._tell_viewers()
        if visit.early:
            client.feed(visit.early)

    def _ask(self, newcomer: Client) -> bool:
        """Ask a client that parses what the screen shows, at the newcomer's size; False: none."""
        tellers = [client for client in self.clients if client.tells and not client.missed]
        if not tellers:
            return False
        if newcomer.rows and (newcomer.rows, newcomer.cols) != (self.rows, self.cols):
            self.resize(newcomer.rows, newcomer.cols)
            self._tell_viewers()
        position = frames.COUNT.pack(self._present.asked())
        teller = min(tellers, key=lambda client: client.queued)
        teller.send(frames.frame(frames.STATE_WANTED, position))
        return True

    def _open(self, client: Client) -> None:
        """Show a client the screen, at the size that it has, and let it have its own."""
        visit = self._waiting.pop(client, None)
        if visit is None:
            return
        client.opening = False
        if self.running.terminal:
            client.send(self._viewers_frame())
        for data in self._present.frames() if visit.replay else self._present.frames()[-1:]:
            client.send(data)
        before = self.rows, self.cols
        if client.rows:
            self._activity += 1
            client.last_active = self._activity
        self._follow_active()
        if visit.replay and not self._present.exact and before == (self.rows, self.cols):
            self._nudge()

    def _nudge(self) -> None:
        """Have a full-screen program draw itself: nobody knows what it shows (as dtach does)."""
        if self._present.alternate and self.outcome is None:
            self._set_size(self.rows - 1 or 2, self.cols)
            self.poller.later(NUDGE, lambda: self._set_size(self.rows, self.cols))

    def _told(self, client: Client, payload: bytes) -> None:
        """A client tells what the screen shows, or that it can.  Only from who may type: it could
        have made the program show anything."""
        if not (client.stdin and self.running.terminal):
            return
        client.tells = True
        if len(payload) > frames.COUNT.size:
            (position,) = frames.COUNT.unpack_from(payload)
            self._present.tell(position, payload[frames.COUNT.size :])
            for waiting in list(self._waiting):
                self._open(waiting)

    def viewers(self) -> dict[str, int]:
        """How many clients, and the size they see."""
        return {"count": len(self.clients), "rows": self.rows, "cols": self.cols}

    def facts(self) -> dict[str, object]:
        """What a list of sessions shows."""
        known = {"session": self.name, "pid": self.running.pid, "tty": self.running.terminal}
        return {**known, "stdin": self.running.stdin >= 0, **self.viewers()}

    def history(self) -> list[bytes]:
        """What a client that lost its place is shown."""
        return self._present.frames()

    def gone(self, client: Client) -> None:
        """A client's connection is closed."""
        self._waiting.pop(client, None)
        if client in self.clients:
            self.clients.remove(client)
        if client.owner:
            self.drained(client)
            self._close_input_when_empty()
        if self.outcome is None:
            self._follow_active()
            self._tell_viewers()

    def drained(self, client: Client) -> None:
        """The owner's queue has room again: read on."""
        for fd in self._outputs:
            if not self.poller.watches(fd):
                self.poller.add(fd, IN, self._output_handler(fd))

    def received(self, client: Client, kind: int, payload: bytes) -> None:
        """A frame from a client.  Raises ValueError for a malformed one."""
        if kind == frames.STDIN:
            if client.stdin and self._takes_input:
                self._active(client)
                self._type(payload)
        elif kind == frames.RESIZE:
            if len(payload) != frames.SIZE.size:
                raise ValueError("a resize frame bears two numbers")
            rows, cols = frames.SIZE.unpack(payload)
            client.rows, client.cols = max(1, rows), max(1, cols)
            self._active(client)
        elif kind == frames.STDIN_EOF:
            self.finished_input(client)
        elif kind == frames.SIGNAL:
            if len(payload) != 1:
                raise ValueError("a signal frame bears one number")
            self.signal(payload[0])
        elif kind == frames.STATE:
            self._told(client, payload)

    def finished_input(self, client: Client) -> None:
        """The client will type no more.

        The owner's end is the command's end of input, as in a pipeline; another client's is
        so only when there is no owner, or whoever looks in would end it for all.
        """
        owners = any(other.owner for other in self.clients)
        if client.stdin and (client.owner or not owners):
            self._close_input_when_empty()

    # -------------------------------------------------------------- size and signals

    def resize(self, rows: int, cols: int) -> None:
        """Give the terminal this size; nothing without a terminal."""
        if not self.running.terminal or (rows, cols) == (self.rows, self.cols):
            return
        self.rows, self.cols = rows, cols
        self._present.forget()
        self._set_size(rows, cols)

    def _set_size(self, rows: int, cols: int) -> None:
        if self.running.stdout >= 0:
            packed = struct.pack("HHHH", rows, cols, 0, 0)
            fcntl.ioctl(self.running.stdout, termios.TIOCSWINSZ, packed)

    def signal(self, number: int) -> None:
        """Send the command a signal.  Raises ValueError if there is no such one."""
        if number not in signal.valid_signals():
            raise ValueError(f"there is no signal {number}")
        if self.outcome is None:
            try:
                signal.pidfd_send_signal(self.running.pidfd, number)
            except ProcessLookupError:
                return

    def _active(self, client: Client) -> None:
        self._activity += 1
        client.last_active = self._activity
        before = self.rows, self.cols
        self._follow_active()
        if before != (self.rows, self.cols):
            self._tell_viewers()

    def _follow_active(self) -> None:
        sized = [client for client in self.clients if client.rows and not client.opening]
        if sized:
            latest = max(sized, key=lambda client: client.last_active)
            self.resize(latest.rows, latest.cols)

    def _tell_viewers(self) -> None:
        frame = self._viewers_frame()
        for client in list(self.clients):
            if not (client.missed or client.opening):
                client.send(frame)
        self._on_change(self)

    def _viewers_frame(self) -> bytes:
        return frames.frame(frames.VIEWERS, wirejson.dumps(self.viewers()))

    # -------------------------------------------------------------- output

    def _output_handler(self, fd: int) -> Callable[[int], None]:
        return lambda events: self._output(fd, events)

    def _output(self, fd: int, events: int) -> None:
        if events & (IN | HUP):
            self._drain(fd, once=True)
        if events & OUT and fd == self.running.stdin:
            self._write_input()

    def _drain(self, fd: int, *, once: bool) -> None:
        """Take what is there: a buffer full, or all if not `once`; close at the end of a pipe.

        A terminal gives 4 KiB at most with each read, so a buffer is filled by several.
        """
        taken = 0
        while taken < LAST_WORDS:
            count, more = self._fill(fd)
            if count:
                self._emit(fd, _view[:count])
                taken += count
            if more is None:
                self.poller.remove(fd)
                os.close(fd)
                del self._outputs[fd]
                self._forget_output(fd)
                return
            if once or not more:
                return

    def _fill(self, fd: int) -> tuple[int, bool | None]:
        """(bytes in the buffer, whether there may be more; None at the end)."""
        count = 0
        try:
            while count < len(_buffer):
                got = os.readv(fd, [_view[count:]])
                if not got:
                    return count, None
                count += got
        except BlockingIOError:
            return count, False
        except OSError:  # a terminal without anyone at its other end
            return count, None if not self.running.terminal else False
        return count, True

    def _forget_output(self, fd: int) -> None:
        if fd == self.running.stdout:
            self.running.stdout = -1
        if fd == self.running.stderr:
            self.running.stderr = -1

    def _emit(self, fd: int, chunk: memoryview) -> None:
        kind = self._outputs[fd]
        frame = frames.frame(kind, chunk)
        if self._log:
            self._log.write(kind, chunk)
        self._present.ring.add(frame)
        hold = False
        for client in tuple(self.clients):
            client.push(frame)
            hold = hold or (client.owner and client.queued > clients.OWNER_HIGH)
        if hold and self.outcome is None:
            for output in self._outputs:
                self.poller.remove(output)

    # -------------------------------------------------------------- input

    def _type(self, data: bytes) -> None:
        if self.running.stdin < 0 or self._input_ends or not data:
            return
        self._input.append(data)
        self._input_size += len(data)
        self._write_input()

    def _write_input(self) -> None:
        """Write what waits; a command that has closed its input gets no more (EPIPE)."""
        queue, stdin = self._input, self.running.stdin
        try:
            while queue:
                count = os.write(stdin, queue[0])
                self._input_size -= count
                if count < len(queue[0]):
                    queue[0] = memoryview(queue[0])[count:]
                else:
                    queue.popleft()
        except BlockingIOError:
            pass
        except OSError:
            queue.clear()
            self._input_size = 0
            self._input_ends = True
        if not queue and self._input_ends:
            self._close_input()
        else:
            self._watch_input(bool(queue))
        hold = self._input_size > INPUT_LIMIT
        for client in tuple(self.clients):
            if client.stdin:
                client.hold_input(hold)

    def _watch_input(self, waiting: bool) -> None:
        stdin = self.running.stdin
        if self.running.terminal:
            if self.poller.watches(stdin):
                self.poller.modify(stdin, IN | OUT if waiting else IN)
        elif waiting and not self.poller.watches(stdin):
            self.poller.add(stdin, OUT, lambda _: self._write_input())
        elif not waiting:
            self.poller.remove(stdin)

    def _close_input_when_empty(self) -> None:
        if self.running.terminal or self.running.stdin < 0:
            return
        self._input_ends = True
        if not self._input:
            self._close_input()

    def _close_input(self) -> None:
        stdin = self.running.stdin
        if not self.running.terminal and stdin >= 0:
            self.running.stdin = -1
            self.poller.remove(stdin)
            os.close(stdin)

    # -------------------------------------------------------------- the end

    def _ended(self, _: int) -> None:
        """The command ended: take its last words, then tell.

        What it wrote is in the pipe or terminal by now; others that hold the other end (a
        command's background children) are not waited for.
        """
        info = os.waitid(os.P_PIDFD, self.running.pidfd, os.WEXITED | os.WNOHANG)
        if info is None:
            return
        self.outcome = Outcome(info)
        self.poller.remove(self.running.pidfd)
        for fd in list(self._outputs):
            self._drain(fd, once=False)
        self._on_end(self, self.outcome)

    def dismiss(self, last: bytes) -> None:
        """Send every client the last frame and let it go; close what was the command's."""
        for waiting in list(self._waiting):
            self._open(waiting)
        for client in tuple(self.clients):
            client.finish(last)
        for fd in {*self._outputs, self.running.stdin, self.running.stderr} - {-1}:
            self.poller.remove(fd)
        self.running.close()
        self._outputs.clear()
        self.running.stdin = self.running.stdout = self.running.stderr = -1
        self.running.pidfd = -1
