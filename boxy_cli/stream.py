"""The loop between a terminal (or three pipes) and a box: bytes in, bytes out, as fast as it goes.

Constraint: this is the hot path of run, exec and attach.  One poll(2), one large buffer, output
written straight from it by writev(2).  The daemon has no part in it: `socket` leads to the box's
shim.  Neither side may block the other: what cannot be sent yet is kept (bounded, since nothing
more is read meanwhile), and a signal is passed on even while stdout is full.
"""

from __future__ import annotations

import errno
import posix
import select
import time

from boxy_cli.modes import ModeTracker, strip_queries
from boxy_core import protocol, wirejson
from boxy_core.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from boxy_cli.detach import DetachKeys
    from boxy_core.client.blocking import Upgraded
    from boxy_core.recorder import Recorder
else:
    import _signal as signal  # the same in plain numbers; `signal` makes enumerations of them, 4 ms

BUFFER = 256 * 1024
STDIN_READ = 64 * 1024
HISTORY_LIMIT = 4 << 20
"""bytes of replay that are held to be cleaned before they are shown"""
OUTPUT_GRACE = 0.3
"""seconds between telling a box that nobody reads its output and killing it"""
FORWARDED = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


class Ended:
    """How the connection came to its end.

    `how`: "exit" (with `info`, the EXIT frame's content), "detached", "closed" (nobody reads
    our output), "broken" (the stream ended without a word; `why`).
    """

    def __init__(self, how: str, info: dict[str, Any] | None = None, why: str = "") -> None:
        self.how = how
        self.info = info or {}
        self.why = why


class Session:
    """What the other end is.

    `tty`: it has a terminal.  `owner`: we started it, so that it ends when nobody reads our
    output.  `history`: its stream begins with a replay of what came before.
    """

    def __init__(self, *, tty: bool, owner: bool, history: bool = False) -> None:
        self.tty = tty
        self.owner = owner
        self.history = history


class FrameCutter:
    """Cuts a buffer into pieces of frames without copying or waiting for whole ones.

    `feed` gives (type, piece) of output frames as far as they came, and of all other frames the
    whole payload.  Raises ProtocolError for a frame that breaks the rules.
    """

    def __init__(self) -> None:
        self._kind = -1
        self._left = 0  # bytes of the present payload that have not come
        self._held = bytearray()  # a cut header, or a control frame's payload so far

    def feed(self, view: memoryview) -> list[tuple[int, memoryview]]:
        """The pieces in `view`; they are only good until the buffer is used again."""
        pieces: list[tuple[int, memoryview]] = []
        at, end = 0, len(view)
        while at < end or (self._kind >= 0 and not self._left):
            if self._kind < 0:
                at = self._header(view, at)
                continue
            stop = min(end, at + self._left)
            self._left -= stop - at
            if self._kind in (protocol.STDOUT, protocol.STDERR):
                pieces.append((self._kind, view[at:stop]))
            elif self._left or self._held:
                self._held += view[at:stop]
                if not self._left:
                    pieces.append((self._kind, memoryview(bytes(self._held))))
            else:
                pieces.append((self._kind, view[at:stop]))
            at = stop
            if not self._left:
                self._kind = -1
                self._held.clear()
        return pieces

    @property
    def between(self) -> bool:
        """Whether the last frame is complete."""
        return self._kind < 0 and not self._held

    def _header(self, view: memoryview, at: int) -> int:
        """Read a header at `at`, or what there is of it; where to go on."""
        size = protocol.HEADER.size
        if self._held or len(view) - at < size:
            take = view[at : at + size - len(self._held)]
            self._held += take
            at += len(take)
            if len(self._held) < size:
                return at
            header = bytes(self._held)
            self._held.clear()
        else:
            header = bytes(view[at : at + size])
            at += size
        kind, length = protocol.HEADER.unpack(header)
        if kind not in protocol.NAMES or length > protocol.MAX_FRAME or any(header[1:4]):
            raise ProtocolError(f"a stream frame of type {kind} and {length} bytes came")
        self._kind, self._left = kind, length
        return at


class Stream:
    """One conversation with a session in a box.

    `stdin` None: nothing is read.  `detach` watches for the keys that leave.  `forward`: signals
    that reach us are the box's.  `size` gives rows and columns after SIGWINCH.  `notice` is
    called with sentences for the user.
    """

    def __init__(
        self,
        upgraded: Upgraded,
        session: Session,
        *,
        stdin: int | None,
        notice: Callable[[str], None],
        detach: DetachKeys | None = None,
        forward: bool = False,
        size: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._socket = upgraded.socket
        self._first = upgraded.rest
        self._stdin = stdin
        self._session = session
        self._notice = notice
        self._detach = detach
        self._history: bytearray | None = bytearray() if session.history and session.tty else None
        self._after_history = b""
        self._forward = forward
        self._size = size
        self._cutter = FrameCutter()
        self._out = bytearray()  # frames that the socket did not take yet
        self._urgent: list[bytes] = []  # frames made by signal handlers
        self._flushing = False
        self._blocked = False  # in a write to our own output
        self._interrupts = 0
        self._closed: set[int] = set()  # outputs that nobody reads
        self._kill_at: float | None = None
        self._ended: Ended | None = None
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._recorder: Recorder | None = None
        self._mute = self._record_typed = False
        self._poll = select.poll()
        self._watched: tuple[bool, int | None] = (False, None)
        self.modes = ModeTracker() if session.tty else None

    def record(self, recorder: Recorder, *, mute: bool, typed: bool) -> None:
        """Record what passes; `mute`: do not show it, `typed`: also what goes to the box."""
        self._recorder, self._mute, self._record_typed = recorder, mute, typed

    # ------------------------------------------------------------------ the loop

    def run(self) -> Ended:
        """Carry bytes until one side ends.  Handlers and descriptors are put back."""
        self._socket.setblocking(False)
        self._wake_read, self._wake_write = posix.pipe2(posix.O_NONBLOCK | posix.O_CLOEXEC)
        self._poll.register(self._wake_read, select.POLLIN)
        self._poll.register(self._socket.fileno(), select.POLLIN)
        previous = self._install_handlers()
        try:
            self._take(memoryview(self._first))
            while self._ended is None:
                self._turn()
        except ProtocolError as error:
            return Ended("broken", why=error.message)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            posix.close(self._wake_read)
            posix.close(self._wake_write)
        return self._ended

    def _turn(self) -> None:
        """Wait for a descriptor or a deadline, and serve it."""
        self._watch()
        events = self._poll.poll(self._patience())
        if any(fd == self._wake_read for fd, _ in events):
            posix.read(self._wake_read, 4096)  # before the flush, or a signal's frame is overlooked
        self._flush()
        self._check_clocks()
        for fd, _ in events:
            if self._ended is not None:
                break
            if fd == self._socket.fileno():
                self._receive()
            elif fd == self._stdin:
                self._read_stdin()

    def _watch(self) -> None:
        """Wait for room in the socket only with something to send, for input only without."""
        pending = bool(self._out)
        wanted = (pending, None if pending else self._stdin)
        if wanted == self._watched:
            return
        before, self._watched = self._watched[1], wanted
        if before is not None and before != wanted[1]:
            self._poll.unregister(before)
        if wanted[1] is not None:
            self._poll.register(wanted[1], select.POLLIN)
        self._poll.modify(self._socket.fileno(), select.POLLIN | (select.POLLOUT * pending))

    def _patience(self) -> float | None:
        """Milliseconds until something must be done of itself; None: nothing."""
        deadlines = [at for at in (self._held_until(), self._kill_at) if at is not None]
        if not deadlines:
            return None
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1

    def _held_until(self) -> float | None:
        return self._detach.deadline if self._detach is not None else None

    def _check_clocks(self) -> None:
        """Let go of a detach key that was no more than that; kill what nobody listens to."""
        now = time.monotonic()
        held = self._held_until()
        if held is not None and now >= held and self._detach is not None:
            self._send(protocol.frame(protocol.STDIN, self._detach.expire()))
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._send(protocol.frame(protocol.SIGNAL, bytes([signal.SIGKILL])))

    # ------------------------------------------------------------------ towards the box

    def _read_stdin(self) -> None:
        assert self._stdin is not None
        try:
            data = posix.read(self._stdin, STDIN_READ)
        except BlockingIOError:
            return
        except OSError:  # the terminal is gone, or it was never open
            data = b""
        if not data:
            self._stdin = None
            if not self._session.tty:
                self._send(protocol.frame(protocol.STDIN_EOF))
            return
        if self._detach is not None:
            data = self._detach.feed(data, time.monotonic())
        if data:
            if self._recorder is not None and self._record_typed:
                self._recorder.typed(data)
            self._send(protocol.frame(protocol.STDIN, data))
        if self._detach is not None and self._detach.detached:
            self._ended = Ended("detached")

    def _send(self, frame: bytes) -> None:
        self._out += frame
        self._flush()

    def _flush(self) -> None:
        """Send what is waiting; what the socket does not take stays.

        Signal handlers come here too, and nest: one that finds a flush under way leaves its
        frame to it, or bytes that were sent and not yet struck off would be sent twice.
        """
        while not self._flushing:
            self._flushing = True
            while self._urgent:
                self._out += self._urgent.pop(0)
            stuck = self._out and not self._send_some()
            self._flushing = False
            if stuck or not (self._urgent or self._out):
                break

    def _send_some(self) -> bool:
        """Send from the front of the queue; whether the socket took any."""
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return False
        except OSError:  # it is closed: reading will tell how it ended
            self._out.clear()
            self._stdin = None
        else:
            del self._out[:sent]
        return True

    # ------------------------------------------------------------------ from the box

    def _receive(self) -> None:
        try:
            count = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except ConnectionResetError:
            count = 0
        if count:
            self._take(self._view[:count])
        else:
            cut = "" if self._cutter.between else " in the middle of a frame"
            self._ended = Ended("broken", why=f"its stream ended{cut}")

    def _take(self, view: memoryview) -> None:
        """Handle what came: gather output for one write, act on the rest in its order."""
        gathered: list[memoryview] = []
        target = protocol.STDOUT
        for kind, piece in self._cutter.feed(view):
            if kind in (protocol.STDOUT, protocol.STDERR):
                if kind != target and gathered:
                    self._show(target, gathered)
                    gathered = []
                target = kind
                gathered.append(piece)
            else:
                self._show(target, gathered)
                gathered = []
                self._control(kind, bytes(piece))
        self._show(target, gathered)

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == protocol.EXIT:
            self._ended = Ended("exit", _exit_info(payload))
        elif kind == protocol.REPLAY_END:
            self._end_history()
        elif kind == protocol.LAGGED:
            self._lagged(int.from_bytes(payload, "big"))
        elif kind == protocol.VIEWERS:
            rows, columns = _viewed_size(payload)
            if self._recorder is not None and rows and self._session.tty:
                self._recorder.resized(columns, rows)
            if self._history is not None and not self._history:
                self._history += self._fitting(rows)

    def _fitting(self, rows: int) -> bytes:
        """What goes before a replay that was drawn for a lower screen than ours: the top rows are
        its screen, until the program has drawn itself anew at our size."""
        if self._size is None or not 1 < rows < self._size()[0]:
            return b""
        self._after_history = b"\x1b7\x1b[r\x1b8"
        return b"\x1b[0m\x1b[H\x1b[2J\x1b[1;%dr\x1b[H" % rows

    def _lagged(self, missed: int) -> None:
        """We were too slow: a replay follows, which a terminal shows from a clean screen."""
        if self._session.tty:
            self._history = bytearray(b"\x1b[0m\x1b[H\x1b[2J")
        else:
            self._notice(f"{missed} bytes of output are missing: they came faster than they went")

    def _end_history(self) -> None:
        history, self._history = self._history, None
        if history:
            history += self._after_history
            self._write(protocol.STDOUT, [memoryview(strip_queries(bytes(history)))])

    def _show(self, kind: int, pieces: list[memoryview]) -> None:
        if not pieces:
            return
        if self._history is None:
            self._write(kind, pieces)
            return
        for piece in pieces:
            self._history += piece
        if len(self._history) > HISTORY_LIMIT:
            self._end_history()

    def _write(self, fd: int, pieces: list[memoryview]) -> None:
        """Write all to stdout or stderr (1 and 2, as the frame types); blocks as they do."""
        if fd in self._closed:
            return
        if self._recorder is not None:
            self._record(pieces)
            if self._mute:
                return
        if self.modes is not None:
            for piece in pieces:
                self.modes.feed(piece)
        self._blocked = True
        try:
            _write_all(fd, pieces)
        except BrokenPipeError:
            self._output_closed(fd)
        finally:
            self._blocked = False

    def _record(self, pieces: list[memoryview]) -> None:
        assert self._recorder is not None
        data = b"".join(pieces)
        self._recorder.output(data if self._session.tty else data.replace(b"\n", b"\r\n"))

    def _output_closed(self, fd: int) -> None:
        """Nobody reads any more: the box's command gets what a shell's pipeline would give it."""
        self._closed.add(fd)
        if fd != protocol.STDOUT:
            return
        if not self._session.owner:
            self._ended = Ended("closed")
            return
        self._urgent.append(protocol.frame(protocol.SIGNAL, bytes([signal.SIGPIPE])))
        self._kill_at = time.monotonic() + OUTPUT_GRACE

    @property
    def output_closed(self) -> bool:
        """Whether the reader of our stdout went away."""
        return protocol.STDOUT in self._closed

    # ------------------------------------------------------------------ signals

    def _install_handlers(self) -> dict[int, Any]:
        """Our handlers; those that were there before, to be put back."""
        wanted: dict[int, Callable[[int, FrameType | None], None]] = {}
        if self._size is not None:
            wanted[signal.SIGWINCH] = self._on_resize
            wanted[signal.SIGCONT] = self._on_resize
        if self._forward:
            wanted.update(dict.fromkeys(FORWARDED, self._on_signal))
        return {number: signal.signal(number, handler) for number, handler in wanted.items()}

    def _on_resize(self, _number: int, _frame: FrameType | None) -> None:
        if self._size is not None:
            self._hurry(protocol.resize(*self._size()))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Pass a signal on.  Ctrl-c that has no effect: say so, and at the third time kill."""
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts == 2:
                self._notice("it still runs; ctrl-c once more kills it")
            elif self._interrupts > 2:
                number = signal.SIGKILL
        self._hurry(protocol.frame(protocol.SIGNAL, bytes([number])))

    def _hurry(self, frame: bytes) -> None:
        """Have a frame sent from a signal handler, also while our own output is stuck."""
        self._urgent.append(frame)
        if self._blocked:
            self._flush()
        else:
            try:  # noqa: SIM105 - contextlib is not worth its import here
                posix.write(self._wake_write, b"!")
            except BlockingIOError:
                pass  # awake already


def _viewed_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns of a VIEWERS frame; zeros when it tells none."""
    try:
        told = wirejson.loads(payload)
    except ValueError:
        return 0, 0
    size = (told.get("rows"), told.get("cols")) if isinstance(told, dict) else (0, 0)
    rows, columns = (side if isinstance(side, int) else 0 for side in size)
    return rows, columns


def _exit_info(payload: bytes) -> dict[str, Any]:
    try:
        info = wirejson.loads(payload)
    except ValueError:
        info = None
    if not isinstance(info, dict) or not isinstance(info.get("status"), int):
        raise ProtocolError("the stream's last frame does not say how the command ended")
    return info


def _write_all(fd: int, pieces: list[memoryview]) -> None:
    """Write every piece, in as few calls as it takes."""
    while pieces:
        try:
            written = posix.writev(fd, pieces[:512])
        except BlockingIOError:  # somebody else made the shared terminal non-blocking
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()
            continue
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENXIO):  # the terminal was closed
                raise BrokenPipeError(error.errno, error.strerror) from error
            raise
        done = 0
        while done < len(pieces) and written >= len(pieces[done]):
            written -= len(pieces[done])
            done += 1
        pieces = pieces[done:]
        if written and pieces:
            pieces[0] = pieces[0][written:]
