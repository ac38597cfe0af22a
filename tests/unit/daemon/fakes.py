"""Small neighbours for the daemon's own tests: images, cgroups and shims that need no root."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxy_core import protocol
from boxy_core.errors import CommandNotFound, Conflict, NotFound
from boxy_core.models import Box, ExitInfo, Image, Limits
from boxyd.cgroup.interface import Cgroup, CgroupFile, CgroupMount, CgroupPlan
from boxyd.cgroup.reader import Files, Reader
from boxyd.images import Progress
from boxyd.ports import NO_WIRES, Joined, Link, Plan, Setting, Stream, Wires


class FakeStore:
    """Two images: `tiny` is ready, `packed` is to be unpacked first; `broken` cannot be."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        self.unpacked = 0
        self.gate: Callable[[], None] = lambda: None

    def list(self) -> list[Image]:
        broken = Image(name="broken", id="", source="/reg/broken", problem="its archive is gone")
        return [broken, self._packed(ready=self.unpacked > 0), self._tiny()]

    def resolve(self, name: str) -> Image:
        for image in self.list():
            if image.name == name:
                return image
        raise NotFound(f"there is no image {name}", hint="boxy images")

    def prepare(self, name: str, progress: Progress) -> Image:
        self.gate()
        progress("unpacking", 1, 2)
        self.unpacked += 1
        return self._packed(ready=True)

    def _tiny(self) -> Image:
        return Image(
            name="tiny", id="sha256:1", source="/reg/tiny", layers=[self.layer], cmd=["/bin/sh"],
            env={"PATH": "/bin"}, ready=True,
        )  # fmt: skip

    def _packed(self, *, ready: bool) -> Image:
        layers = [self.layer] if ready else []
        return Image(
            name="packed", id="sha256:2" if ready else "", source="/reg/packed", layers=layers,
            cmd=["/bin/true"], ready=ready,
        )  # fmt: skip


class FakeGroup:
    """A cgroup that only remembers what was asked of it."""

    def __init__(self, world: FakeWorld, relative: str) -> None:
        self.world = world
        self.relative = relative
        self.notices: list[str] = []
        self.limits = Limits()
        self.is_frozen = False

    def plan(self) -> CgroupPlan:
        return CgroupPlan([], [], "", "")

    def set(self, limits: Limits) -> list[str]:
        if limits.memory == 6 << 20:
            raise Conflict("it uses more than 6 MiB", hint="ask for more")
        self.limits = limits
        return []

    def freeze(self, timeout: float = 5.0) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False

    def frozen(self) -> bool:
        return self.is_frozen

    def kill(self, timeout: float = 5.0) -> None:
        self.world.kill(self.relative)

    def pids(self) -> list[int]:
        return [os.getpid(), 999_999_999]

    def populated(self) -> bool:
        return False

    def oom_kills(self) -> int:
        return 0

    def reader(self, net_pid: int = 0) -> Reader:
        return Reader(Files())

    def files(self, limits: Limits) -> list[CgroupFile]:
        return [CgroupFile("/proc/self/limits", "memory")]

    def remove(self) -> None:
        self.world.groups.pop(self.relative, None)

    def close(self) -> None:
        pass


class FakeDriver:
    """Makes fake cgroups in a world that outlives the daemon."""

    kind = "null"
    controllers: frozenset[str] = frozenset()
    mounts: list[CgroupMount] = []  # noqa: RUF012 - the shape of the real one

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.notices = ["nothing is limited here"]

    def check(self, limits: Limits) -> list[str]:
        return []

    def create(self, relative: str, limits: Limits, devices: Sequence[Any] | None = None) -> Cgroup:
        group = self.world.groups[relative] = FakeGroup(self.world, relative)
        group.limits = limits
        return group

    def at(self, relative: str) -> Cgroup:
        return FakeGroup(self.world, relative)

    def open(self, relative: str, limits: Limits | None = None) -> Cgroup:
        if relative not in self.world.groups:
            raise NotFound(f"no cgroup {relative}")
        return self.world.groups[relative]

    def close(self) -> None:
        pass


class FakeShim:
    """A box that runs until it is told to end; it survives the daemon, as real ones do."""

    def __init__(self, world: FakeWorld, box_id: str, folder: str) -> None:
        self.world = world
        self.box_id = box_id
        self.folder = folder
        self.started = time.time()
        self.clients: list[socket.socket] = []
        self.signals: list[int] = []
        self.ignores: set[int] = set()
        self.links: list[FakeLink] = []

    def take(self, stream: Stream, preamble: bytes) -> None:
        client = socket.socket(fileno=os.dup(stream.fd))
        self.clients.append(client)
        client.setblocking(True)
        client.sendall(preamble + protocol.frame(protocol.STDOUT, b"hello\n"))

    def end(self, status: int = 0, signal: int = 0, *, oom: bool = False) -> None:
        info = ExitInfo(
            status=status, signal=signal, oom=oom, started=self.started, finished=time.time()
        )
        with open(self.folder + "/exit.json", "w", encoding="utf-8") as file:
            json.dump({f: getattr(info, f) for f in ("status", "signal", "oom", "started",
                                                     "finished")}, file)  # fmt: skip
        self.world.shims.pop(self.box_id, None)
        for client in self.clients:
            with contextlib.suppress(OSError), client:
                client.sendall(protocol.frame(protocol.EXIT, b'{"status":%d}' % status))
        for link in self.links:
            link.tell_exit(info)

    def vanish(self) -> None:
        """Die without a word."""
        self.world.shims.pop(self.box_id, None)
        for client in self.clients:
            client.close()
        for link in self.links:
            link.tell_lost()


class FakeLink:
    """A daemon's connection to a fake shim."""

    pid = 999_999_998
    shim_pid = 999_999_997

    def __init__(self, shim: FakeShim) -> None:
        self.shim = shim
        self.started = shim.started
        self.notices: list[str] = []
        self.took: dict[str, float] = {}
        self._exit: asyncio.Future[ExitInfo] = asyncio.get_running_loop().create_future()
        self._callbacks: list[Callable[[dict[str, Any]], None]] = []
        shim.links.append(self)

    def subscribe(self, callback: Callable[[dict[str, Any]], None]) -> None:
        self._callbacks.append(callback)

    async def signal(self, number: int, session: str = "main") -> None:
        await asyncio.sleep(0)
        self.shim.signals.append(number)
        if number not in self.shim.ignores and number in (2, 9, 15):
            self.shim.end(128 + number, number)

    async def hold(self, sockets: Mapping[str, int]) -> None:
        self.held = [*getattr(self, "held", []), *sockets]

    async def let_go(self, names: list[str]) -> None:
        self.held = [name for name in getattr(self, "held", []) if name not in names]

    async def sessions(self) -> list[dict[str, Any]]:
        return [{"session": "main", "pid": self.pid, "tty": False, "stdin": False, "count": 0}]

    async def wait_exit(self) -> ExitInfo:
        return await asyncio.shield(self._exit)

    def tell(self, event: dict[str, Any]) -> None:
        for callback in self._callbacks:
            callback(event)

    def tell_exit(self, info: ExitInfo) -> None:
        if not self._exit.done():
            self._exit.set_result(info)

    def tell_lost(self) -> None:
        if not self._exit.done():
            self._exit.set_exception(NotFound("the shim died without a word"))

    def close(self) -> None:
        if self in self.shim.links:
            self.shim.links.remove(self)


class FakeWorld:
    """What is outside the daemon: the shims that live, and the cgroups."""

    def __init__(self, boxes: str) -> None:
        self.boxes = boxes
        self.shims: dict[str, FakeShim] = {}
        self.groups: dict[str, FakeGroup] = {}

    def close(self) -> None:
        """End what still lives."""
        for shim in self.shims.values():
            for client in shim.clients:
                client.close()

    def kill(self, relative: str) -> None:
        for shim in list(self.shims.values()):
            if relative.endswith(shim.box_id[:12]):
                shim.end(137, 9)


class FakeLaunches:
    """Starts fake shims.  The command `missing` does not exist; `slow` takes its time."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.gate: asyncio.Event | None = None

    def plan(
        self,
        box: Box,
        image: Image,
        group: Cgroup | None,
        setting: Setting | None = None,
        joined: Joined | None = None,
    ) -> Plan:
        return {"version": 1, "id": box.id, "args": box.args, "rows": box.spec.rows}

    def describe(self, plan: Plan) -> list[str]:
        return [f"runs {' '.join(plan['args'])}"]

    def new_id_base(self, userns: str, taken: list[int], box_id: str = "") -> int:
        return 0 if userns == "host" else max(taken, default=65536) + 65536

    def keep_id_base(self, base: int, box_id: str) -> bool:
        return True

    def free_id_base(self, base: int, box_id: str) -> None:
        pass

    async def launch(
        self,
        plan: Plan,
        stream: Stream | None,
        wires: Wires = NO_WIRES,
        meanwhile: Callable[[], None] | None = None,
    ) -> Link:
        if meanwhile is not None:
            meanwhile()
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if plan["args"][0] == "missing":
            raise CommandNotFound("there is no command missing in the box", step="exec", errno=2)
        box_id = plan["id"]
        folder = f"{self.world.boxes}/{box_id[:12]}"
        shim = self.world.shims[box_id] = FakeShim(self.world, box_id, folder)
        link = FakeLink(shim)
        if stream is not None:
            with contextlib.suppress(OSError):  # the client is gone; its box runs all the same
                shim.take(stream, stream.preamble)
        return link

    async def reconnect(self, box_id: str) -> Link:
        for known, shim in self.world.shims.items():
            if known.startswith(box_id):
                return FakeLink(shim)
        raise NotFound("no shim lives")

    async def attach(self, link: Link, stream: Stream, session: str) -> None:
        assert isinstance(link, FakeLink)
        if session not in ("main", "e1"):
            raise NotFound(f"there is no session {session}")
        link.shim.take(stream, stream.preamble)

    async def exec(self, link: Link, spec: Mapping[str, object], stream: Stream | None) -> str:
        assert isinstance(link, FakeLink)
        if spec["command"] == ["missing"]:
            raise CommandNotFound("there is no command missing in the box")
        if stream is not None:
            link.shim.take(stream, stream.preamble.replace(b"{session}", b"e1"))
        return "e1"
