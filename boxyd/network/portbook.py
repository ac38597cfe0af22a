"""Which ports of which boxes are published, and taking those of the host for them.

Constraint: what is taken here is a socket and an entry; that packets go there is `Fabric`'s.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_core.models import Box
from boxy_core.models_network import Endpoint, Port, Published
from boxyd.boxes_shelf import Record, Shelf
from boxyd.network import ports
from boxyd.network.fabric import Fabric


class PortBook:
    """The published ports of one daemon's boxes."""

    def __init__(self, shelf: Shelf, fabric: Fabric, address: str) -> None:
        self._shelf = shelf
        self._fabric = fabric
        self.default = address
        """the host's address where none is asked for"""

    def address(self, port: Port) -> str:
        """The host's address that a port is asked for at."""
        return port.address or self.default

    def open(
        self, record: Record, wanted: Iterable[Port], endpoints: list[Endpoint]
    ) -> tuple[list[Published], dict[str, socket.socket]]:
        """Take ports of the host: as they will be published, and the sockets that hold them."""
        published: list[Published] = []
        held: dict[str, socket.socket] = {}
        with contextlib.ExitStack() as undo:
            for port in wanted:
                address = self.address(port)
                to = _target(endpoints, ":" in address)
                others = [*self._all_published(), *((record.box.name, one) for one in published)]
                sock = ports.hold(port, address, others)
                undo.callback(sock.close)
                one = Published(
                    box=port.box, host=sock.getsockname()[1], address=address,
                    protocol=port.protocol, to=to,
                )  # fmt: skip
                published.append(one)
                held[held_name(one)] = sock
            undo.pop_all()
        return published, held

    def open_for_start(
        self, record: Record, wanted: Iterable[Port], endpoints: list[Endpoint]
    ) -> tuple[list[Published], dict[str, socket.socket]]:
        """As `open`, for a box that does not run: a Conflict says that it stays, if it does."""
        try:
            return self.open(record, wanted, endpoints)
        except Conflict as error:
            name = record.box.name
            if not record.box.spec.auto_remove:
                error.hint += (
                    f"; box {name} was made and stays: boxy start {name} once the port is free, "
                    f"or boxy rm {name}"
                )
            raise

    def _all_published(self) -> list[tuple[str, Published]]:
        return [
            (self._name_of(box_id), port)
            for box_id, found in self._fabric.ports.items()
            for port in found
        ]

    def _name_of(self, box_id: str) -> str:
        try:
            return self._shelf.find(box_id).box.name
        except NotFound:
            return box_id[:12]


def _target(endpoints: list[Endpoint], six: bool) -> str:
    """The address of the box that ports of that family lead to.  Raises InvalidRequest."""
    for endpoint in endpoints:
        text = endpoint.address6 if six else endpoint.address
        if text and (endpoint.gateway or endpoint.gateway6):
            return text.partition("/")[0]
    for endpoint in endpoints:  # internal networks: reachable from the host at least
        if text := endpoint.address6 if six else endpoint.address:
            return text.partition("/")[0]
    raise InvalidRequest(
        f"the box has no address of IPv{6 if six else 4} that a port could lead to",
        hint="make a network that has: boxy network create --ipv6 NAME",
    )


def held_name(port: Published) -> str:
    """How a shim knows the socket that holds a port."""
    return f"{port.protocol}/{port.address}/{port.host}"


def shown(port: Published) -> str:
    """As people read it: 127.0.0.1:8080->80/tcp."""
    address = f"[{port.address}]" if ":" in port.address else port.address
    return f"{address}:{port.host}->{port.box}/{port.protocol}"


def meant(port: Published, ref: Port) -> bool:
    """Whether `ref` (host port, perhaps with address and box's port) means this port."""
    return (
        port.protocol == ref.protocol
        and ref.host in (0, port.host)
        and ref.box in (0, port.box)
        and ref.address in ("", port.address)
    )


def without(box: Box, remove: list[Port], default: str) -> list[Port]:
    """The ports asked for, less those to remove.  Raises NotFound, InvalidRequest."""
    kept = list(box.spec.ports)
    for ref in remove:
        if not ref.host and not ref.box:
            raise InvalidRequest("which port is to be closed?", hint="as in --publish-rm 8080")
        open_now = [one for one in box.ports if meant(one, ref)]
        same = [port for port in kept if _asked(port, ref, default)]
        same += [
            port for port in kept
            if port not in same and not port.host
            and any((o.box, o.protocol) == (port.box, port.protocol) for o in open_now)
        ]  # fmt: skip
        if not same and not open_now:
            known = ", ".join(shown(one) for one in box.ports) or "none"
            raise NotFound(
                f"box {box.name} has no published port {ref.host or ref.box}/{ref.protocol}",
                hint=f"it has: {known}",
            )
        kept = [port for port in kept if port not in same]
    return kept


def _asked(port: Port, ref: Port, default: str) -> bool:
    return (
        port.protocol == ref.protocol
        and ref.host in (0, port.host)
        and ref.box in (0, port.box)
        and ref.address in ("", port.address or default)
    )
