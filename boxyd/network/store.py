"""Networks on disk: one JSON file each, in `networks/` of the daemon's root folder.

Constraint: as for boxes: written to a temporary name, fsynced, renamed; readable with `cat`.
"""

from __future__ import annotations

import contextlib
import logging
import os

import msgspec

from boxy_core.models_network import Network
from boxy_core.paths import Paths
from boxyd.state import sync, write_atomic

log = logging.getLogger("boxyd.network")


class NetworkStore:
    """The files of one daemon's networks."""

    def __init__(self, paths: Paths) -> None:
        self._folder = paths.root + "/networks"

    def load(self) -> list[Network]:
        """Every network; a file that cannot be read is left as it is, and told in the log."""
        found = []
        try:
            names = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        for name in names:
            if not name.endswith(".json"):
                continue
            try:
                with open(f"{self._folder}/{name}", "rb") as file:
                    found.append(msgspec.json.decode(file.read(), type=Network))
            except (OSError, msgspec.DecodeError) as error:
                log.error("the network file %s/%s cannot be read: %s", self._folder, name, error)
        return found

    def save(self, network: Network) -> None:
        """Write it, durably.  Raises OSError."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        plain = msgspec.structs.replace(network, up=False, dns="", boxes=[], notices=[])
        data = msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"
        write_atomic(self._path(network), data, durable=True)

    def remove(self, network: Network) -> None:
        """The file is gone, durably."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(network))
        sync(self._folder)

    def _path(self, network: Network) -> str:
        return f"{self._folder}/{network.id}.json"
