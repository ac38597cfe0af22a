"""A scripted daemon for the console's tests: the real wire protocol, no box behind it.

It keeps boxes as models, tells of changes on /watch, answers stats by hand (`tick`), and lets each
session be played by the test: what was typed is in `session.typed`, `session.say` writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec.structs import replace

from boxy_core import protocol as wire
from boxy_core.errors import BoxyError, Conflict, InvalidRequest, NotFound
from boxy_core.models import (
    ALIVE,
    Box,
    BoxSpec,
    Event,
    ExitInfo,
    Image,
    Limits,
    Stats,
    Status,
    decode,
    to_builtins,
)
from tests.tui import fake_files as files

NOW = 1_790_000_000.0
MIB = 1 << 20


@dataclass
class Session:
    """One attached client, played by the test."""

    writer: asyncio.StreamWriter
    query: dict[str, str]
    body: dict[str, Any]
    typed: bytearray = field(default_factory=bytearray)
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    told: list[bytes] = field(default_factory=list)
    closed: bool = False
    echo: bool = True

    def say(self, data: bytes) -> None:
        """Output of the program."""
        self.frame(wire.STDOUT, data)

    def frame(self, kind: int, payload: bytes = b"") -> None:
        """Any frame."""
        if not self.writer.is_closing():
            self.writer.write(wire.frame(kind, payload))

    def exit(self, status: int = 0, *, oom: bool = False) -> None:
        """The program ends."""
        self.frame(wire.EXIT, json.dumps({"status": status, "signal": 0, "oom": oom}).encode())
        self.writer.close()

    def lag(self, missed: int, replay: bytes) -> None:
        """The client was too slow: it is told, and gets the history anew."""
        self.frame(wire.LAGGED, struct.pack(">Q", missed))
        self.say(replay)
        self.frame(wire.REPLAY_END)

    async def play(self, reader: asyncio.StreamReader) -> None:
        """Take what the client sends; echo what is typed."""
        frames = wire.FrameReader()
        while data := await reader.read(65_536):
            for kind, payload in frames.feed(data):
                self.frames.append((kind, payload))
                if kind == wire.STDIN:
                    self.typed += payload
                    if self.echo:
                        self.say(payload.replace(b"\r", b"\r\n"))
                elif kind == wire.RESIZE:
                    self.sizes.append(wire.SIZE.unpack(payload))
                elif kind == wire.STATE:
                    self.told.append(payload)
        self.closed = True


def make_box(name: str, status: Status = Status.RUNNING, **changes: Any) -> Box:
    """A box with an id made from its name."""
    spec = BoxSpec(image=changes.pop("image", "alpine"), name=name, tty=True, stdin=True,
                   limits=changes.pop("limits", Limits()))  # fmt: skip
    alive = status in ALIVE
    base = Box(
        id=hashlib.sha256(name.encode()).hexdigest(),
        name=name,
        image=spec.image,
        spec=spec,
        args=changes.pop("args", ["/bin/sh"]),
        status=status,
        created=NOW - 4000,
        started=NOW - 3600 if status is not Status.CREATED else 0.0,
        finished=0.0 if alive or status is Status.CREATED else NOW - 600,
        exit=ExitInfo(status=changes.pop("code", 0), finished=NOW - 600)
        if status is Status.EXITED
        else None,
        pid=4242 if alive else 0,
    )
    return replace(base, **changes)


def sample(box: Box, at: float, step: int) -> Stats:
    """A made-up but smooth sample, the same in every run."""
    seed = int(box.id[-4:], 16) % 97
    wave = (math.sin(step / 7 + seed) + 1) / 2
    return Stats(
        id=box.id,
        time=at,
        cpu_percent=round(wave * (seed % 9) * 11, 1),
        memory=int((8 + seed + 20 * wave) * MIB),
        memory_limit=box.spec.limits.memory or 0,
        pids=1 + seed % 7,
        pids_limit=4096,
        io_read=int(step * 4096 * (seed % 5)),
        io_write=int(step * 2048 * wave),
        net_rx=int(step * 10_240 * (seed % 3)),
        net_tx=int(step * 2000),
    )


class FakeDaemon:
    """See the module's docstring.  `async with FakeDaemon(path) as daemon`."""

    def __init__(self, path: Path, boxes: list[Box] | None = None, boot: str = "one") -> None:
        self.path = path
        self.boxes = {box.id: box for box in boxes or []}
        self.images = [
            Image(name="alpine", id="sha256:1", source="/registry/alpine", cmd=["/bin/sh"],
                  size=8 * MIB, ready=True, description="Alpine Linux 3.23"),
            Image(name="host", id="", source="/registry/host", cmd=["/bin/bash"],
                  description="This machine's own /usr, read-only"),
            Image(name="odd", id="", source="/registry/odd", problem="its archive is missing"),
        ]  # fmt: skip
        self.boot = boot
        self.cursor = 10
        self.step = 0
        self.sessions: list[Session] = []
        self.requests: list[tuple[str, str]] = []
        self.looks = 0
        self.bodies: list[dict[str, Any]] = []
        self.running: dict[str, list[dict[str, Any]]] = {}
        """what /sessions tells, by the id of the box"""
        self.past: list[Event] = []
        """what happened before the console came"""
        self.refuse: dict[tuple[str, str], BoxyError] = {}
        self.registries: dict[str, dict[str, list[str]]] = {
            "reg.example": {"team/app": ["1.0", "1.1", "latest"], "tools": ["1"]}
        }
        self.pulling = asyncio.Event()
        """set: a pull under way is done"""
        self.logs: dict[str, list[tuple[int, bytes]]] = {}
        self.on_session: Callable[[Session], None] = lambda session: session.frame(wire.REPLAY_END)
        self._watchers: set[asyncio.StreamWriter] = set()
        self._stats: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        for session in self.sessions:
            session.writer.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    async def stop(self) -> None:
        """As a killed daemon: its own connections break, sessions (the shims') go on."""
        assert self._server is not None
        self._server.close()
        self.path.unlink(missing_ok=True)
        held = {session.writer for session in self.sessions}
        for writer in self._writers - held:
            writer.close()
        self._watchers.clear()
        self._stats.clear()

    # ------------------------------------------------------------------ the test's levers

    def emit(self, kind: str, box: Box | None = None, **data: Any) -> None:
        """Tell the watchers."""
        self.cursor += 1
        status = {"status": str(box.status)} if box else {}
        event = Event(cursor=self.cursor, time=NOW, type=kind, id=box.id if box else "",
                      name=box.name if box else "", data={**status, **data})  # fmt: skip
        for writer in self._watchers:
            _line(writer, to_builtins(event))

    def put(self, box: Box, kind: str) -> None:
        """A box is as given now; tell of it."""
        self.boxes[box.id] = box
        self.emit(kind, box)

    def tick(self, count: int = 1) -> None:
        """Send the next samples."""
        for _ in range(count):
            self.step += 1
            alive = [box for box in self.boxes.values() if box.status in ALIVE]
            at = NOW - 300 + self.step
            boxes = [to_builtins(sample(box, at, self.step)) for box in alive]
            for writer in self._stats:
                _line(writer, {"time": at, "boxes": boxes})

    def asked(self, method: str, ending: str) -> int:
        """How often this was asked."""
        return sum(m == method and p.endswith(ending) for m, p in self.requests)

    # ------------------------------------------------------------------ the wire

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the test is over, or the client left
        finally:
            writer.close()
            self._tasks.discard(task)
            self._writers.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except asyncio.IncompleteReadError:
                return
            first, *lines = head.split("\r\n")
            method, where, _ = first.split(" ")
            headers = dict(line.lower().split(": ", 1) for line in lines if line)
            raw = await reader.readexactly(int(headers.get("content-length", "0")))
            url = urlsplit(where)
            path = unquote(url.path).removeprefix(wire.API)
            query = dict(parse_qsl(url.query))
            self.requests.append((method, path))
            body = json.loads(raw) if raw else {}
            try:
                if (error := self.refuse.get((method, path))) is not None:
                    raise error
                if headers.get("upgrade") == wire.UPGRADE:
                    await self._session(reader, writer, path, query, body)
                    return
                if await self._stream(reader, writer, method, path, query):
                    return
                if files.about(path):
                    _answer(writer, 200, files.told(method, path, query))
                elif path.startswith("/registries"):
                    _answer(writer, 200, self._registry(method, path))
                else:
                    _answer(writer, 200, self._plain(method, path, query, raw))
            except BoxyError as problem:
                _answer(writer, problem.http_status, {"error": problem.to_wire()})
            await writer.drain()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                       path: str, query: dict[str, str], body: dict[str, Any]) -> None:  # fmt: skip
        box = self._find(path.split("/")[2])
        verb = path.split("/")[3]
        if verb == "start":
            self.put(replace(box, status=Status.RUNNING, started=NOW, exit=None), "box.started")
        elif box.status not in ALIVE:
            raise Conflict(f"{box.name} is not running", hint=f"start it: boxy start {box.name}")
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: {wire.UPGRADE}\r\nBoxy-Session: x\r\n"
        writer.write(f"{head}Connection: Upgrade\r\n\r\n".encode())
        session = Session(writer, query, body)
        self.sessions.append(session)
        self.on_session(session)
        await session.play(reader)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                      method: str, path: str, query: dict[str, str]) -> bool:  # fmt: skip
        if path == "/watch":
            _stream_head(writer)
            since = min(self.cursor, int(query.get("since", self.cursor)))
            _line(writer, {"cursor": since, "boot": self.boot})
            if since < self.cursor:
                end = Event(cursor=self.cursor, time=NOW, type="resync")
                for event in [*self.past, end]:
                    _line(writer, to_builtins(event))
            self._watchers.add(writer)
        elif path == "/stats":
            _stream_head(writer)
            self._stats.add(writer)
        elif path.endswith("/logs"):
            _stream_head(writer)
            for kind, data in self.logs.get(self._find(path.split("/")[2]).id, []):
                _chunk(writer, wire.frame(kind, data))
        elif path.endswith("/prepare"):
            _stream_head(writer)
            _line(writer, {"step": "unpacking", "done": 50, "total": 100})
            name = path.split("/")[2]
            image = next(i for i in self.images if i.name == name)
            done = replace(image, ready=True, id="sha256:2", size=MIB)
            self.images = [done if i.name == name else i for i in self.images]
            _line(writer, {"image": to_builtins(done)})
            writer.write(b"0\r\n\r\n")
            self.emit("image.prepared")
            return False if method != "POST" else await _drained(writer)
        elif path.endswith("/pull"):
            return await self._pull(writer, path.removeprefix("/images/").removesuffix("/pull"))
        else:
            return False
        await writer.drain()
        await reader.read()
        self._watchers.discard(writer)
        self._stats.discard(writer)
        return True

    async def _pull(self, writer: asyncio.StreamWriter, name: str) -> bool:
        """A pull that goes half way, waits for the test, and then is done."""
        _stream_head(writer)
        _line(writer, {"step": "downloading", "done": 50, "total": 100, "layers": {}})
        await writer.drain()
        await self.pulling.wait()
        image = Image(name=name, id="sha256:3", source=name, digest="sha256:4", ready=True)
        self.images.append(image)
        _line(writer, {"image": to_builtins(image)})
        writer.write(b"0\r\n\r\n")
        self.emit("image.pulled")
        return await _drained(writer)

    def _registry(self, method: str, path: str) -> Any:
        """What a registry says by way of the daemon."""
        if path == "/registries":
            return {"default": "", "logins": [{"host": "reg.example", "name": "ada"}]}
        _, host, *rest = path.strip("/").split("/")
        if host not in self.registries:
            raise NotFound(f"there is no address for {host}", hint="look at the name")
        held = self.registries[host]
        if method == "DELETE":
            held["/".join(rest[1:-2])].remove(rest[-1])
            return {}
        if rest == ["repositories"]:
            return {"repositories": list(held)}
        tags = held["/".join(rest[1:-1])]
        return {
            "tags": [{"tag": t, "digest": "sha256:" + "ab" * 32, "size": 3 * MIB} for t in tags]
        }

    # ------------------------------------------------------------------ plain answers

    def _find(self, ref: str) -> Box:
        for box in self.boxes.values():
            if ref in (box.id, box.name):
                return box
        raise NotFound(f"there is no box {ref}")

    def _plain(self, method: str, path: str, query: dict[str, str], raw: bytes) -> Any:
        parts = path.strip("/").split("/")
        if path == "/boxes" and method == "POST":
            return self._create(decode(BoxSpec, raw))
        lists: dict[str, Any] = {
            "/version": {"version": "0.1.0", "api": 1, "pid": 1, "socket": str(self.path)},
            "/boxes": [to_builtins(box) for box in self.boxes.values()],
            "/images": [to_builtins(image) for image in self.images],
        }
        if path in lists:
            return lists[path]
        if parts[0] == "images":
            return to_builtins(next(i for i in self.images if i.name == parts[1]))
        box = self._find(parts[1])
        if method == "DELETE":
            del self.boxes[box.id]
            self.emit("box.removed", box)
            return None
        if len(parts) == 2:
            return to_builtins(box)
        if parts[2] == "sessions":
            return self.running.get(box.id, [])
        if parts[2] in ("explain", "trace", "history"):
            return self._look(box, parts[2])
        update = parts[2] == "update"
        return to_builtins(
            self._update(box, json.loads(raw)) if update else self._act(box, parts[2])
        )

    def _look(self, box: Box, what: str) -> Any:
        if what == "history":
            return [to_builtins(s) for s in self._history(box)]
        self.looks += 1
        fact = {"what": "net", "value": f"look {self.looks}", "note": "", "by_hand": "ls /x"}
        about = {"key": "namespaces", "title": "Namespaces", "about": "An idea.", "learn": ""}
        line = {"at": NOW, "what": "create", "ms": 3.0}
        of_box = {"id": box.id, "name": box.name}
        if what == "explain":
            return {**of_box, "sections": [{**about, "facts": [fact]}]}
        return {**of_box, "start": None, "lines": [line]}

    def _history(self, box: Box) -> Iterator[Stats]:
        return (sample(box, NOW - 300 - 120 + i, i) for i in range(120))

    def _create(self, spec: BoxSpec) -> Any:
        name = spec.name or "made-up"
        if any(box.name == name for box in self.boxes.values()):
            raise Conflict(f"the name {name} is taken", hint="choose another one")
        if all(image.name != spec.image for image in self.images):
            raise NotFound(f"there is no image {spec.image}", hint="did you mean alpine?")
        self.bodies.append(msgspec.to_builtins(spec))
        box = replace(make_box(name, Status.CREATED, image=spec.image), spec=spec)
        self.put(box, "box.created")
        return to_builtins(box)

    def _update(self, box: Box, change: dict[str, Any]) -> Box:
        self.bodies.append(change)
        limits = replace(box.spec.limits, **change)
        changed = replace(box, spec=replace(box.spec, limits=limits))
        self.put(changed, "box.updated")
        return changed

    def _act(self, box: Box, verb: str) -> Box:
        after = {
            "start": (Status.RUNNING, "box.started"),
            "restart": (Status.RUNNING, "box.started"),
            "stop": (Status.EXITED, "box.exited"),
            "kill": (Status.EXITED, "box.exited"),
            "pause": (Status.PAUSED, "box.paused"),
            "unpause": (Status.RUNNING, "box.unpaused"),
        }.get(verb)
        if after is None:
            raise InvalidRequest(f"no such thing: {verb}")
        status, kind = after
        ended = ExitInfo(status=137 if verb == "kill" else 0, finished=NOW)
        box = replace(box, status=status, exit=ended if status is Status.EXITED else None,
                      finished=NOW if status is Status.EXITED else 0.0)  # fmt: skip
        self.put(box, kind)
        return box


def _answer(writer: asyncio.StreamWriter, status: int, body: Any) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
    )


def _stream_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


def _line(writer: asyncio.StreamWriter, record: Any) -> None:
    _chunk(writer, json.dumps(record).encode() + b"\n")


async def _drained(writer: asyncio.StreamWriter) -> bool:
    await writer.drain()
    return True
