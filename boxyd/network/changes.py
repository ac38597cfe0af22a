"""What people change of the networks of a box that is there, also while it lives.

Constraint: the box's lock is held throughout, and `Shelf.change` comes last: what is written
down is what is in force, or what the next start will make so.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import msgspec

from boxy_core.errors import Conflict, InvalidRequest, Unsupported
from boxy_core.models import Box
from boxy_core.models_network import Endpoint, Port
from boxyd.boxes_shelf import Record, Shelf
from boxyd.network import addresses, bridge, ports, wishes
from boxyd.network.fabric import Fabric
from boxyd.network.live import Live, is_on
from boxyd.network.places import Places
from boxyd.network.portbook import PortBook, held_name, meant, shown, without
from boxyd.network.registry import DEFAULT, SHARED, Registry
from boxyd.ports import Setting


class Changes:
    """Connects, disconnects and publishes.

    `require` raises Unsupported where boxes cannot be connected; `reads` says what a box reads.
    """

    def __init__(
        self,
        shelf: Shelf,
        registry: Registry,
        fabric: Fabric,
        places: Places,
        book: PortBook,
        require: Callable[[], Awaitable[None]],
        reads: Callable[[Box], Setting],
    ) -> None:
        self._shelf = shelf
        self._registry = registry
        self._fabric = fabric
        self._places = places
        self._book = book
        self._require = require
        self._reads = reads

    async def publish(self, record: Record, add: list[Port], remove: list[Port]) -> Box:
        """Open and close ports of a box, now if it lives, and for its next starts.

        Raises InvalidRequest, NotFound (a port to close is not there), Conflict.
        """
        ports.check(add)
        async with record.lock:
            box = record.box
            if not box.networks:
                raise InvalidRequest(
                    f"box {box.name} is on no network (--network {box.spec.network})",
                    hint=f"connect it first: boxy network connect {DEFAULT} {box.name}",
                )
            kept = without(box, remove, self._book.default)
            wanted = [*kept, *add]
            ports.check(wanted)
            live = record.alive and record.link is not None
            now, gone = list(box.ports), []
            if live:
                gone = [one for one in now if any(meant(one, ref) for ref in remove)]
                opened, held = self._book.open(record, add, box.networks)
                try:
                    now = [one for one in now if one not in gone] + opened
                    before = self._fabric.ports.get(box.id, [])
                    self._fabric.ports[box.id] = now
                    try:
                        await self._fabric.refresh()
                    except BaseException:
                        self._fabric.ports[box.id] = before
                        raise
                    assert record.link is not None
                    await record.link.hold({n: s.fileno() for n, s in held.items()})
                    await record.link.let_go([held_name(one) for one in gone])
                finally:
                    for sock in held.values():
                        sock.close()
            spec = msgspec.structs.replace(box.spec, ports=wanted)
            return self._shelf.change(
                record, "box.updated", data={"ports": [shown(one) for one in now]},
                spec=spec, ports=now,
            )  # fmt: skip

    async def connect(self, record: Record, ref: str, wish: Endpoint) -> Box:
        """Connect a box to one more network, now if it lives.

        Raises NotFound, Conflict (it is on it already), InvalidRequest, Unsupported.
        """
        await self._require()
        live = await self._places.find(ref)
        name = live.network.name
        for alias in wish.aliases:
            wishes.check_alias(alias)
        if wish.mac:
            addresses.parse_mac(wish.mac)
        async with record.lock:
            box = record.box
            if box.spec.network == "host" or box.spec.network.startswith(SHARED):
                raise InvalidRequest(
                    f"box {box.name} has no network of its own (--network {box.spec.network})",
                    hint="make it with --network none, or on a network",
                )
            if is_on(box, name):
                raise Conflict(
                    f"box {box.name} is on network {name} already",
                    hint="boxy inspect -f networks shows which it is on",
                )
            endpoint = msgspec.structs.replace(wish, network=name)
            before = self._reads(box)
            if record.alive:
                endpoint = await self._connect_now(record, await self._places.ready(name), endpoint)
            changed = self._shelf.change(
                record, "network.connected", data={"network": name},
                networks=[*record.box.networks, endpoint],
            )  # fmt: skip
            return await self._read_anew(record, before, changed)

    async def _read_anew(self, record: Record, before: Setting, box: Box) -> Box:
        """The files that a living box reads are as its networks are."""
        if record.alive:
            await self._fabric.hosts.exchange(box.id, before, self._reads(box))
        return box

    async def _connect_now(self, record: Record, live: Live, wish: Endpoint) -> Endpoint:
        box = record.box
        used = {int(e.interface.removeprefix(bridge.INNER_PREFIX)) for e in box.networks
                if e.interface}  # fmt: skip
        number = next(n for n in range(len(used) + 1) if n not in used)
        endpoint = self._places.take(box, live, wish, number)
        try:
            netns = os.open(f"/proc/{box.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                await self._places.join(netns, live, box, endpoint, number)
            finally:
                os.close(netns)
        except OSError as error:
            self._places.give_back(live, box.id, lives=True)
            raise Unsupported(
                f"box {box.name} could not be connected to {live.network.name}: {error.strerror}"
            ) from None
        except BaseException:
            self._places.give_back(live, box.id, lives=True)
            raise
        return endpoint

    async def disconnect(self, record: Record, ref: str) -> Box:
        """Take a box off a network, now if it lives; ports that lead to it there are closed.

        Raises NotFound, Conflict.
        """
        async with record.lock:
            box = record.box
            live = self._registry.get(ref)
            name = live.network.name if live else ref
            endpoint = next((one for one in box.networks if one.network == name), None)
            if endpoint is None:
                live = live or self._registry.find(ref)
                name = live.network.name
                endpoint = next((one for one in box.networks if one.network == name), None)
            if endpoint is None:
                raise Conflict(
                    f"box {box.name} is not on network {name}",
                    hint="boxy inspect -f networks shows which it is on",
                )
            rest = [one for one in box.networks if one is not endpoint]
            before = self._reads(box)
            published = list(box.ports)
            if record.alive and live is not None:
                ips = {endpoint.address.partition("/")[0], endpoint.address6.partition("/")[0]}
                gone = [one for one in published if one.to in ips]
                published = [one for one in published if one not in gone]
                await self._fabric.worker.run(bridge.disconnect, endpoint.host_interface)
                if gone:
                    self._fabric.ports[box.id] = published
                    await self._fabric.refresh()
                    if record.link is not None:
                        await record.link.let_go([held_name(one) for one in gone])
                self._places.give_back(live, box.id, lives=True)
            changed = self._shelf.change(
                record, "network.disconnected", data={"network": name},
                networks=rest, ports=published,
            )  # fmt: skip
            return await self._read_anew(record, before, changed)
