"""The daemon's side of the zygote: asks it for shims, replaces it when it died.

Constraint: asyncio, in the daemon's loop.  What goes on with a shim afterwards is
`boxyd.shim_link`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from boxy_core.errors import BoxyError, Internal, StartFailed
from boxy_core.paths import Paths
from boxyd.ports import NO_WIRES, Wires
from boxyd.runtime import seccomp
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.control import widen
from boxyd.shim_link import Lost, ShimLink, send_packet, visit

__all__ = ["Launcher", "Lost", "ShimLink"]

log = logging.getLogger(__name__)

ZYGOTE = os.path.join(os.path.dirname(os.path.abspath(seccomp.__file__)), "zygote.py")
INLINE = 48 << 10
"""bytes of a plan that go with the message itself; a longer one is read from its file"""
READY_TIMEOUT = 20.0
"""seconds that the zygote may take to be ready"""


class Launcher:
    """Keeps one zygote and asks it for shims; a zygote that died is replaced."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._sending = asyncio.Lock()

    @property
    def pid(self) -> int:
        """The zygote's pid, 0 if there is none."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the zygote and wait until it can fork shims.  Raises Internal."""
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                self._drop()
                await self._spawn()

    async def close(self) -> None:
        """End the zygote; shims and boxes go on."""
        process = self._process
        self._drop()
        if process:
            await asyncio.to_thread(_reap, process)

    async def launch(  # noqa: PLR0913 - so much is said of one launch
        self, plan: dict[str, Any], client_fd: int | None = None, preamble: bytes = b"", *,
        owner: bool = True, stdin: bool = True, early: bytes = b"", wires: Wires = NO_WIRES,
        meanwhile: Callable[[], None] | None = None, following: int = 0,
    ) -> ShimLink:  # fmt: skip
        """Make the box that the plan describes and run its command.

        `meanwhile` makes the box's cgroup, which its first process waits for; `following` is the
        first id of the box that is likely to come next (0: nobody knows).  Raises
        StartFailed, CommandNotFound, CommandNotExecutable, and what `meanwhile` raises; then
        nothing is left and `client_fd` is untouched.  Otherwise the shim has its own copy of
        it and writes `preamble` there.
        """
        await self.start()
        self._prepare(plan)
        written = msgspec.json.encode(plan)
        path = str(plan["run"]) + "/plan.json"
        if len(written) > INLINE:
            self._write_plan(path, written)
        size = (plan["rows"], plan["cols"]) if plan["terminal"] else (0, 0)
        how = visit(preamble, owner, stdin, False, size, early)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link = ShimLink(ours, self._paths, plan["id"])
        fds = [theirs.fileno(), *([] if client_fd is None else [client_fd])]
        fds += [fd for fd in wires if fd >= 0]
        for name, fd in zip(("network", "netns"), wires, strict=True):
            how[name] = fd >= 0
        how["waits"] = meanwhile is not None
        if following:
            how["next"] = following
        try:
            inline = msgspec.Raw(written) if len(written) <= INLINE else path
            await self._send(msgspec.json.encode({"plan": inline, **how}), fds)
            theirs.close()
            if meanwhile is not None:
                await self._let_go(link, meanwhile)
            if len(written) <= INLINE:  # while the shim has its own work
                self._write_plan(path, written)
            await link.greeted()
        except TimeoutError:
            link.close()
            raise StartFailed("the shim did not answer in time", step="shim") from None
        except BaseException:
            link.close()
            raise
        finally:
            theirs.close()
        return link

    async def _let_go(self, link: ShimLink, meanwhile: Callable[[], None]) -> None:
        """Do what the box waits for and tell it; where that fails, wait until it has gone.

        Raises what `meanwhile` raises.
        """
        try:
            meanwhile()
        except BaseException:
            link.say(b"no")
            with contextlib.suppress(BoxyError, TimeoutError):
                await link.greeted()
            raise
        link.say(b"go")

    def _prepare(self, plan: dict[str, Any]) -> None:
        """Make the run folder, and the seccomp program that the plan names if nobody has before."""
        try:
            for step in plan["steps"]:
                if step["do"] == "seccomp":
                    wanted = step["program"], step["profile"], step["capabilities"]
                    seccomp.ensure_program(*wanted, sys_.ARCH)
            os.makedirs(plan["run"], mode=0o700, exist_ok=True)
        except (OSError, seccomp.ProfileError) as error:
            raise StartFailed(f"the plan cannot be prepared: {error}", step="plan") from None

    def _write_plan(self, path: str, plan: bytes) -> None:
        try:
            with open(path, "wb") as file:
                file.write(msgspec.json.format(plan, indent=1))
        except OSError as error:
            raise StartFailed(f"the plan cannot be written: {error}", step="plan") from None

    async def _send(self, packet: bytes, fds: list[int]) -> None:
        """Send a launch message, to a new zygote if the old one is gone."""
        for attempt in (1, 2):
            try:
                assert self._sock is not None
                await send_packet(self._sock, packet, fds, self._sending)
            except OSError as error:
                if attempt == 2:
                    raise Internal(f"the zygote cannot be reached: {error}") from error
                log.warning("the zygote is gone (%s); starting another", error)
                self._drop()
                await self.start()
            else:
                return

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        widen(ours)
        more = ["-B"] if sys.dont_write_bytecode else []
        room = " " * 100  # where the zygote and its shims write their titles (`ps`)
        command = [sys.executable, "-I", "-S", *more, ZYGOTE, str(theirs.fileno()), room]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220 - fork and exec, no waiting
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
            )
        except OSError as error:
            ours.close()
            raise Internal(f"the zygote cannot be started: {error}") from error
        finally:
            theirs.close()
        self._process, self._sock = process, ours
        ours.setblocking(False)
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                word = await asyncio.get_running_loop().sock_recv(ours, 64)
        except (OSError, TimeoutError):
            word = b""
        if word != b"ready":
            self._drop()
            await asyncio.to_thread(_reap, process)
            raise Internal(
                "the zygote did not start", hint="the daemon's log has what it wrote on stderr"
            )

    def _drop(self) -> None:
        if self._sock:
            self._sock.close()
        if self._process:
            self._process.poll()
        self._sock = self._process = None


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the zygote's end, which closing its connection brings about."""
    try:
        process.wait(5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
