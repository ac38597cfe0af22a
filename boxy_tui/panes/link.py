"""A pane's connection to its session: frames in, frames out, on the upgraded socket.

Constraint: after the daemon's `101` the socket leads to the box's shim, so this connection knows
nothing of the daemon and survives it.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from boxy_core import protocol as wire
from boxy_core.client.aio import Client, Upgraded
from boxy_core.errors import BoxyError, ProtocolError

RECEIVE_BUFFER = 256 << 10
"""Bytes of socket buffer: fewer wake-ups under a flood."""
PIECE = 32_768
"""Longest standard-input frame that is sent."""


@dataclass(frozen=True)
class Target:
    """What a pane shows: which session of which box, and how to get there.

    `kind` is "main" (attach), "start" (start the box with this pane attached from its first byte),
    "exec" (run `command`) or "session" (go on with an exec that runs: `session`).
    """

    box_id: str
    kind: str
    title: str
    command: tuple[str, ...] = ()
    tty: bool = True
    session: str = "main"

    async def open(self, client: Client, rows: int, cols: int) -> Upgraded:
        """Ask the daemon for the connection.  Raises BoxyError."""
        base = f"/boxes/{self.box_id}"
        size = {"stdin": 1, "rows": rows, "cols": cols}
        if self.kind == "exec":
            spec: dict[str, Any] = {
                "command": list(self.command), "tty": self.tty, "stdin": True, "rows": rows,
                "cols": cols, "env": {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
            }  # fmt: skip
            return await client.upgrade("POST", f"{base}/exec", body=spec)
        if self.kind == "start":
            return await client.upgrade("POST", f"{base}/start", query=size, body={})
        query = {**size, "replay": 1, "session": self.session}
        return await client.upgrade("POST", f"{base}/attach", query=query)


async def left_behind(client: Client, box_id: str) -> list[Target]:
    """The execs at a terminal that run in a box and that nobody sees, oldest first.

    A console that was left, or died, leaves its shells; the next one finds them so.
    """
    try:
        sessions = await client.request("GET", f"/boxes/{box_id}/sessions")
    except BoxyError:  # it does not run, or the daemon is away: then there is nothing to find
        return []
    return [
        Target(box_id, "session", _word_of(found), session=str(found["session"]))
        for found in sessions
        if found["session"] != "main" and found["tty"] and not found["count"]
    ]


def _word_of(session: dict[str, Any]) -> str:
    """What a session is called: its program, or its number where a daemon does not tell."""
    program = (str(session.get("command") or "").split() or [""])[0]
    return program.rpartition("/")[2].removeprefix("-") or str(session["session"])


@dataclass
class Handlers:
    """Whom the link tells."""

    output: Callable[[bytes], None]
    frame: Callable[[int, bytes], None]
    lost: Callable[[BoxyError | None], None]


@dataclass
class StreamLink(asyncio.Protocol):
    """Cuts what comes into frames; output goes one way, everything else the other."""

    handlers: Handlers
    early: bytes = b""
    _reader: wire.FrameReader = field(default_factory=wire.FrameReader)
    _transport: asyncio.Transport | None = None
    _paused: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop has the socket; what came with the 101 is first."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.early:
            self.data_received(self.early)
            self.early = b""

    def data_received(self, data: bytes) -> None:
        """Frames, cut anywhere."""
        try:
            frames = self._reader.feed(data)
        except ProtocolError as error:
            self.handlers.lost(error)
            self.close()
            return
        for kind, payload in frames:
            if kind in (wire.STDOUT, wire.STDERR):
                self.handlers.output(payload)
            else:
                self.handlers.frame(kind, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._transport = None
        error = ProtocolError(f"the connection broke: {exc}") if exc is not None else None
        self.handlers.lost(error)

    @property
    def open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """Keys, to the session's standard input."""
        if self._transport is not None:
            for at in range(0, len(data), PIECE):
                self._transport.write(wire.frame(wire.STDIN, data[at : at + PIECE]))

    def resize(self, rows: int, cols: int) -> None:
        """The pane has a new size."""
        if self._transport is not None:
            self._transport.write(wire.resize(rows, cols))

    def signal(self, number: int) -> None:
        """Send a signal to the session's process."""
        if self._transport is not None:
            self._transport.write(wire.frame(wire.SIGNAL, bytes([number])))

    def tell(self, state: bytes) -> None:
        """What the screen shows (see `telling`); empty: that it can be told."""
        if self._transport is not None:
            self._transport.write(wire.frame(wire.STATE, state))

    def end_input(self) -> None:
        """Close the session's standard input."""
        if self._transport is not None:
            self._transport.write(wire.frame(wire.STDIN_EOF))

    def pause(self, paused: bool) -> None:
        """Read no further until the pane has caught up; the shim keeps the box going."""
        if self._transport is None or paused == self._paused:
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def close(self) -> None:
        """Leave; the session goes on."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None


async def connect(
    client: Client, target: Target, rows: int, cols: int, handlers: Handlers
) -> StreamLink:
    """Open the target's session.  Raises BoxyError."""
    upgraded = await target.open(client, rows, cols)
    sock = upgraded.sock
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        link = StreamLink(handlers, upgraded.early)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: link, sock=sock)
    except BaseException:
        sock.close()
        raise
    return link


def exit_words(payload: bytes) -> tuple[int, str]:
    """Status and a sentence from an EXIT frame."""
    try:
        data = json.loads(payload)
        status = int(data.get("status", 0))
        signal = int(data.get("signal") or 0)
    except (ValueError, AttributeError, TypeError):
        return 0, "ended"
    if data.get("oom"):
        return status, f"killed: out of memory (status {status})"
    if signal:
        return status, f"ended by signal {signal} (status {status})"
    return status, f"exited with status {status}"
