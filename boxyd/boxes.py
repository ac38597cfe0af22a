"""The boxes of one daemon: made, renamed, limited.

Constraint: a box exists from the moment that its folder is on the disk until that folder is
renamed away.  What lies between is a matter of boxes_life.py.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec

from boxy_core.errors import Conflict, InvalidRequest
from boxy_core.models import Box, BoxSpec, Image, Limits, convert
from boxy_core.models_network import Endpoint
from boxy_core.paths import SHORT_ID
from boxyd import plan_devices
from boxyd.boxes_check import check_spec, command_line
from boxyd.boxes_mounts import Mounts
from boxyd.boxes_rules import image_of
from boxyd.boxes_share import settled
from boxyd.boxes_shelf import Record, Shelf
from boxyd.cgroup.interface import Driver
from boxyd.disk import Disk
from boxyd.images import Images
from boxyd.isolation import MINIMUM_DISK, weakened, wrong
from boxyd.names import check_name
from boxyd.ports import Launches, Networks
from boxyd.state import State

DISK_AFTER = 0.006
"""seconds until a new box that is started at once is brought to the disk: by then the launch has
been sent, and the loop, which the thread would hold up, waits for the shim"""

log = logging.getLogger("boxyd.boxes")


class Boxes:
    """Makes boxes and changes what is written on them."""

    def __init__(
        self,
        shelf: Shelf,
        state: State,
        images: Images,
        launches: Launches,
        cgroups: Driver,
        networks: Networks,
        disk: Disk,
        mounts: Mounts,
    ) -> None:
        self._shelf = shelf
        self._disk = disk
        self._state = state
        self._images = images
        self._launches = launches
        self._cgroups = cgroups
        self._networks = networks
        self._mounts = mounts

    async def create(
        self, spec: BoxSpec, then: Callable[[Record], Awaitable[Box]] | None = None
    ) -> Box:
        """A new box, with its folder on the disk; its image is unpacked first if need be.

        `then` (its start) is done meanwhile: a disk takes a millisecond or ten to say that it
        has something, and the answer waits for both.

        Raises InvalidRequest, NotFound (no such image), ImageError, Conflict (the name is
        taken), Unsupported (a limit that this host cannot keep).
        """
        check_spec(spec)
        notices = self._check_host(spec)
        with self._shelf.reserve(spec.name) as name:
            image = await self._images.ready(spec.image)
            mounted = await self._mounts.images(spec)
            spec, endpoints, more = await self._networks.settled(spec)
            profile, spec = _profile_of(spec)
            spec, made = self._mounts.settle(spec, image, mounted)
            made_id = self.new_id()
            box = self._new_box(spec, name, image, [*notices, *more], endpoints, claim=made_id)
            record = Record(box, image)
            self._shelf.add(record)  # from here on its id range is taken
            try:
                self._state.make(box, image, profile)
                if then is None:
                    await self._state.bring_to_disk(box)
            except BaseException:
                self._shelf.drop(record)
                self._launches.free_id_base(box.id_base, box.id)
                self._mounts.undo(made)
                raise
            self._shelf.tell(record, "box.created", image=box.image)
        if then is None:
            return box
        saved = asyncio.create_task(self._state.bring_to_disk(box, DISK_AFTER))
        try:
            return await then(record)
        finally:
            await asyncio.wait([saved])
            if error := saved.exception():
                log.error("box.json cannot be brought to the disk: %s", error)

    async def clone(self, record: Record, name: str | None, layer: str, box_id: str) -> Box:
        """A box like another, with the folder `layer`, which moves there, as its own layer.

        An address of its own stays the other's.  Raises as `create`.
        """
        image = image_of(record)
        wanted = msgspec.structs.replace(
            record.box.spec, name=name, ip="", ip6="", mac_address="", seccomp_profile=None
        )
        if name is not None:
            check_name(name)
        with self._shelf.reserve(name) as given:
            spec, endpoints, more = await self._networks.settled(wanted)
            box = self._new_box(spec, given, image, more, endpoints, claim=box_id)
            fresh = Record(box, image)
            self._shelf.add(fresh)
            try:
                self._state.make(box, image, self._state.profile_of(record.box))
                self._state.take_layer(box, layer)
                await self._state.bring_to_disk(box)
            except BaseException:
                self._shelf.drop(fresh)
                self._launches.free_id_base(box.id_base, box.id)
                raise
            self._shelf.tell(fresh, "box.created", image=box.image)
        return box

    async def preview(self, spec: BoxSpec, image: Image) -> Box:
        """The box that `create` would make, which is not made."""
        check_spec(spec)
        notices = self._check_host(spec)
        spec, endpoints, more = await self._networks.settled(spec)
        return self._new_box(spec, spec.name or "example", image, [*notices, *more], endpoints)

    def _check_host(self, spec: BoxSpec) -> list[str]:
        """Refuse what this host has no means for; notices of what it lacks."""
        plan_devices.rules(spec, mapped=True)
        self._check_disk(spec.limits)
        return self._cgroups.check(spec.limits)

    def _check_disk(self, limits: Limits) -> None:
        if limits.disk is None:
            return
        if limits.disk < MINIMUM_DISK:
            raise wrong("limits.disk", limits.disk, f"{MINIMUM_DISK} bytes or more")
        self._disk.require()

    async def rename(self, record: Record, name: str) -> Box:
        """Give the box another name.  Raises InvalidRequest, Conflict naming the holder."""
        check_name(name)
        async with record.lock:
            old = record.box.name
            if name == old:
                raise Conflict(f"box {old} already bears that name", hint="choose another name")
            with self._shelf.reserve(name):
                box = self._shelf.change(
                    record, "box.renamed", strict=True, data={"old_name": old}, name=name
                )
                self._shelf.renamed(record, old)
                self._networks.renamed(box)
            await self._state.save_durably(box)
        return box

    async def update(self, record: Record, changes: dict[str, object]) -> Box:
        """Replace the limits that are named in `changes`, at once if the box lives.

        null takes a limit away.  Raises InvalidRequest, Unsupported, Conflict (the box uses
        more memory than it is to have).
        """
        async with record.lock:
            spec = record.box.spec
            limits = _merged(spec.limits, changes)
            self._check_disk(limits)
            notices = self._cgroups.check(limits)
            if record.group is not None:
                notices += record.group.set(limits)
            if limits.disk != spec.limits.disk:
                self._disk.limit(record.box, limits.disk)
            spec = msgspec.structs.replace(spec, limits=limits)
            merged = list(dict.fromkeys([*record.box.notices, *notices]))
            data: dict[str, object] = {"limits": sorted(changes)}
            box = self._shelf.change(record, "box.updated", data=data, spec=spec, notices=merged)
            await self._state.save_durably(box)
        return box

    def _new_box(
        self,
        spec: BoxSpec,
        name: str,
        image: Image,
        notices: list[str],
        endpoints: list[Endpoint],
        *,
        claim: str = "",
    ) -> Box:
        """`claim` is the id of a box that is really to be, whose range of ids is taken."""
        spec, other = settled(self._shelf, spec)
        taken = [record.box.id_base for record in self._shelf if record.box.id_base]
        box_id = claim or self.new_id()
        base = (
            other.box.id_base
            if other is not None
            else self._launches.new_id_base(spec.userns, taken, claim)
        )
        return Box(
            id=box_id,
            name=name,
            image=image.name,
            image_id=image.id,
            spec=spec,
            args=command_line(spec, image),
            created=time.time(),
            id_base=base,
            layers=image.layers,
            networks=endpoints,
            notices=notices,
            weakened=weakened(spec),
        )

    def new_id(self) -> str:
        """An id that no box has."""
        while True:
            box_id = secrets.token_hex(32)
            # all digits would be taken for a number by YAML, a shell, a host name's reader
            if not box_id[:SHORT_ID].isdecimal() and not self._shelf.has_prefix(box_id):
                return box_id


def _profile_of(spec: BoxSpec) -> tuple[bytes, BoxSpec]:
    """A seccomp profile that was given as the bytes of its file, and the spec without it."""
    if spec.seccomp_profile is None:
        return b"", spec
    profile = msgspec.json.encode(spec.seccomp_profile)
    return profile, msgspec.structs.replace(spec, seccomp="custom", seccomp_profile=None)


def _merged(limits: Limits, changes: dict[str, object]) -> Limits:
    """The limits with some replaced; through the model, so that types are checked as strictly."""
    if not changes:
        raise InvalidRequest("no limit was given", hint="as in: boxy update --memory 512m NAME")
    given = {
        field: value if value is not None else default
        for field, value in changes.items()
        for default in [_DEFAULTS.get(field)]
    }
    return convert(Limits, {**msgspec.to_builtins(limits), **given})


_DEFAULTS: dict[str, object] = msgspec.to_builtins(Limits())
