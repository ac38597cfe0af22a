"""What a box's state permits, and what its spec leaves to us.  Pure but for a look at the disk.

Constraint: every refusal says what the box is and which command to type next.
"""

from __future__ import annotations

import os
import signal

import msgspec

from boxy_core.errors import Conflict, ImageError, NotFound, Unsupported
from boxy_core.models import TRANSITIONS, Box, Image, Status
from boxyd.boxes_check import signal_number
from boxyd.boxes_shelf import Record
from boxyd.cgroup.interface import Cgroup
from boxyd.ports import Link, Stream

GRACE = 10.0
"""seconds between the stop signal and SIGKILL where nobody says otherwise"""


def grace_of(box: Box, asked: float | None) -> float:
    """Seconds between stop signal and SIGKILL: as asked, else as the box was made, else 10."""
    if asked is not None:
        return asked
    return GRACE if box.spec.stop_timeout is None else box.spec.stop_timeout


def stop_signal(record: Record) -> int:
    """The number of the signal that asks this box to end: its own, else its image's."""
    if record.box.spec.stop_signal is not None:
        return signal_number(record.box.spec.stop_signal)
    return signal_number(record.image.stop_signal) if record.image else int(signal.SIGTERM)


def image_of(record: Record) -> Image:
    """The image as the box was made from.  Raises ImageError if it cannot be used any more."""
    if record.image is None:
        raise ImageError(
            f"box {record.box.name} has lost the configuration of its image",
            hint=f"make it anew: boxy rm {record.box.name}, then boxy run {record.box.image}",
        )
    for layer in record.image.layers:
        if not os.path.isdir(layer):
            raise ImageError(
                f"a layer of box {record.box.name} is gone: {layer}",
                hint=f"make the box anew from the image {record.box.image}",
            )
    return record.image


def sized(box: Box, stream: Stream | None) -> Box:
    """The box with the size of the terminal that it is to be started in."""
    if stream is None or not stream.rows or not stream.cols:
        return box
    spec = msgspec.structs.replace(box.spec, rows=stream.rows, cols=stream.cols)
    return msgspec.structs.replace(box, spec=spec)


def removing(box: Box) -> Box:
    """The box on its way out.  Raises Conflict if its state forbids that."""
    if Status.REMOVING not in TRANSITIONS[box.status]:
        raise Conflict(f"box {box.name} is {box.status}", hint="try again in a moment")
    return msgspec.structs.replace(box, status=Status.REMOVING)


def require_startable(record: Record) -> None:
    """Raises Conflict, with the next step, if the box cannot be started."""
    box = record.box
    if record.removed.done():
        raise NotFound(f"box {box.name} is removed", hint="boxy ps -a lists those that are there")
    if Status.STARTING in TRANSITIONS[box.status]:
        return
    hint = f"look into it: boxy attach {box.name}"
    if box.status is Status.PAUSED:
        hint = f"let it go on: boxy unpause {box.name}"
    raise Conflict(f"box {box.name} is already {box.status}", hint=hint)


def require_alive(record: Record, verb: str) -> Link:
    """The link to a box that lives; Conflict if it does not.  `verb` is what was to be done."""
    box = record.box
    if not record.alive or record.link is None:
        raise Conflict(
            f"cannot {verb} box {box.name}, it is not running ({box.status})",
            hint=f"start it: boxy start {box.name}",
        )
    return record.link


def require_paused(record: Record) -> None:
    """Raises Conflict if the box is not paused."""
    box = record.box
    if box.status is not Status.PAUSED:
        raise Conflict(
            f"box {box.name} is not paused, it is {box.status}", hint="only a paused box can go on"
        )


def require_group(record: Record) -> Cgroup:
    """The cgroup of a box that lives; Unsupported if somebody took it away."""
    if record.group is None:
        raise Unsupported(
            f"box {record.box.name} has no cgroup any more",
            hint=f"somebody removed it; start the box anew: boxy restart {record.box.name}",
        )
    return record.group


def require_running(record: Record, verb: str) -> Link:
    """The link to a box that runs; Conflict if it is paused or ending."""
    link = require_alive(record, verb)
    box = record.box
    if box.status is Status.PAUSED:
        raise Conflict(
            f"cannot {verb} box {box.name}, it is paused",
            hint=f"let it go on: boxy unpause {box.name}",
        )
    if box.status is not Status.RUNNING:
        raise Conflict(
            f"cannot {verb} box {box.name}, it is {box.status}",
            hint=f"wait for its end: boxy wait {box.name}",
        )
    return link
