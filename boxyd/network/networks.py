"""The networks of one daemon, and the boxes on them: the face of this package.

Boxes come and go by `starting`, `started`, `ended`; what people change of those that are there
is in `changes`.

Constraint: of what is on the host, `Fabric` alone makes and removes; of a box, `Shelf.change`
alone writes; this module decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

import msgspec

from boxy_core.errors import (
    BoxyError,
    Conflict,
    InvalidRequest,
    NotFound,
    StartFailed,
)
from boxy_core.models import Box, BoxSpec
from boxy_core.models_network import (
    Endpoint,
    Network,
    NetworkBox,
    NetworkSpec,
)
from boxy_core.paths import Paths
from boxyd.boxes_shelf import Record, Shelf
from boxyd.events import Events
from boxyd.network import ability, addresses, bridge, ports, takeup, wishes
from boxyd.network.attachment import Attachment
from boxyd.network.changes import Changes
from boxyd.network.fabric import Fabric, in_use, unsupported
from boxyd.network.live import Live, is_on, names_of
from boxyd.network.places import Places
from boxyd.network.portbook import PortBook
from boxyd.network.readings import Readings
from boxyd.network.registry import DEFAULT, SHARED, Registry
from boxyd.network.store import NetworkStore
from boxyd.ports import Link, Setting, Starting

AUTO = "auto"
"""as a default network: `bridge` where the machine can, else `none` with a notice"""

log = logging.getLogger("boxyd.network")


class Defaults(NamedTuple):
    """What the daemon's options say."""

    network: str = "none"
    address: str = ports.LOOPBACK
    """where ports are published unless an address is given"""


class Networks:
    """See the module."""

    def __init__(
        self, paths: Paths, shelf: Shelf, events: Events, defaults: Defaults, problem: str | None
    ) -> None:
        self._paths = paths
        self._shelf = shelf
        self._events = events
        self.defaults = defaults
        self.instance = addresses.instance_of(paths.root)
        self.registry = Registry(NetworkStore(paths), self.instance)
        self.fabric = Fabric(
            paths, self.instance, lambda: self.registry, self._dns_of, self._restored
        )
        self.book = PortBook(shelf, self.fabric, defaults.address)
        self._places = Places(self.registry, self.fabric, partial(self._tell, "network.created"))
        self._readings = Readings(self.fabric)
        self.changes = Changes(
            shelf, self.registry, self.fabric, self._places, self.book, self._require, self.preview
        )
        self._problem = problem
        self._probing: asyncio.Task[str] | None = None

    async def problem(self) -> str:
        """Why there can be no bridge networks here; "" if there can."""
        if self._problem is None:
            if self._probing is None:
                self._probing = asyncio.create_task(ability.problem())
            self._problem = await asyncio.shield(self._probing)
        return self._problem

    async def _require(self) -> None:
        """Raises Unsupported where boxes cannot be connected."""
        if problem := await self.problem():
            raise unsupported(problem)

    # ------------------------------------------------------------------ networks

    async def create(self, spec: NetworkSpec) -> Network:
        """A new network.  Raises InvalidRequest, Conflict, Unsupported."""
        await self._require()
        live = await self.registry.add(spec, self.fabric.worker)
        self._tell("network.created", live.network)
        return self.describe(live)

    def all(self) -> list[Network]:
        """Every network, by name."""
        return sorted(map(self.describe, self.registry), key=lambda network: network.name)

    def describe(self, live: Live) -> Network:
        """The network with who is on it, as answers show it."""
        boxes = [
            _network_box(record, endpoint)
            for record in self._shelf
            for endpoint in record.box.networks
            if endpoint.network == live.network.name
        ]
        dns = f"{live.network.gateway}:{live.dns_port}" if live.responder is not None else ""
        return msgspec.structs.replace(
            live.network, up=live.up, dns=dns, boxes=boxes, notices=list(live.notices)
        )

    async def remove(self, ref: str) -> None:
        """Remove a network that no box is on.  Raises NotFound, Conflict."""
        live = self.registry.find(ref)
        name = live.network.name
        users = [r.box.name for r in self._shelf if is_on(r.box, name)]
        if users or live.holders:
            raise in_use(live.network, users or ["a box that is being started"])
        await self.fabric.down_now(live)
        if live.holders:
            raise in_use(live.network, ["a box that is being started"])
        self.registry.drop(live)
        self._tell("network.removed", live.network)

    async def prune(self) -> list[str]:
        """Remove every network that no box is on; their names."""
        removed = []
        for live in self.registry:
            if live.network.name == DEFAULT:
                continue
            with contextlib.suppress(Conflict, NotFound):
                await self.remove(live.network.id)
                removed.append(live.network.name)
        return removed

    def _tell(self, kind: str, network: Network) -> None:
        self._events.emit(kind, network=network.name, network_id=network.id)

    def _restored(self) -> None:
        self._events.emit("network.restored", table=self.fabric.firewall.name)

    # ------------------------------------------------------------------ what a new box gets

    async def settled(self, spec: BoxSpec) -> tuple[BoxSpec, list[Endpoint], list[str]]:
        """The spec with its network settled, its connections, notices.

        Raises InvalidRequest, NotFound, Unsupported.
        """
        notices: list[str] = []
        asked = spec.network
        if asked in ("", "default"):
            name, notices = await self._default(spec)
            spec = wishes.with_network(spec, name)
        wishes.check(spec)
        if spec.network.startswith(SHARED):
            other = self._shelf.find(spec.network.removeprefix(SHARED)).box
            if not wishes.is_bridged(other.spec.network) and other.spec.network != "none":
                raise InvalidRequest(
                    f"box {other.name} has no network of its own ({other.spec.network})",
                    hint=f"--network {other.spec.network} gives the same",
                )
            return wishes.with_network(spec, SHARED + other.id), [], notices
        if not wishes.is_bridged(spec.network):
            if spec.network == "host" and (spec.ports or spec.publish_all):
                notices.append("its ports are the host's own: publishing them has no effect")
            return spec, [], notices
        await self._require()
        live = await self._places.find(spec.network)
        if spec.ip6 and not live.network.subnet6:
            raise InvalidRequest(
                f"network {live.network.name} has no IPv6",
                hint="make one that has: boxy network create --ipv6 NAME",
            )
        spec = wishes.with_network(spec, live.network.name)
        for address in {self.book.address(port) for port in spec.ports}:
            if ":" in address and not live.network.subnet6:
                raise InvalidRequest(
                    f"ports cannot be published on {address}: network {live.network.name} has "
                    "no IPv6",
                    hint="make one that has: boxy network create --ipv6 NAME",
                )
        return spec, [wishes.endpoint(spec)], notices

    async def _default(self, spec: BoxSpec) -> tuple[str, list[str]]:
        if self.defaults.network != AUTO:
            return self.defaults.network, []
        problem = await self.problem()
        if not problem:
            return DEFAULT, []
        if spec.ports or spec.publish_all:
            raise unsupported(problem)
        return "none", [f"it has no network: {problem}"]

    # ------------------------------------------------------------------ a start

    async def prepare(self, record: Record) -> Attachment:
        """Everything that a start of this box needs of the network.

        Raises Conflict (a port or an address is taken), NotFound (the network is gone),
        Unsupported; then nothing is left of it.
        """
        box = record.box
        if box.spec.network.startswith(SHARED):
            return self._joining(box)
        if not box.networks:
            return Attachment(self._readings.setting(box, [], []))
        await self._require()
        with contextlib.ExitStack() as undo:
            lives, endpoints = [], []
            for number, endpoint in enumerate(box.networks):
                live = await self._places.ready(endpoint.network)
                made = self._places.take(box, live, endpoint, number)
                undo.callback(self._places.give_back, live, box.id)
                lives.append(live)
                endpoints.append(made)
            published, held = self.book.open_for_start(
                record, wishes.wanted_ports(box.spec, record.image), endpoints
            )
            for sock in held.values():
                undo.callback(sock.close)
            if published:
                self.fabric.ports[box.id] = published
            undo.callback(self._unpublish, box.id)
            attachment = Attachment(
                self._readings.setting(box, lives, endpoints)._replace(
                    endpoints=tuple(endpoints), ports=tuple(published)
                ),
                partial(self._connect_all, box, lives, endpoints),
                endpoints=endpoints,
                ports=published,
                notices=[notice for live in lives for notice in live.notices],
            )
            attachment.held = held
            attachment.undo = undo.pop_all()
        return attachment

    def _unpublish(self, box_id: str) -> None:
        if self.fabric.ports.pop(box_id, None):
            self.fabric.errands.send(self.fabric.refresh())

    async def _connect_all(
        self, box: Box, lives: list[Live], endpoints: list[Endpoint], netns: int
    ) -> None:
        """Called with the box's network namespace, while the box is being made."""
        if box.id in self.fabric.ports:
            await self.fabric.refresh()
        for number, (live, endpoint) in enumerate(zip(lives, endpoints, strict=True)):
            await self._places.join(netns, live, box, endpoint, number)

    def _joining(self, box: Box) -> Attachment:
        """The network of another box, which must live."""
        ref = box.spec.network.removeprefix(SHARED)
        try:
            other = self._shelf.find(ref)
        except NotFound:
            raise Conflict(
                f"box {box.name} shares the network of box {ref[:12]}, which is removed",
                hint=f"make it anew: boxy rm {box.name}",
            ) from None
        if not other.alive or not other.box.pid:
            raise Conflict(
                f"box {box.name} shares the network of box {other.box.name}, which is not running",
                hint=f"start that one first: boxy start {other.box.name}",
            )
        netns = os.open(f"/proc/{other.box.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        folder = self._paths.box(other.box.id)
        return Attachment(Setting(joins=folder), netns=netns)

    # ------------------------------------------------------------------ what the box reads

    def preview(self, box: Box) -> Setting:
        """What the box reads as it is connected now; for a plan that is only read, too."""
        if box.spec.network.startswith(SHARED):
            return Setting(joins=self._paths.box(box.spec.network.removeprefix(SHARED)))
        found = [self.registry.get(endpoint.network) for endpoint in box.networks]
        return self._readings.setting(
            box, [live for live in found if live is not None], box.networks
        )

    def _dns_of(self, box_id: str) -> list[str]:
        """The resolvers that were asked for with a box."""
        if not box_id:
            return []
        try:
            return self._shelf.find(box_id).box.spec.dns
        except NotFound:
            return []

    # ------------------------------------------------------------------ the life of a box

    @contextlib.asynccontextmanager
    async def starting(self, record: Record) -> AsyncIterator[Attachment]:
        """Around the launch of a box; what was taken is given back if it fails.

        Raises what `prepare` does, and what kept the box from being connected.
        """
        attachment = await self.prepare(record)
        try:
            yield attachment
        except BaseException as error:
            await attachment.abandon()
            if isinstance(error, StartFailed):
                attachment.raise_own()
            raise
        attachment.settle()

    def started(self, box: Box, network: Starting, link: Link) -> None:
        """The box is noted as running: its shim keeps its ports from now on."""
        assert isinstance(network, Attachment)
        if network.held:
            held, network.held = network.held, {}
            self.fabric.errands.send(self._hand_over(held, link))

    async def _hand_over(self, held: dict[str, socket.socket], link: Link) -> None:
        try:
            await link.hold({name: sock.fileno() for name, sock in held.items()})
        except BoxyError as error:
            log.debug("the ports are not held, the box has ended: %s", error)
        finally:
            for sock in held.values():
                sock.close()

    def ended(self, box: Box) -> None:
        """The box is no more: its addresses, names and ports are free."""
        self._unpublish(box.id)
        for endpoint in box.networks:
            live = self.registry.get(endpoint.network)
            if live is not None and box.id in live.holders:
                self._places.give_back(live, box.id)
                if self._is_shared(box):
                    self.fabric.errands.send(self._cut(endpoint.host_interface))

    def _is_shared(self, box: Box) -> bool:
        """Whether another box keeps this one's network alive: then its end must be cut."""
        return any(r.alive and r.box.spec.network == SHARED + box.id for r in self._shelf)

    async def _cut(self, interface: str) -> None:
        await self.fabric.worker.run(bridge.disconnect, interface)

    def renamed(self, box: Box) -> None:
        """The box bears another name: the network knows it by that now."""
        for endpoint in box.networks:
            live = self.registry.get(endpoint.network)
            if live is not None and box.id in live.members:
                self._places.known(live, box, endpoint)

    # ------------------------------------------------------------------ a daemon's start and end

    def unseen(self, box: Box) -> Attachment:
        """What a start took that an earlier daemon began and did not see through."""
        taken = takeup.planned(self._paths.box_run(box.id))
        return Attachment(Setting(), endpoints=taken.endpoints, ports=taken.ports)

    def adopt(self, box: Box, link: Link) -> None:
        """A box that an earlier daemon left running has these addresses and ports."""
        for endpoint in box.networks:
            live = self.registry.get(endpoint.network)
            if live is None or not endpoint.address:
                continue
            wish = msgspec.structs.replace(endpoint, ip="", ip6="")
            with contextlib.suppress(BoxyError):
                live.take(box.id, wish)
            live.join(box, endpoint)
        if box.ports:
            self.fabric.ports[box.id] = list(box.ports)
            if held := takeup.unheld(box.ports):
                self.fabric.errands.send(self._hand_over(held, link))

    async def take_up(self) -> None:
        """Bring up what boxes of an earlier daemon live on, remove what nobody does."""
        used = [live for live in self.registry if live.holders]
        if self.defaults.network == AUTO and self._problem is None:
            self._probing = asyncio.create_task(ability.problem())  # for the first box
        problem = self._problem if not used else await self.problem()
        if problem:
            if used:
                log.error("boxes lost their networks: %s", problem)
            return
        keep = {
            endpoint.host_interface
            for record in self._shelf
            if record.alive
            for endpoint in record.box.networks
        }
        for live in used:
            try:
                await self.fabric.bring_up(live)
            except BoxyError as error:
                log.error("network %s does not come up: %s", live.network.name, error)
            keep.add(live.network.interface)
        await self.fabric.clear_leftovers(keep)

    async def close(self) -> None:
        """Let go of everything; boxes stay connected."""
        if self._probing is not None:
            await asyncio.wait([self._probing])
        await self.fabric.close()


def _network_box(record: Record, endpoint: Endpoint) -> NetworkBox:
    box = record.box
    return NetworkBox(
        id=box.id,
        name=box.name,
        address=endpoint.address if record.alive else "",
        address6=endpoint.address6 if record.alive else "",
        mac_address=endpoint.mac_address if record.alive else "",
        names=list(names_of(box, endpoint)),
        running=record.alive,
    )
