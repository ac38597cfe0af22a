"""A box's place on one network: taken before it comes, plugged in, known by name, given back.

Constraint: a start, a change of a living box and its end all go these same steps; what a step
took, `give_back` frees, whichever came last.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import msgspec

from boxy_core.errors import Conflict
from boxy_core.models import Box
from boxy_core.models_network import Endpoint, Network, NetworkSpec
from boxyd.network import addresses, bridge
from boxyd.network.bridge import Plug
from boxyd.network.fabric import Fabric
from boxyd.network.live import Live
from boxyd.network.registry import DEFAULT, Registry

log = logging.getLogger("boxyd.network")


class Places:
    """Boxes on the networks of one daemon.  `on_created` hears of a network made by need."""

    def __init__(
        self, registry: Registry, fabric: Fabric, on_created: Callable[[Network], None]
    ) -> None:
        self._registry = registry
        self._fabric = fabric
        self._on_created = on_created
        self._links = 0

    async def find(self, name: str) -> Live:
        """The network; the default one is made when it is first needed.  Raises NotFound."""
        if name == DEFAULT and self._registry.get(DEFAULT) is None:
            with contextlib.suppress(Conflict):  # somebody else made it meanwhile
                live = await self._registry.add(NetworkSpec(name=DEFAULT), self._fabric.worker)
                self._on_created(live.network)
        return self._registry.find(name)

    async def ready(self, name: str) -> Live:
        """The network, up.  One whose subnet the host has come to use is given another.

        Raises NotFound, Conflict, Unsupported.
        """
        live = await self.find(name)
        try:
            await self._fabric.bring_up(live)
        except Conflict as error:
            if not live.network.chosen or live.holders:
                raise
            log.warning("%s; another subnet is chosen", error)
            await self._registry.move(live, self._fabric.worker)
            await self._fabric.bring_up(live)
        return live

    def take(self, box: Box, live: Live, endpoint: Endpoint, number: int) -> Endpoint:
        """The connection with its addresses, and the names of both its ends.

        Raises Conflict (an address is taken), InvalidRequest.
        """
        taken = live.take(box.id, endpoint)
        mac = addresses.parse_mac(endpoint.mac) if endpoint.mac else addresses.mac_for(taken[0])
        network, self._links = live.network, self._links + 1
        texts = [f"{a}/{pool.subnet.prefixlen}" for a, pool in zip(taken, live.pools, strict=True)]
        return msgspec.structs.replace(
            endpoint,
            address=texts[0],
            address6=texts[1] if len(texts) > 1 else "",
            gateway="" if network.internal else network.gateway,
            gateway6="" if network.internal else network.gateway6,
            mac_address=addresses.show_mac(mac),
            interface=f"{bridge.INNER_PREFIX}{number}",
            host_interface=bridge.link_name(
                self._fabric.instance, int(box.id[:7], 16) + self._links
            ),
        )

    async def join(self, netns: int, live: Live, box: Box, endpoint: Endpoint, number: int) -> None:
        """Plug the box in as its `number`th interface, and let it be known by name.

        `netns` is a descriptor of its network namespace.  Raises Unsupported, OSError.
        """
        await self._fabric.worker.run(bridge.connect, netns, _plug(live, endpoint, number))
        self.known(live, box, endpoint)

    def known(self, live: Live, box: Box, endpoint: Endpoint) -> None:
        """The network knows the box by its names as they are now."""
        live.join(box, endpoint)
        self._fabric.hosts.changed(live)

    def give_back(self, live: Live, box_id: str, *, lives: bool = False) -> None:
        """The box has left: its addresses and names are free.

        One that `lives` on without the network forgets the names that were known there.
        """
        live.leave(box_id)
        self._fabric.left(live)
        self._fabric.hosts.changed(live, left=box_id if lives else "")


def _plug(live: Live, endpoint: Endpoint, number: int) -> Plug:
    network = live.network
    return Plug(
        bridge=network.interface,
        outer=endpoint.host_interface,
        inner=endpoint.interface,
        mac=addresses.parse_mac(endpoint.mac_address),
        address=endpoint.address,
        address6=endpoint.address6,
        gateway=endpoint.gateway,
        gateway6=endpoint.gateway6,
        mtu=network.mtu,
        metric=100 * number,
    )
