"""The daemon's nftables table: put in force, put back when somebody flushed it, taken away.

Constraint: what is wanted is one value (`rules.Wanted`), what is in force is the last one that
was applied; changes that come while the thread is busy are applied together.  The kernel tells
of each change to its rules and who made it (NFT_MSG_NEWGEN bears the pid), so a flush by another
program is seen at once and undone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable

from boxy_core.errors import Unsupported
from boxyd.network import rules
from boxyd.network.netlink import attributes
from boxyd.network.rules import Wanted
from boxyd.network.worker import Worker
from boxyd.runtime.libnftables import Nftables

_NETFILTER = 12
_GROUP_NFTABLES = 7  # NFNLGRP_NFTABLES
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_GONE = {2, 5, 8, 11, 14}
"""NFT_MSG_DELTABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM"""
_NEWGEN = 15
_GEN_PROC_PID = 2
_SETTLES = 0.05
"""seconds after another program's change until ours is put back"""
_QUIET = 0.5
"""seconds after another program's change until we look what it means for us"""
NO_LIBRARY = "networks need nftables: apt install libnftables1 (or nftables)"

log = logging.getLogger("boxyd.network")


class Firewall:
    """One table.  `on_restored` is called when another program had flushed it, `on_others` a
    moment after other programs have changed rules of theirs."""

    def __init__(
        self,
        name: str,
        worker: Worker,
        on_restored: Callable[[], None],
        on_others: Callable[[], None],
    ) -> None:
        self.name = name
        self._worker = worker
        self._on_restored = on_restored
        self._on_others = on_others
        self._nft: Nftables | None = None
        self._wanted = Wanted((), ())
        self._applied: Wanted | None = None
        self._lock = asyncio.Lock()
        self._watch: socket.socket | None = None
        self._lost = False
        self._restoring: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def apply(self, wanted: Wanted) -> None:
        """Have exactly this in force.  Raises Unsupported with the kernel's words."""
        self._wanted = wanted
        async with self._lock:
            if self._applied == self._wanted:
                return  # together with somebody else's change
            latest = self._wanted
            await self._worker.run(self._put, rules.table(self.name, latest))
            self._applied = latest
        if latest.networks:
            self._start_watching()
        else:
            self._stop_watching()

    def _put(self, text: str) -> None:
        """In the thread."""
        if self._nft is None:
            try:
                self._nft = Nftables()
            except OSError:
                raise Unsupported("this host has no libnftables", hint=NO_LIBRARY) from None
        try:
            self._nft.run(text)
        except ValueError as error:
            first = str(error).splitlines()[0]
            raise Unsupported(
                f"the kernel refuses Boxy's nftables rules: {first}",
                hint="it may lack nf_tables, nft_nat, nft_masq or nft_fib: try modprobe",
            ) from None

    def listed(self, what: str, *, json: bool = False) -> str:
        """What `nft list WHAT` prints, "" for what is gone; in the thread.  Raises Unsupported."""
        self._put("")
        assert self._nft is not None
        try:
            return self._nft.run(f"list {what}", json=json)
        except ValueError as error:
            log.debug("nft list %s: %s", what, error)
            return ""

    async def remove(self) -> None:
        """Leave nothing of ours."""
        await self.apply(Wanted((), ()))

    def close(self) -> None:
        """Let go; what is in force stays in force, boxes live on it."""
        self._stop_watching()
        if self._nft is not None:
            self._nft.close()
            self._nft = None

    # ------------------------------------------------------------------ others' changes

    def _start_watching(self) -> None:
        if self._watch is not None:
            return
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        sock = socket.socket(socket.AF_NETLINK, kind, _NETFILTER)
        sock.bind((0, 1 << (_GROUP_NFTABLES - 1)))
        self._watch = sock
        asyncio.get_running_loop().add_reader(sock.fileno(), self._heard)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
            self._watch = None
        for timer in (self._restoring, self._telling):
            if timer is not None:
                timer.cancel()
        self._restoring = self._telling = None

    def _heard(self) -> None:
        while self._watch is not None:
            try:
                data = self._watch.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: more was told than we could hear
                self._restore_soon()
                return
            self._read(data)

    def _read(self, data: bytes) -> None:
        at = 0
        while at + 20 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if length < 20:
                return
            body = data[at + 16 : at + length]
            at += (length + 3) & ~3
            if kind >> 8 != _SUBSYSTEM:
                continue
            found = dict(attributes(body, 4))
            if kind & 0xFF in _GONE and found.get(1, b"").rstrip(b"\0").decode() == self.name:
                self._lost = True
            elif kind & 0xFF == _NEWGEN:
                lost, self._lost = self._lost, False
                if int.from_bytes(found.get(_GEN_PROC_PID, b""), "big") in _own_ids():
                    continue
                if lost:
                    self._restore_soon()
                self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_QUIET, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._on_others()

    def _restore_soon(self) -> None:
        if self._restoring is None:
            loop = asyncio.get_running_loop()
            self._restoring = loop.call_later(_SETTLES, self._restore)

    def _restore(self) -> None:
        self._restoring = None
        self._applied = None
        task = asyncio.ensure_future(self._put_back())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _put_back(self) -> None:
        try:
            await self.apply(self._wanted)
        except Unsupported as error:
            log.error("the nftables rules cannot be put back: %s", error)
            return
        log.warning("another program had changed our nftables rules; they are back")
        self._on_restored()


def _own_ids() -> set[int]:
    """Our threads: the kernel tells the id of the thread that changed the rules."""
    return {os.getpid(), *(int(name) for name in os.listdir("/proc/self/task"))}
