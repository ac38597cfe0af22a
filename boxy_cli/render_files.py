"""Tables about files: volumes, snapshots, what a box changed.  Pure."""

from __future__ import annotations

from boxy_cli.render import Column, table
from boxy_core.text import escape
from boxy_core.units import format_age, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def volumes(found: Sequence[Mapping[str, Any]], now: float, *, width: int) -> str:
    """The table of `boxy volume ls`."""
    rows = [
        (
            escape(volume["name"]),
            "anonymous" if volume.get("anonymous") else "named",
            _size(volume.get("size")),
            _ago(now, volume.get("created", now)),
            escape(", ".join(volume.get("boxes") or ())) or "-",
        )
        for volume in found
    ]
    columns = (
        Column("VOLUME", flexible=True), Column("KIND", optional=True),
        Column("SIZE", right=True), Column("CREATED"), Column("BOXES", flexible=True),
    )  # fmt: skip
    return table(columns, rows, width=width)


def snapshots(found: Sequence[Mapping[str, Any]], now: float, *, width: int) -> str:
    """The table of `boxy snapshot ls`."""
    columns = (
        Column("SNAPSHOT", flexible=True), Column("CREATED"), Column("FILES", right=True),
        Column("SIZE", right=True), Column("SHARES ROOM", optional=True),
    )  # fmt: skip
    rows = [
        (
            escape(snapshot["name"]), _ago(now, snapshot["created"]), str(snapshot["entries"]),
            format_size(snapshot["size"]), "yes" if snapshot["shared"] else "no",
        )
        for snapshot in found
    ]  # fmt: skip
    return table(columns, rows, width=width)


def _ago(now: float, then: float) -> str:
    age = format_age(max(0.0, now - then))
    return f"{age[:1].lower()}{age[1:]} ago"


def _size(size: int | None) -> str:
    return "-" if size is None else format_size(size)
