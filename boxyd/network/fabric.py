"""Brings networks up and down: bridge, rules, names, forwarding.

Constraint: what stands on the host follows from who lives on which network, and from nothing
else.  A bridge comes with the first box and goes a moment after the last, and with the last
bridge go our table and, if it was we who switched it on, forwarding.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable

import msgspec

from boxy_core.errors import BoxyError, Conflict, Unsupported
from boxy_core.models_network import Network, Published
from boxy_core.paths import Paths
from boxyd.errands import Errands
from boxyd.network import bridge
from boxyd.network.dns import Resolvers, Responder
from boxyd.network.firewall import Firewall
from boxyd.network.hosts import HostsFiles
from boxyd.network.live import Live
from boxyd.network.ports import holder
from boxyd.network.rules import Wanted
from boxyd.network.worker import Worker

LINGER = 2.0
"""seconds that a bridge stays when its last box is gone: often the next one comes at once"""

log = logging.getLogger("boxyd.network")


class Fabric:
    """The host's side of one daemon's networks.  `networks()` gives those that there are."""

    def __init__(
        self,
        paths: Paths,
        instance: str,
        networks: Callable[[], Iterable[Live]],
        dns_of: Callable[[str], list[str]],
        on_restored: Callable[[], None],
    ) -> None:
        self._paths = paths
        self.instance = instance
        self._networks = networks
        self._dns_of = dns_of
        self.worker = Worker()
        self.firewall = Firewall(f"boxy_{instance}", self.worker, on_restored)
        self.resolvers = Resolvers()
        self.ports: dict[str, list[Published]] = {}
        """what is published, by the box's id"""
        self._marker = paths.run + "/forwarding"
        """stands while forwarding is on because of us"""
        self._traces = paths.run + "/networks"
        """stands while there is anything of ours on the host"""
        self.errands = Errands(log)
        self.hosts = HostsFiles(paths, networks, self.errands)

    # ------------------------------------------------------------------ up and down

    async def bring_up(self, live: Live) -> None:
        """Have the network's bridge, its names and its rules.  Raises Unsupported, Conflict."""
        async with live.lock:
            if live.leaving is not None:
                live.leaving.cancel()
                live.leaving = None
            if live.up:
                return
            network = live.network
            self._mark(self._traces, "boxyd has networks up")
            await self.worker.run(bridge.ensure, network)
            try:
                await self.worker.run(self._enable_forwarding, bool(network.subnet6))
                live.up = True
                await self.refresh()
                live.notices = await self.worker.run(self._obstacles, network)
                await self._start_dns(live)
            except BaseException:
                live.up = False
                await self.worker.run(bridge.remove, [network.interface])
                raise
        log.info("network %s is up: %s, %s", network.name, network.interface, network.subnet)

    async def refresh(self) -> None:
        """Have the rules for what is up and published now.  Raises Unsupported."""
        await self.firewall.apply(self._wanted())

    def _wanted(self) -> Wanted:
        nets = tuple(live.net() for live in self._networks() if live.up)
        ports = tuple(port for ports in self.ports.values() for port in ports)
        return Wanted(nets, ports if nets else (), bool(nets) and os.path.exists(self._marker))

    def left(self, live: Live) -> None:
        """A box has left; if it was the last, the bridge goes unless another one comes."""
        if live.up and not live.holders and live.leaving is None:
            loop = asyncio.get_running_loop()
            live.leaving = loop.call_later(LINGER, lambda: self.errands.send(self._take_down(live)))

    async def _take_down(self, live: Live) -> None:
        async with live.lock:
            live.leaving = None
            if not live.up or live.holders:
                return
            live.up = False
            self._stop_dns(live)
            await self.refresh()
            await self.worker.run(bridge.remove, [live.network.interface])
            await self._all_down()
        log.info("network %s is down: nobody is on it", live.network.name)

    async def _all_down(self) -> None:
        """If no network is up any more: what belongs to none of them goes, too."""
        if not any(live.up for live in self._networks()):
            await self.worker.run(self._restore_forwarding)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._traces)

    async def down_now(self, live: Live) -> None:
        """Take the bridge away at once, if nobody is on it."""
        if live.leaving is not None:
            live.leaving.cancel()
            live.leaving = None
        await self._take_down(live)

    async def clear_leftovers(self, keep: set[str]) -> None:
        """Remove what a killed daemon left, but not the interfaces in `keep`."""
        found = await self.worker.run(bridge.of_ours, self.instance)
        stray = found - keep
        if not stray and not self._has_traces():
            return
        if stray:
            log.info(
                "removing interfaces that an earlier daemon left: %s", ", ".join(sorted(stray))
            )
            await self.worker.run(bridge.remove, sorted(stray))
        await self.firewall.apply(self._wanted())
        await self._all_down()

    def _has_traces(self) -> bool:
        return os.path.exists(self._traces)

    # ------------------------------------------------------------------ forwarding

    def _enable_forwarding(self, six: bool) -> None:
        if bridge.enable_forwarding(six=six):
            self._mark(self._marker, "boxyd switched net.ipv4.ip_forward on")

    def _mark(self, path: str, text: str) -> None:
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write(text + "\n")

    def _restore_forwarding(self) -> None:
        """As it was before us, unless somebody else has come to rely on it meanwhile."""
        if not os.path.exists(self._marker):
            return
        with contextlib.suppress(OSError, BoxyError):
            if not _forward_chains(self.firewall.chains(), self.firewall.name):
                bridge.write("ipv4/ip_forward", "0")
            os.unlink(self._marker)

    def _obstacles(self, network: Network) -> list[str]:
        """Other programs' rules that drop what is forwarded, with what lets ours pass."""
        found = []
        for family, table, chain in _dropping(self.firewall.chains(), self.firewall.name):
            rule = f"nft insert rule {family} {table} {chain} {{}} {network.interface} accept"
            found.append(
                f"the host's own rules ({family} {table} {chain}, policy drop) may keep network "
                f"{network.name} from the world; `{rule.format('iifname')}` and "
                f"`{rule.format('oifname')}` let it pass"
            )
        if _legacy_drops():
            found.append(
                "the host's own iptables drop what is forwarded (policy DROP): "
                f"`iptables-legacy -I FORWARD -i {network.interface} -j ACCEPT` and the same with "
                f"-o let network {network.name} pass"
            )
        for notice in found:
            log.warning("%s", notice)
        return found

    # ------------------------------------------------------------------ names

    async def _start_dns(self, live: Live) -> None:
        responder = Responder(live.knows(), self._upstreams(live))
        try:
            live.dns_port = await responder.start(live.network.gateway)
        except OSError:
            who = await asyncio.to_thread(holder, 53, "udp", live.network.gateway)
            live.notices.append(
                f"network {live.network.name} has no DNS of its own, port 53 is taken ({who}): "
                "boxes find each other by /etc/hosts only"
            )
            log.warning("%s", live.notices[-1])
            return
        live.responder = responder

    def _stop_dns(self, live: Live) -> None:
        if live.responder is not None:
            live.responder.close()
            live.responder = None
            live.dns_port = 0

    def _upstreams(self, live: Live) -> Callable[[str], list[str]]:
        def servers(source: str) -> list[str]:
            own = self._dns_of(live.member_at(source))
            if own:
                return own
            return [] if live.network.internal else self.resolvers.refresh().servers

        return servers

    # ------------------------------------------------------------------ the end

    async def close(self) -> None:
        """Let go: networks with boxes stay as they are, the others go."""
        self.hosts.flush()
        for live in self._networks():
            self._stop_dns(live)
            if live.up and not live.holders:
                with contextlib.suppress(BoxyError, OSError):
                    await self.down_now(live)
        await self.errands.wait(5.0)
        self.firewall.close()
        await asyncio.to_thread(self.worker.close)


def _forward_chains(listing: str, own: str) -> list[dict[str, str]]:
    """Base chains at the hook `forward` that are not ours."""
    found = []
    for item in json.loads(listing or "{}").get("nftables", []):
        chain = item.get("chain", {})
        if chain.get("hook") == "forward" and chain.get("table") != own:
            found.append(chain)
    return found


def _dropping(listing: str, own: str) -> list[tuple[str, str, str]]:
    return [
        (chain["family"], chain["table"], chain["name"])
        for chain in _forward_chains(listing, own)
        if chain.get("policy") == "drop" and chain["family"] in ("ip", "inet", "ip6")
    ]


def _legacy_drops() -> bool:
    """Whether the older iptables, which nft does not show, drop what is forwarded."""
    try:
        with open("/proc/net/ip_tables_names", encoding="ascii") as file:
            if "filter" not in file.read().split():
                return False
    except OSError:
        return False
    program = shutil.which("iptables-legacy")
    if program is None:
        return False
    done = subprocess.run(
        [program, "-w", "-S", "FORWARD"], capture_output=True, text=True, timeout=5, check=False
    )
    return "-P FORWARD DROP" in done.stdout


def with_subnet(network: Network, subnet: str, gateway: str) -> Network:
    """The network with another subnet that was chosen for it."""
    return msgspec.structs.replace(network, subnet=subnet, gateway=gateway)


def unsupported(problem: str) -> Unsupported:
    """What is said where networks cannot be."""
    return Unsupported(
        f"this machine cannot connect boxes: {problem}",
        hint="--network none and --network host work without",
    )


def in_use(network: Network, boxes: Iterable[str]) -> Conflict:
    """A network that cannot go yet."""
    names = sorted(boxes)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Conflict(
        f"network {network.name} is in use by {', '.join(names[:3])}{more}",
        hint=f"boxy network disconnect {network.name} {names[0]}, or remove the box",
    )
