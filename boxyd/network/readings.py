"""What a box reads of its network: resolv.conf and hosts, and what its plan must know.

Constraint: no decision and no change; the texts follow from spec, networks and addresses.
"""

from __future__ import annotations

from collections.abc import Iterable

from boxy_core.models import Box, BoxSpec
from boxy_core.models_network import Endpoint
from boxyd.network import files, ports, wishes
from boxyd.network.fabric import Fabric
from boxyd.network.live import Live
from boxyd.plan import hostname
from boxyd.ports import Setting


class Readings:
    """Makes the settings of boxes."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def setting(self, box: Box, lives: list[Live], endpoints: Iterable[Endpoint]) -> Setting:
        """The setting of a box on these networks, with these connections."""
        spec = box.spec
        names = tuple(endpoint.network for endpoint in endpoints)
        if spec.network == "host":
            return self._host_setting(spec)
        return Setting(self._resolv(spec, lives), self._hosts(box, lives, endpoints), names)

    def _host_setting(self, spec: BoxSpec) -> Setting:
        own = self._fabric.resolvers.refresh()
        resolv = hosts = ""
        if spec.dns or spec.dns_search or spec.dns_options:
            resolv = files.resolv_conf(
                spec.dns or own.servers, spec.dns_search or own.search, spec.dns_options
            )
        if spec.add_hosts:
            hosts = files.hosts({}, _extra(spec, ports.LOOPBACK), "")
        return Setting(resolv, hosts)

    def _resolv(self, spec: BoxSpec, lives: list[Live]) -> str:
        own = self._fabric.resolvers.refresh()
        servers = [live.network.gateway for live in lives if live.responder is not None]
        if not servers:
            reached = [s for s in own.servers if not s.startswith("127.") and s != "::1"]
            servers = spec.dns or (reached if lives else [])
        search = spec.dns_search or (own.search if lives else [])
        return files.resolv_conf(servers[:3], [] if search == ["."] else search, spec.dns_options)

    def _hosts(self, box: Box, lives: list[Live], endpoints: Iterable[Endpoint]) -> str:
        name = hostname(box)
        own: dict[str, list[str]] = {}
        for endpoint in endpoints:
            for text in filter(None, (endpoint.address, endpoint.address6)):
                own[text.partition("/")[0]] = [name, *(n for n in (box.name,) if n != name)]
        gateway = lives[0].network.gateway if lives else ports.LOOPBACK
        others = files.block(self._fabric.hosts.others(box.id)) if lives else ""
        return files.hosts(own or {"127.0.1.1": [name]}, _extra(box.spec, gateway), others)


def _extra(spec: BoxSpec, gateway: str) -> list[tuple[str, str]]:
    return [
        (name, gateway if address == wishes.GATEWAY_WORD else address)
        for name, address in spec.add_hosts.items()
    ]
