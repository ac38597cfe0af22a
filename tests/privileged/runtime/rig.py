"""A rig for real boxes without a daemon: launcher, image tree, plans, clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import psutil

from boxy_core import protocol
from boxy_core.models import Box, BoxSpec, ExitInfo, Image, Limits, Mount
from boxy_core.paths import Paths
from boxyd import host, ids, plan
from boxyd.cgroup import detect
from boxyd.cgroup.interface import Cgroup
from boxyd.launcher import Launcher, ShimLink
from tests.conftest import Workspace
from tests.support.waiting import eventually_async

SECONDS = 60.0


class Client:
    """The other end of a connection that a shim was given."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.frames: list[tuple[int, bytes]] = []
        self.ended = False
        self._reader = protocol.FrameReader()

    async def read(self, size: int = 65536) -> bool:
        """Read once; False at the end."""
        loop = asyncio.get_running_loop()
        try:
            data = await asyncio.wait_for(loop.sock_recv(self.sock, size), SECONDS)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.frames += self._reader.feed(data)
        return bool(data)

    async def raw(self, size: int) -> bytes:
        """Exactly so many bytes, before any frame."""
        data = b""
        while len(data) < size:
            data += await asyncio.get_running_loop().sock_recv(self.sock, size - len(data))
        return data

    async def until(self, text: bytes) -> None:
        """Read until the output has this text."""
        while text not in self.output():
            if not await self.read():
                raise AssertionError(f"the end came before {text!r}: {self.frames}")

    async def until_kind(self, kind: int) -> bytes:
        """Read until a frame of that kind came; its payload."""
        while True:
            for found, payload in self.frames:
                if found == kind:
                    return payload
            if not await self.read():
                raise AssertionError(f"the end came before {protocol.NAMES[kind]}: {self.frames}")

    async def finish(self) -> list[tuple[int, bytes]]:
        """Read to the end."""
        while await self.read():
            continue
        return self.frames

    def output(self, kind: int | None = None) -> bytes:
        wanted = (protocol.STDOUT, protocol.STDERR) if kind is None else (kind,)
        return b"".join(payload for k, payload in self.frames if k in wanted)

    async def send(self, *frames: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, b"".join(frames))

    async def type(self, text: bytes) -> None:
        await self.send(protocol.frame(protocol.STDIN, text))

    def close(self) -> None:
        self.sock.close()


class Rig:
    """Everything that a test of the runtime needs; `close` leaves nothing behind."""

    def __init__(self, workspace: Workspace, tree: str) -> None:
        folder = str(workspace.folder)
        self.paths = Paths(
            folder + "/root", folder + "/run", folder + "/sock", (), workspace.cgroup_root
        )
        self.tree = tree
        self.host = host.probe()
        self.launcher = Launcher(self.paths)
        self.driver = detect(parent=workspace.cgroup_root)
        self.links: list[ShimLink] = []
        self.groups: list[Cgroup] = []
        self.clients: list[Client] = []
        self.bases: list[int] = []

    def plan(
        self, *args: str, limits: Limits | None = None, layers: list[str] | None = None,
        mounts: list[Mount] | None = None, facts: host.HostFacts | None = None, **spec: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """The plan of a new box with a cgroup of its own."""
        box_id = secrets.token_hex(32)
        os.makedirs(self.paths.box(box_id))
        group = self.driver.create(self.paths.box_cgroup(box_id), limits or Limits(pids=200))
        self.groups.append(group)
        base = 0
        if spec.get("userns") != "host":
            base = ids.allocate(self.bases)
            self.bases.append(base)
        image = Image(
            name="alpine", id="x", source="x", layers=layers or [self.tree], env={"PATH": plan.PATH}
        )
        box = Box(
            id=box_id, name="box-under-test", image="alpine", args=list(args), id_base=base,
            layers=image.layers, spec=BoxSpec(image="alpine", mounts=mounts or [], **spec),
        )  # fmt: skip
        return plan.build(box, image, self.paths, group.plan(), facts or self.host)

    async def launch(self, made: dict[str, Any], **how: Any) -> tuple[ShimLink, Client]:
        """Run a plan with a client that owns it."""
        ours, theirs = socket.socketpair()
        client = Client(ours)
        self.clients.append(client)
        how.setdefault("following", self.following)
        with theirs:
            link = await self.launcher.launch(made, theirs.fileno(), **how)
        self.links.append(link)
        return link, client

    @property
    def following(self) -> int:
        """The first id of the box that is planned next."""
        return ids.allocate(self.bases)

    async def cradle(self) -> int:
        """The process that waits to become the next box's first: its pid, once there is one."""
        await eventually_async(lambda: _cradles(self.launcher.pid))
        return _cradles(self.launcher.pid)[0]

    async def run(self, *args: str, **spec: Any) -> tuple[ExitInfo, Client]:
        """Run a command in a new box, to its end."""
        link, client = await self.launch(self.plan(*args, **spec))
        await client.finish()
        return await link.wait_exit(), client

    async def detached(self, *args: str, **spec: Any) -> ShimLink:
        """Run a command in a new box without a client."""
        made = self.plan(*args, **spec)
        link = await self.launcher.launch(made, following=self.following)
        self.links.append(link)
        return link

    async def attach(self, link: ShimLink, **how: Any) -> Client:
        """One more client."""
        ours, theirs = socket.socketpair()
        client = Client(ours)
        self.clients.append(client)
        with theirs:
            await link.attach(theirs.fileno(), **{"stdin": True, "replay": True, **how})
        return client

    async def exec(self, link: ShimLink, *args: str, **spec: Any) -> tuple[str, Client]:
        """A further command with a client."""
        ours, theirs = socket.socketpair()
        client = Client(ours)
        self.clients.append(client)
        with theirs:
            wanted = {"command": list(args), "env": {}, **spec}
            session = await link.exec(wanted, theirs.fileno())
        return session, client

    async def close(self) -> None:
        for client in self.clients:
            client.close()
        for group in self.groups:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(group.kill)
        for link in self.links:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(link.wait_exit(), 30)
            link.close()
        await self.launcher.close()
        for group in self.groups:
            await asyncio.to_thread(group.remove)


def _cradles(zygote: int) -> list[int]:
    """Those of a zygote's spares that have all they wait with: the host's tree is gone for them."""
    found = []
    for spare in psutil.Process(zygote).children():
        with contextlib.suppress(psutil.Error, OSError, IndexError):
            found += [
                child.pid
                for child in spare.children()
                if "(cradle)" in child.cmdline()[0] and _root(child.pid) == "tmpfs"
            ]
    return found


def _root(pid: int) -> str:
    """What kind of file system the process has as its root."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    kinds = [line.partition(" - ")[2] for line in lines if line.split()[4] == "/"]
    return kinds[-1].split()[0] if kinds else ""


def alive(pid: int) -> bool:
    """Whether a process of that pid lives (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
