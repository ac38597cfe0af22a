"""The network of one box on its way: from the decision to the moment when its command may run.

The box's first process makes the box's file systems while the daemon makes its interfaces: the
shim sends the network namespace as soon as that exists, and the process waits for our word
right before it becomes the command.  Nothing waits where there is nothing to connect.

Constraint: whatever fails, everything that was taken (addresses, ports, descriptors) is given
back by one call of `abandon`.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable

from boxy_core.errors import BoxyError, StartFailed
from boxy_core.models_network import Endpoint, Published
from boxyd.ports import Setting, Wires


class Attachment:
    """What a start needs of the network, and what it leaves on the box.

    `connect` is given the box's network namespace (an fd) and makes the connections.
    """

    def __init__(
        self,
        setting: Setting,
        connect: Callable[[int], Awaitable[None]] | None = None,
        *,
        endpoints: list[Endpoint] | None = None,
        ports: list[Published] | None = None,
        notices: list[str] | None = None,
        netns: int = -1,
    ) -> None:
        self.setting = setting
        self.endpoints = endpoints or []
        self.ports = ports or []
        self.notices = notices or []
        self.undo = contextlib.ExitStack()
        self.held: dict[str, socket.socket] = {}
        """bound sockets by the port's name, on their way to the shim"""
        self.error: BoxyError | None = None
        self._connect = connect
        self._netns = netns
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        if connect is not None:
            self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._ours.setblocking(False)
            self._task = asyncio.create_task(self._serve(self._ours, connect))

    @property
    def wires(self) -> Wires:
        """The descriptors that go to the shim with the launch."""
        return Wires(self._theirs.fileno() if self._theirs else -1, self._netns)

    async def _serve(self, sock: socket.socket, connect: Callable[[int], Awaitable[None]]) -> None:
        """Wait for the namespace, connect, let the box go on; or tell it why not."""
        netns = await _receive_fd(sock)
        if netns < 0:
            return  # the start failed before it came to that
        word = b"ok"
        try:
            await connect(netns)
        except BoxyError as error:
            self.error, word = error, b"!" + error.message.encode()
        except OSError as error:
            text = f"the box could not be connected: {error.strerror or error}"
            self.error, word = StartFailed(text, step="network", errno=error.errno or 0), b"!"
            word += text.encode()
        finally:
            os.close(netns)
        with contextlib.suppress(OSError):
            sock.send(word)

    def raise_own(self) -> None:
        """Raises what kept the network from coming up, which says more than the shim can."""
        if self.error is not None:
            raise self.error

    def launched(self) -> None:
        """The shim has its own copies of the descriptors."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None
        if self._netns >= 0:
            os.close(self._netns)
            self._netns = -1

    def settle(self) -> None:
        """The box runs: what was taken is its own now."""
        self.launched()
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        self.undo.pop_all()

    async def abandon(self) -> None:
        """The start failed: give everything back."""
        self.launched()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        for sock in self.held.values():
            sock.close()
        self.undo.close()


async def _receive_fd(sock: socket.socket) -> int:
    """The descriptor that comes; -1 if the other side is closed instead."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(sock.fileno(), readable)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
    try:
        _, passed, _, _ = sock.recvmsg(16, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return -1
    for level, kind, data in passed:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return int(array.array("i", data[:4])[0])
    return -1
