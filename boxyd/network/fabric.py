"""Brings networks up and down: bridge, rules, names, forwarding.

Constraint: what stands on the host follows from who lives on which network, and from nothing
else.  A bridge comes with the first box and goes a moment after the last, and with the last
bridge go our table and, if it was we who switched it on, forwarding.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable

import msgspec

from boxy_core.errors import BoxyError, Conflict, Unsupported
from boxy_core.models_network import Network, Published
from boxy_core.paths import Paths
from boxyd.errands import Errands
from boxyd.network import bridge, conntrack, obstacles
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
        self.firewall = Firewall(f"boxy_{instance}", self.worker, on_restored, self._others_changed)
        self.resolvers = Resolvers()
        self.ports: dict[str, list[Published]] = {}
        """what is published, by the box's id"""
        self._open: set[Published] | None = None
        """the ports that the rules are about; None: whatever an earlier daemon left"""
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
                await self._look_for_obstacles(live)
                await self._start_dns(live)
            except BaseException:
                live.up = False
                await self.worker.run(bridge.remove, [network.interface])
                raise
        log.info("network %s is up: %s, %s", network.name, network.interface, network.subnet)

    async def refresh(self) -> None:
        """Have the rules for what is up and published now.  Raises Unsupported."""
        wanted = self._wanted()
        await self.firewall.apply(wanted)
        before, self._open = self._open, set(wanted.ports)
        changed = [] if before is None else before ^ self._open
        if udp := [port for port in changed if port.protocol == "udp"]:
            await self.worker.run(_forget_flows, udp)

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
        others = obstacles.guarded(self.firewall)
        if bridge.enable_forwarding(six=six) or others:
            self._mark(self._marker, "boxyd switched net.ipv4.ip_forward on")

    def _mark(self, path: str, text: str) -> None:
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write(text + "\n")

    def _restore_forwarding(self) -> None:
        """As it was before us, unless somebody else has come to rely on it meanwhile."""
        if not os.path.exists(self._marker):
            return
        with contextlib.suppress(OSError, BoxyError):
            if not obstacles.chains(self.firewall):
                bridge.write("ipv4/ip_forward", "0")
            os.unlink(self._marker)

    # ------------------------------------------------------------------ what is in the way

    async def _look_for_obstacles(self, live: Live) -> None:
        found = await self.worker.run(obstacles.sentences, self.firewall, live.network)
        for sentence in found:
            if sentence not in live.obstacles:
                log.warning("%s", sentence)
        live.obstacles = found

    def _others_changed(self) -> None:
        """Another program has changed rules: it may have begun to drop, or to let pass."""
        self.errands.send(self._look_again())

    async def _look_again(self) -> None:
        for live in self._networks():
            if live.up:
                await self._look_for_obstacles(live)

    # ------------------------------------------------------------------ names

    async def _start_dns(self, live: Live) -> None:
        responder = Responder(live.knows(), self._upstreams(live))
        try:
            live.dns_port = await responder.start(live.network.gateway)
        except OSError:
            who = await asyncio.to_thread(who_has_dns, live.network.gateway)
            live.nameless = (
                f"network {live.network.name} has no DNS of its own, port 53 of "
                f"{live.network.gateway} is taken: {who}; boxes find each other by /etc/hosts only"
            )
            log.warning("%s", live.nameless)
            return
        live.nameless = ""
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


def who_has_dns(address: str) -> str:
    """Who has port 53 there, in words."""
    found = (holder(53, protocol, address) for protocol in ("udp", "tcp"))
    return next((who for who in found if "pid" in who), "another program has it")


def _forget_flows(ports: list[Published]) -> None:
    try:
        conntrack.forget(ports)
    except OSError as error:
        log.warning(
            "UDP clients may go on by ports that were closed (%s); try: "
            "modprobe nf_conntrack_netlink", error.strerror,
        )  # fmt: skip


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
