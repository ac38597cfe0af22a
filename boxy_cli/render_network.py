"""The table of networks.  Pure."""

from __future__ import annotations

from boxy_cli.render import Column, table
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def networks(found: Sequence[Mapping[str, Any]], *, width: int) -> str:
    """The table of `boxy network ls`."""
    columns = (
        Column("ID", optional=True), Column("NAME", flexible=True), Column("SUBNET"),
        Column("GATEWAY", optional=True), Column("BOXES", right=True), Column("STATE"),
    )  # fmt: skip
    rows = [
        (
            network["id"],
            escape(network["name"]),
            ", ".join(filter(None, (network.get("subnet"), network.get("subnet6")))),
            network.get("gateway") or "-",
            str(len(network.get("boxes") or [])),
            _state(network),
        )
        for network in found
    ]
    return table(columns, rows, width=width)


def _state(network: Mapping[str, Any]) -> str:
    words = ["up" if network.get("up") else "idle"]
    if network.get("internal"):
        words.append("internal")
    return ", ".join(words)
