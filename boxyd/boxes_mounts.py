"""What a box's mounts need of the house: volumes made, images ready, sources found.

Constraint: `settle` is called when a box is made and never waits, so that between the choice of
a volume and the box's place on the shelf nobody can remove the volume.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import msgspec

from boxy_core.errors import BoxyError, ImageError, NotFound
from boxy_core.models import Box, BoxSpec, Image, Mount
from boxy_core.paths import Paths
from boxyd import sources
from boxyd.boxes_shelf import Shelf
from boxyd.disk import Disk
from boxyd.images import Images
from boxyd.volumes import Volumes


class Storage(NamedTuple):
    """What boxes have on disks: their own layers, and what is mounted in them."""

    disk: Disk
    mounts: Mounts


class Mounts:
    """Settles the mounts of boxes."""

    def __init__(self, paths: Paths, shelf: Shelf, images: Images, volumes: Volumes) -> None:
        self._paths = paths
        self._shelf = shelf
        self._images = images
        self._volumes = volumes

    async def images(self, spec: BoxSpec) -> dict[str, Image]:
        """The images that are to be mounted, unpacked.  Raises NotFound, ImageError."""
        names = {mount.source for mount in spec.mounts if mount.type == "image"}
        return {name: await self._images.ready(name) for name in names}

    def settle(
        self, spec: BoxSpec, image: Image, mounted: dict[str, Image]
    ) -> tuple[BoxSpec, list[str]]:
        """The spec with every mount decided: those of other boxes and of the image added,
        volumes made and named, sources found; and the volumes that were made, for `undo`.

        Raises InvalidRequest, NotFound (a box of `volumes_from`), OSError.
        """
        mounts = [*spec.mounts]
        for text in spec.volumes_from:
            mounts += self._taken_from(text, mounts)
        given = {os.path.normpath(mount.target) for mount in mounts}
        mounts += [
            Mount(type="volume", target=path)
            for path in image.volumes
            if os.path.normpath(path) not in given and path.startswith("/")
        ]
        made: list[str] = []
        try:
            settled = [self._settled(mount, mounted, made) for mount in mounts]
        except BaseException:
            self.undo(made)
            raise
        return msgspec.structs.replace(spec, mounts=settled), made

    def undo(self, made: list[str]) -> None:
        """Take new volumes away again; they are empty."""
        for name in made:
            with contextlib.suppress(BoxyError, OSError):
                self._volumes.undo(name)

    def _taken_from(self, text: str, given: list[Mount]) -> list[Mount]:
        ref, _, mode = text.partition(":")
        targets = {os.path.normpath(mount.target) for mount in given}
        return [
            msgspec.structs.replace(mount, read_only=mount.read_only or mode == "ro")
            for mount in self._shelf.find(ref).box.spec.mounts
            if mount.type in ("bind", "volume") and os.path.normpath(mount.target) not in targets
        ]

    def _settled(self, mount: Mount, mounted: dict[str, Image], made: list[str]) -> Mount:
        if mount.type == "bind":
            self._resolved(mount, create=mount.create)
        elif mount.type == "image":
            return msgspec.structs.replace(mount, layers=mounted[mount.source].layers)
        elif mount.type == "volume" and mount.source not in self._volumes:
            volume = self._volumes.create(mount.source, mount.labels)
            made.append(volume.name)
            return msgspec.structs.replace(mount, source=volume.name)
        return mount

    def _resolved(self, mount: Mount, *, create: bool = False) -> Mount:
        if mount.source == "/":
            return mount
        where = sources.resolve(mount.source, self._shared(), create=create)
        return msgspec.structs.replace(mount, source=where)

    def _shared(self) -> list[str]:
        """Folders of the host that some box can write."""
        return [
            self._paths.volumes,
            *(
                mount.source
                for record in self._shelf
                for mount in record.box.spec.mounts
                if mount.type == "bind" and not mount.read_only
            ),
        ]

    async def forget(self, box: Box) -> None:
        """The box is removed, and its anonymous volumes are to go with it."""
        await self._volumes.forget(box)

    def ready(self, box: Box) -> Box:
        """The box with its sources where they are now, for a start.

        Raises InvalidRequest for a source that is gone, NotFound for a volume, ImageError.
        """
        if not box.spec.mounts:
            return box
        mounts = [self._ready(mount) for mount in box.spec.mounts]
        spec = msgspec.structs.replace(box.spec, mounts=mounts)
        return msgspec.structs.replace(box, spec=spec)

    def _ready(self, mount: Mount) -> Mount:
        if mount.type == "bind":
            return self._resolved(mount, create=mount.create)
        if mount.type == "volume" and mount.source not in self._volumes:
            raise NotFound(
                f"the volume {mount.source} is gone",
                hint=f"make it anew: boxy volume create {mount.source}",
            )
        if mount.type == "image":
            for layer in mount.layers:
                if not os.path.isdir(layer):
                    raise ImageError(
                        f"a layer of the mounted image {mount.source} is gone: {layer}",
                        hint="pull the image again",
                    )
        return mount
