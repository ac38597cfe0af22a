"""The daemon's control connection to one shim, and finding a shim again after a restart.

Constraint: asyncio, in the daemon's loop.  Everything is one JSON object per packet, file
descriptors beside it; a link that breaks changes nothing for the box.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from boxy_core.errors import BoxyError, NotFound, ProtocolError, StartFailed, from_wire
from boxy_core.models import ExitInfo
from boxy_core.paths import Paths
from boxyd.runtime.control import MAX_PACKET, SUN_PATH, widen

log = logging.getLogger(__name__)

FDS_AT_ONCE = 8
"""descriptors that a shim takes beside one packet (report.receive)"""
ANSWER_TIMEOUT = 90.0
"""seconds for an answer of a shim; longer than what it gives a command to start"""

Event = dict[str, Any]


class Lost(BoxyError):
    """The shim is gone and left no word of how the box ended; the box died with it."""

    code = "lost"


class ShimLink:
    """A control connection to one shim.  Made by `Launcher.launch` or `connect`."""

    def __init__(self, sock: socket.socket, paths: Paths, box_id: str) -> None:
        sock.setblocking(False)
        widen(sock)
        self.pid = self.shim_pid = 0
        self.started = 0.0
        self.notices: list[str] = []
        """what the host could not give this box, as it turned out while it was made"""
        self.took: dict[str, float] = {}
        """milliseconds of each part of the start, in order"""
        self._sock, self._paths, self.box_id = sock, paths, box_id
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._greeting: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._exit: asyncio.Future[ExitInfo | None] = self._loop.create_future()
        self._callback: Callable[[Event], None] | None = None
        self._early: deque[Event] = deque()
        self._sending = asyncio.Lock()
        self._loop.add_reader(sock.fileno(), self._readable)

    @classmethod
    async def connect(cls, paths: Paths, box_id: str) -> ShimLink:
        """Find the shim of a box again.  Raises NotFound when none lives.

        The pid in `shim.json` is believed only if that process started when it says.
        """
        sock = await asyncio.to_thread(_connect, paths, box_id)
        link = cls(sock, paths, box_id)
        try:
            await link.greeted()
        except BoxyError as error:
            link.close()
            raise NotFound(
                f"the shim of box {box_id[:12]} does not answer",
                hint="boxy ps -a shows its state; boxy rm -f removes it whatever it is",
            ) from error
        return link

    @staticmethod
    def read_exit(paths: Paths, box_id: str) -> ExitInfo | None:
        """How the box ended, from its `exit.json`; None if there is none."""
        try:
            with open(paths.box(box_id) + "/exit.json", "rb") as file:
                return _exit_info(json.loads(file.read()))
        except (OSError, ValueError, TypeError):
            return None

    async def greeted(self) -> None:
        """Wait for the shim's first word.  Raises what kept the box from starting."""
        async with asyncio.timeout(ANSWER_TIMEOUT):
            hello = await asyncio.shield(self._greeting)
        self.pid, self.shim_pid = int(hello["pid"]), int(hello["shim_pid"])
        self.started = float(hello["started"])
        self.notices, self.took = list(hello["notices"]), dict(hello["took"])

    def say(self, word: bytes) -> None:
        """A word to the one who makes the box, before it runs; whoever is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._sock.send(word)

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Have every event, those that came already first; `closed` is the last."""
        self._callback = callback
        while self._early:
            callback(self._early.popleft())

    # -------------------------------------------------------------- requests

    async def attach(  # noqa: PLR0913 - a connection is described by as much
        self, fd: int, preamble: bytes = b"", *, stdin: bool, replay: bool, rows: int = 0,
        cols: int = 0, session: str = "main", owner: bool = False, early: bytes = b"",
    ) -> None:  # fmt: skip
        """Hand a client's connection to a session.  Raises NotFound."""
        how = visit(preamble, owner, stdin, replay, (rows, cols), early)
        await self.ask({"op": "attach", "session": session, **how}, [fd])

    async def exec(
        self, spec: dict[str, Any], fd: int | None = None, preamble: bytes = b"", *,
        rows: int = 0, cols: int = 0, early: bytes = b"",
    ) -> str:  # fmt: skip
        """Run a further command; its session's name once it runs.  Raises StartFailed and its
        kinds; then `fd` is untouched."""
        wanted = {key: spec.get(key) for key in ("command", "workdir", "user")}
        wanted["env"] = spec.get("env") or {}
        wanted |= {"tty": bool(spec.get("tty")), "stdin": bool(spec.get("stdin"))}
        wanted |= {"rows": rows or spec.get("rows", 24), "cols": cols or spec.get("cols", 80)}
        how = visit(preamble, True, bool(spec.get("stdin")), False, (rows, cols), early)
        request = {"op": "exec", "spec": wanted, **how}
        answer = await self.ask(request, [] if fd is None else [fd])
        return str(answer["session"])

    async def signal(self, number: int, session: str = "main") -> None:
        """Send a session's command a signal.  Raises NotFound, InvalidRequest."""
        await self.ask({"op": "signal", "session": session, "number": number})

    async def resize(self, rows: int, cols: int, session: str = "main") -> None:
        """Give a session's terminal a size.  Raises NotFound, InvalidRequest."""
        await self.ask({"op": "resize", "session": session, "rows": rows, "cols": cols})

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions that run: session, pid, tty, stdin, count, rows, cols."""
        answer = await self.ask({"op": "sessions"})
        return list(answer["sessions"])

    async def hold(self, sockets: Mapping[str, int]) -> None:
        """Have the shim keep these sockets (fds by name) as long as the box lives."""
        names = list(sockets)
        for first in range(0, len(names), FDS_AT_ONCE):
            some = names[first : first + FDS_AT_ONCE]
            await self.ask({"op": "hold", "names": some}, [sockets[name] for name in some])

    async def let_go(self, names: list[str]) -> None:
        """Have the shim close sockets that it keeps."""
        if names:
            await self.ask({"op": "let_go", "names": names})

    async def wait_exit(self) -> ExitInfo:
        """How the box ended, once it has.  Raises Lost."""
        info = await asyncio.shield(self._exit)
        info = info or self.read_exit(self._paths, self.box_id)
        if info is None:
            raise Lost(
                f"the shim of box {self.box_id[:12]} is gone without a word",
                hint="the box died with it; its log is still there",
            )
        return info

    def close(self) -> None:
        """Let go of the link; shim and box go on."""
        self._end(ProtocolError("the link to the shim was closed"))

    async def ask(self, request: dict[str, Any], fds: list[int] | None = None) -> dict[str, Any]:
        """Send any request and wait for its answer."""
        if self._sock.fileno() < 0:
            raise NotFound(
                f"the box {self.box_id[:12]} does not run any more",
                hint="boxy ps -a shows how it ended",
            )
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answers[number] = future
        try:
            packet = json.dumps({"id": number, **request}).encode()
            await send_packet(self._sock, packet, fds or [], self._sending)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await future
        except TimeoutError:
            raise BoxyError(f"the shim of box {self.box_id[:12]} does not answer") from None
        except OSError as error:
            raise NotFound(
                f"the box {self.box_id[:12]} cannot be reached: {error}",
                hint="boxy ps -a shows how it ended",
            ) from None
        finally:
            self._answers.pop(number, None)

    # -------------------------------------------------------------- what comes

    def _readable(self) -> None:
        while True:
            try:
                packet = self._sock.recv(MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._end(StartFailed("the shim ended before the box ran", step="shim"))
                return
            try:
                self._take(json.loads(packet))
            except (ValueError, KeyError, TypeError):
                log.exception("a shim sent what is not understood: %r", packet[:200])
            if self._sock.fileno() < 0:
                return

    def _take(self, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "started":
            if not self._greeting.done():
                self._greeting.set_result(message)
        elif event is not None:
            if event == "exit" and not self._exit.done():
                self._exit.set_result(_exit_info(message))
            self._emit(message)
        elif message.get("id") is None and "error" in message:
            self._end(from_wire(message["error"]))
        elif future := self._answers.pop(int(message["id"]), None):
            if "error" in message:
                _fail(future, from_wire(message["error"]))
            elif not future.done():
                future.set_result(message["ok"])

    def _emit(self, event: Event) -> None:
        if self._callback:
            self._callback(event)
        else:
            self._early.append(event)

    def _end(self, error: BoxyError) -> None:
        if self._sock.fileno() < 0:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        _fail(self._greeting, error)
        self._greeting.exception()  # nobody may be waiting for it
        gone = NotFound(
            f"the box {self.box_id[:12]} does not run any more",
            hint="boxy ps -a shows how it ended",
        )
        for future in list(self._answers.values()):
            _fail(future, gone)
        if not self._exit.done():
            self._exit.set_result(None)
        self._emit({"event": "closed"})


def _fail(future: asyncio.Future[Any], error: BoxyError) -> None:
    if not future.done():
        future.set_exception(error)


def _exit_info(data: dict[str, Any]) -> ExitInfo:
    return ExitInfo(
        status=int(data["status"]),
        signal=int(data["signal"]),
        oom=bool(data["oom"]),
        started=float(data["started"]),
        finished=float(data["finished"]),
        log_lost=int(data["log_lost"]),
    )


def visit(
    preamble: bytes, owner: bool, stdin: bool, replay: bool, size: tuple[int, int], early: bytes
) -> dict[str, Any]:
    """What a shim must know of a client that it gets."""
    return {
        "preamble": preamble.decode("latin-1"),
        "owner": owner,
        "stdin": stdin,
        "replay": replay,
        "rows": size[0],
        "cols": size[1],
        "early": early.decode("latin-1"),
    }


async def send_packet(
    sock: socket.socket, packet: bytes, fds: list[int], lock: asyncio.Lock
) -> None:
    """Send one packet with descriptors, waiting while the other side is slow.

    Raises OSError; EMSGSIZE becomes ProtocolError.
    """
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    if len(packet) > MAX_PACKET - 4096:
        raise ProtocolError("the command's arguments and environment are too long")
    async with lock:
        while True:
            try:
                sock.sendmsg([packet], rights)
            except BlockingIOError:
                await _writable(sock)
            else:
                return


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock.fileno(), _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock.fileno())


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _connect(paths: Paths, box_id: str) -> socket.socket:
    """Connect to the control socket of a living shim.  Raises NotFound."""
    missing = NotFound(
        f"box {box_id[:12]} has no living shim", hint="boxy ps -a shows whether it ended"
    )
    try:
        with open(paths.box_run(box_id) + "/shim.json", "rb") as file:
            facts = json.loads(file.read())
        pid, began = int(facts["pid"]), int(facts["start_time"])
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError, KeyError, TypeError):
        raise missing from None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if _start_time(pid) != began:
            raise missing
        _connect_path(sock, paths.shim_socket(box_id))
        peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if int.from_bytes(peer[:4], sys.byteorder) != pid:
            raise missing
    except OSError:
        sock.close()
        raise missing from None
    except NotFound:
        sock.close()
        raise
    finally:
        os.close(pidfd)
    return sock


def _connect_path(sock: socket.socket, path: str) -> None:
    """connect(2), also where the path is longer than an address may be."""
    with contextlib.ExitStack() as stack:
        if len(os.fsencode(path)) > SUN_PATH:
            folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, folder)
            path = f"/proc/self/fd/{folder}/{os.path.basename(path)}"
        sock.settimeout(5.0)
        sock.connect(path)


def _start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])
