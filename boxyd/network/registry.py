"""The networks there are: made, found, removed.

`bridge` is the default network and is made when it is first needed; `none` and `host` are words,
and no networks.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections.abc import Iterator

import msgspec

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_core.models_network import Network, NetworkSpec
from boxyd.network import addresses, bridge
from boxyd.network.live import Live
from boxyd.network.rtnetlink import AnyNetwork
from boxyd.network.store import NetworkStore
from boxyd.network.worker import Worker

DEFAULT = "bridge"
WORDS = ("none", "host", "default")
"""what no network can be called"""
SHARED = "box:"
"""the beginning of `--network box:NAME`"""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_LABEL = re.compile(r"[!-<>-~]+")
_MTU_LEAST, _MTU_MOST = 1280, 65535


class Registry:
    """The networks of one daemon by name and id."""

    def __init__(self, store: NetworkStore, instance: str) -> None:
        self._store = store
        self._instance = instance
        self._by_id: dict[str, Live] = {}
        for network in store.load():
            self._by_id[network.id] = Live(network)

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._by_id.values()))

    def find(self, ref: str) -> Live:
        """The network of this name, id, or unique beginning of an id.  Raises NotFound."""
        for live in self._by_id.values():
            if live.network.name == ref:
                return live
        found = [live for key, live in self._by_id.items() if ref and key.startswith(ref)]
        if len(found) == 1:
            return found[0]
        shown = ref if ref.isprintable() and len(ref) < 80 else repr(ref[:60])
        raise NotFound(
            f"there is no network {shown}",
            hint=f"make it with: boxy network create {shown}; boxy network ls lists them",
        )

    def get(self, name: str) -> Live | None:
        """The network of exactly this name."""
        return next((live for live in self if live.network.name == name), None)

    async def add(self, spec: NetworkSpec, worker: Worker) -> Live:
        """A new network, on the disk.  Raises InvalidRequest, Conflict."""
        check(spec)
        if self.get(spec.name) is not None:
            raise Conflict(
                f"there is a network {spec.name} already",
                hint=f"boxy network inspect {spec.name} shows it",
            )
        host = await worker.run(bridge.taken_networks)
        mtu = spec.mtu or await worker.run(bridge.way_out_mtu)
        if self.get(spec.name) is not None:  # it was made while we looked
            raise Conflict(
                f"there is a network {spec.name} already",
                hint="choose another name, or remove that one: boxy network rm",
            )
        network = self._made(spec, host, mtu)
        self._store.save(network)
        live = self._by_id[network.id] = Live(network)
        return live

    async def move(self, live: Live, worker: Worker) -> None:
        """Choose another subnet for a network whose own the host uses for something else now."""
        taken = [*await worker.run(bridge.taken_networks), *self._subnets(but=live)]
        subnet = addresses.free_subnet(taken, self._instance)
        gateway = str(addresses.first_host(subnet))
        network = msgspec.structs.replace(live.network, subnet=str(subnet), gateway=gateway)
        self._store.save(network)
        live.replace(network)

    def drop(self, live: Live) -> None:
        """The network is no more."""
        self._store.remove(live.network)
        self._by_id.pop(live.network.id, None)

    # ------------------------------------------------------------------ how one is made

    def _made(self, spec: NetworkSpec, host: list[AnyNetwork], mtu: int) -> Network:
        network_id = secrets.token_hex(6)
        taken = [*host, *self._subnets()]
        four: AnyNetwork
        if spec.subnet:
            four = addresses.parse_subnet(spec.subnet)
            self._check_free(four, host)
        else:
            four = addresses.free_subnet(taken, self._instance)
        gateway = _gateway(spec.gateway, four)
        subnet6 = gateway6 = ""
        if spec.ipv6 or spec.subnet6:
            six: AnyNetwork
            if spec.subnet6:
                six = addresses.parse_subnet(spec.subnet6)
                self._check_free(six, host)
            else:
                six = addresses.free_subnet6(taken, self._instance)
            subnet6, gateway6 = str(six), _gateway(spec.gateway6, six)
        return Network(
            id=network_id, name=spec.name, created=time.time(), subnet=str(four), gateway=gateway,
            subnet6=subnet6, gateway6=gateway6, internal=spec.internal, labels=spec.labels,
            mtu=mtu, interface=bridge.bridge_name(self._instance, network_id),
            table=f"boxy_{self._instance}", chosen=not spec.subnet,
        )  # fmt: skip

    def _subnets(self, but: Live | None = None) -> list[AnyNetwork]:
        texts = [
            text
            for live in self
            if live is not but
            for text in (live.network.subnet, live.network.subnet6)
            if text
        ]
        return [ipaddress.ip_network(text) for text in texts]

    def _check_free(self, subnet: AnyNetwork, host: list[AnyNetwork]) -> None:
        for live in self:
            for text in (live.network.subnet, live.network.subnet6):
                if text and addresses.overlap(subnet, [ipaddress.ip_network(text)]):
                    raise Conflict(
                        f"the subnet {subnet} overlaps network {live.network.name} ({text})",
                        hint="choose another, or leave the choice to Boxy",
                    )
        if (clash := addresses.overlap(subnet, host)) is not None:
            raise Conflict(
                f"the subnet {subnet} overlaps {clash}, which this host reaches already",
                hint="choose another, or leave the choice to Boxy",
            )


def _gateway(text: str, subnet: AnyNetwork) -> str:
    if not text:
        return str(addresses.first_host(subnet))
    return str(addresses.parse_address(text, subnet, "the gateway"))


def check(spec: NetworkSpec) -> None:
    """Raises InvalidRequest naming the field that is wrong."""
    check_name(spec.name)
    if spec.driver != "bridge":
        raise InvalidRequest(
            f"there is no network driver {spec.driver[:40]!r}", hint="bridge is the one there is"
        )
    for field, version in (("subnet", 4), ("subnet6", 6)):
        text = getattr(spec, field)
        if text and addresses.parse_subnet(text).version != version:
            raise InvalidRequest(
                f"{field} cannot be {text}: it is one of IPv{10 - version}",
                hint="as in 10.20.0.0/24 and 10.20.0.1, or fd00:20::/64 and fd00:20::1",
            )
    if (spec.gateway and not spec.subnet) or (spec.gateway6 and not spec.subnet6):
        raise InvalidRequest("a gateway needs a subnet", hint="give --subnet, too")
    for label in spec.labels:
        if not _LABEL.fullmatch(label):
            raise InvalidRequest(
                f"labels cannot be {label[:40]!r}",
                hint="a label's name is printable ASCII without blanks or =",
            )
    if spec.mtu and not _MTU_LEAST <= spec.mtu <= _MTU_MOST:
        raise InvalidRequest(f"mtu cannot be {spec.mtu}", hint=f"{_MTU_LEAST} to {_MTU_MOST}")


def check_name(name: str) -> None:
    """Raises InvalidRequest for what no network may be called."""
    if not _NAME.fullmatch(name) or name in WORDS:
        raise InvalidRequest(
            f"a network cannot be called {name[:80]!r}",
            hint="letters, digits, '_', '.' and '-', up to 63, and none of " + ", ".join(WORDS),
        )
