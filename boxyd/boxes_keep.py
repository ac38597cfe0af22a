"""What becomes of a box's files beyond the box: another box like it, an image."""

from __future__ import annotations

import asyncio
import os
import secrets

from boxy_core.errors import Unsupported
from boxy_core.image import commit as committing
from boxy_core.image.store import ImageStore
from boxy_core.models import Box, Image, Model
from boxy_core.paths import SHORT_ID, Paths
from boxyd.boxes import Boxes
from boxyd.boxes_files import Files
from boxyd.boxes_shelf import Record, Shelf
from boxyd.trees import remove_tree


class Commit(Model, frozen=True, kw_only=True):
    """What the image is to be."""

    name: str = ""
    """"": as the box"""
    message: str = ""
    author: str = ""
    changes: list[str] = []  # noqa: RUF012 - msgspec copies it
    """instructions as in a Dockerfile: "CMD [\\"httpd\\"]" """


class Keeper:
    """Clones and commits; `store` is where images go, None: there is none."""

    def __init__(self, paths: Paths, shelf: Shelf, boxes: Boxes, files: Files) -> None:
        self._paths = paths
        self._shelf = shelf
        self._boxes = boxes
        self._files = files
        self.store: ImageStore | None = None

    async def clone(self, record: Record, name: str | None) -> Box:
        """A new box like this one, with a copy of its files; it does not run yet."""
        box_id = self._boxes.new_id()
        async with self._files.copied(record, box_id) as (copy, told):
            box = await self._boxes.clone(record, name, copy, box_id)
        self._shelf.tell(record, "box.cloned", into=box.id, frozen=told["frozen"])
        return box

    async def commit(self, record: Record, wanted: Commit) -> Image:
        """A new image from the box's image and what the box changed.

        Raises InvalidRequest (a name, a change), ImageError.
        """
        store = self.store
        if store is None:
            raise Unsupported("there is no store of images here")
        name = wanted.name or record.box.name
        committing.check(name, wanted.changes)
        await asyncio.to_thread(os.makedirs, self._paths.images, 0o700, True)
        target = f"{self._paths.images}/.commit-{record.box.id[:SHORT_ID]}-{secrets.token_hex(6)}"
        try:
            async with self._files.packed(record, target) as told:
                tree = told["tree"] if told["whole"] else ""
                layer = committing.Layer(
                    target, told["diff_id"], told["digest"], told["size"], tree, told["raw"]
                )
                image = await asyncio.to_thread(
                    committing.commit, store, record.box, layer, name,
                    changes=wanted.changes, message=wanted.message, author=wanted.author,
                )  # fmt: skip
        finally:
            await asyncio.to_thread(remove_tree, target)
        self._shelf.tell(
            record, "box.committed", image=image.id, image_name=image.name, frozen=told["frozen"]
        )
        return image
