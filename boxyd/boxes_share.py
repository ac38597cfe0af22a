"""Boxes that share another's namespaces: whom a wish names, and whether he is there to share.

Constraint: names change hands, ids do not: a wish is settled to an id when the box is made.
"""

from __future__ import annotations

import msgspec

from boxy_core.errors import Conflict, NotFound
from boxy_core.models import Box, BoxSpec
from boxyd import isolation
from boxyd.boxes_shelf import Record, Shelf
from boxyd.ports import Joined
from boxyd.runtime.notes import start_time


def settled(shelf: Shelf, spec: BoxSpec) -> tuple[BoxSpec, Record | None]:
    """The spec with ids for names, and the box whose namespaces are to be shared.

    Raises NotFound, Conflict (an ambiguous id), InvalidRequest.
    """
    ref = isolation.joined(spec)
    if not ref:
        return spec, None
    other = shelf.find(ref)
    named = {
        field: isolation.OTHER + other.box.id
        for field in isolation.SHARED
        if getattr(spec, field).startswith(isolation.OTHER)
    }
    return msgspec.structs.replace(spec, **named), other


def joined(shelf: Shelf, box: Box) -> tuple[Record, Joined] | None:
    """The box whose namespaces this one shares, with its main process.

    None if it shares with no box.  Raises Conflict unless the other one lives.
    """
    ref = isolation.joined(box.spec)
    if not ref:
        return None
    try:
        other = shelf.find(ref)
    except NotFound:
        raise Conflict(
            f"box {box.name} shares the namespaces of box {ref[:12]}, which is removed",
            hint=f"make it anew: boxy rm {box.name}",
        ) from None
    try:
        if other.alive and other.box.pid:
            return other, Joined(other.box.pid, start_time(other.box.pid))
    except OSError:
        pass
    raise Conflict(
        f"box {box.name} shares the namespaces of box {other.box.name}, which is not running",
        hint=f"start that one first: boxy start {other.box.name}",
    )
