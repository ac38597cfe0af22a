"""What an earlier daemon took for boxes that are there still: read, and held again.

Constraint: a daemon may be killed at any moment of a start.  What it had taken stands in the
box's plan before the box can be told that it is connected; and a port's socket may not have come
to the shim yet, so whether one is held is asked of the kernel, by trying to take the port.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

import msgspec

from boxy_core.errors import BoxyError
from boxy_core.models_network import Endpoint, Port, Published
from boxyd.network import ports
from boxyd.network.portbook import held_name

log = logging.getLogger("boxyd.network")


class Taken(msgspec.Struct, frozen=True):
    """What stands in a plan; see boxyd.plan_network.taken."""

    endpoints: list[Endpoint] = []
    ports: list[Published] = []


class _Plan(msgspec.Struct, frozen=True):
    network: Taken = Taken()


def planned(folder: str) -> Taken:
    """What the start took whose run folder this is; nothing where that cannot be read."""
    try:
        with open(f"{folder}/plan.json", "rb") as file:
            return msgspec.json.decode(file.read(), type=_Plan).network
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s/plan.json cannot be used: %s", folder, error)
        return Taken()


def unheld(published: Iterable[Published]) -> dict[str, socket.socket]:
    """Sockets for those ports that nobody holds, by the names that a shim knows them by."""
    held = {}
    for one in published:
        wanted = Port(box=one.box, host=one.host, address=one.address, protocol=one.protocol)
        try:
            held[held_name(one)] = ports.hold(wanted, one.address, ())
        except BoxyError:
            continue  # the box's shim has it, as it should be
    return held
