"""Images that bear a name of their own: pulled, loaded, tagged, committed.

    ROOT/images/names/QUOTED.json    a name, and the digest of the manifest that it means
    ROOT/images/blobs/               blobs.py: manifests, configurations, packed layers
    ROOT/layers/                     layers.py: the same layers, unpacked, shared by boxes

Constraint: a name is only a pointer, so tagging copies nothing, and what nobody points at can
go. A layer counts as unpacked only if *we* unpacked the very blob that the manifest names
(layers.py keeps that link): an image's own word about which layers it shares is not believed.
The packed layers are kept, so that pushing and saving give the same digests as were pulled.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from urllib.parse import quote, unquote

import msgspec

from boxy_core.errors import BoxyError, Conflict, ImageError, NotFound
from boxy_core.image import manifest as oci
from boxy_core.image.blobs import Blobs
from boxy_core.image.layers import Layers, write_whole
from boxy_core.image.reference import Reference, parse
from boxy_core.image.unpack import Progress
from boxy_core.models import Image

_SHORTEST_ID = 4
_HEX = frozenset("0123456789abcdef")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """ROOT/images/names/QUOTED.json."""

    name: str
    manifest: str
    """digest of the image's manifest"""
    digest: str = ""
    """what the registry calls it: of the index, if there was one"""
    created: float = 0.0
    """when the name was given, seconds since the epoch"""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest leads to; it can never change."""

    digest: str
    manifest: oci.Manifest
    config: oci.Config

    @property
    def id(self) -> str:
        """The image's id: the digest of its configuration, as everywhere."""
        return self.manifest.config.digest

    @property
    def blobs(self) -> list[str]:
        """Every blob that belongs to it."""
        packed = [layer.digest for layer in self.manifest.layers]
        return [self.digest, self.manifest.config.digest, *packed]


class Named:
    """The named images below one `images` folder."""

    def __init__(self, folder: str, layers: Layers) -> None:
        self._folder = folder + "/names"
        self._layers = layers
        self.blobs = Blobs(folder + "/blobs")
        self._contents: dict[str, Content] = {}

    # ------------------------------------------------------------------ asking

    def images(self) -> list[Image]:
        """Every named image; one whose files are damaged carries its `problem`."""
        return [self._told(entry) for entry in self.entries()]

    def find(self, text: str) -> Image | None:
        """The image that `text` names (also without `:latest`, or by the beginning of its id)."""
        entry = self.entry(text)
        return None if entry is None else self.image(entry)

    def entry(self, text: str) -> Entry | None:
        """The name that `text` means; raises Conflict for an id of several images."""
        for name in spellings(text):
            found = self._read(name)
            if found is not None:
                return found
        return self._by_id(text.removeprefix("sha256:"))

    def entries(self) -> list[Entry]:
        """Every name, sorted."""
        try:
            files = sorted(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        names = (unquote(file[:-5]) for file in files if file.endswith(".json"))
        return [entry for name in names if (entry := self._read(name)) is not None]

    def image(self, entry: Entry) -> Image:
        """The image behind a name, `ready` if all its layers are unpacked.

        Raises:
            ImageError: a part of it is gone or damaged, or it is for another machine.
        """
        content = self.content(entry.manifest, entry.name)
        problem = oci.foreign(content.config)
        trees = self._trees(content, entry.name)
        size = sum(self._layers.info(self._layers.name(tree)).size for tree in trees)
        ready = len(trees) == len(content.manifest.layers) and bool(trees)
        labels = content.config.settings.labels or {}
        return Image(
            name=entry.name,
            id=content.id,
            source=entry.name,
            layers=_stack(trees) if ready else [],
            size=size if ready else 0,
            created=entry.created,
            ready=ready,
            description=labels.get("org.opencontainers.image.title", ""),
            digest=entry.digest or entry.manifest,
            problem=problem,
            **oci.image_fields(content.config),
        )

    def content(self, digest: str, what: str) -> Content:
        """What the manifest with this digest leads to. Raises ImageError."""
        known = self._contents.get(digest)
        if known is not None:
            return known
        try:
            found = oci.decode(self.blobs.read(digest), "", what)
            if not isinstance(found, oci.Manifest):
                raise ImageError(
                    f"the manifest of {what} is an index",
                    hint="ask for one of the images in it by its digest",
                )
            config = oci.decode_config(self.blobs.read(found.config.digest), what)
        except NotFound as error:
            raise ImageError(
                f"the image {what} is damaged: {error}", hint=f"fetch it again: boxy pull {what}"
            ) from None
        oci.check_pair(found, config, what)
        content = Content(digest=digest, manifest=found, config=config)
        self._contents[digest] = content
        return content

    def names_of(self, manifest: str) -> list[str]:
        """Every name of one image."""
        return [entry.name for entry in self.entries() if entry.manifest == manifest]

    def wanted_layers(self) -> set[str]:
        """The unpacked layers (names in ROOT/layers) of named images, and of those to come."""
        blobs = {one.digest for content in self._all_contents() for one in content.manifest.layers}
        found = (self._layers.of_archive(_hex(digest)) for digest in blobs | self.blobs.pins())
        return {layer for layer in found if layer is not None}

    def _told(self, entry: Entry) -> Image:
        try:
            return self.image(entry)
        except (BoxyError, OSError) as error:
            return Image(
                name=entry.name, id="", source=entry.name, problem=str(error), created=entry.created
            )

    def _trees(self, content: Content, what: str) -> list[str]:
        """The unpacked layers, lowest first, as far as there are any."""
        trees = []
        for blob, raw in zip(content.manifest.layers, content.config.rootfs.diff_ids, strict=True):
            layer = self._layers.of_archive(_hex(blob.digest))
            if layer is None:
                continue
            _check_raw(layer, raw, what)
            trees.append(self._layers.tree(layer))
        return trees

    # ------------------------------------------------------------------ changing

    def add(self, name: str, manifest: str, *, digest: str = "") -> Image:
        """Point `name` at an image whose blobs are all here (packed or unpacked)."""
        self.content(manifest, name)
        entry = Entry(name=name, manifest=manifest, digest=digest, created=time.time())
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        write_whole(self._path(name), msgspec.json.encode(entry))
        return self.image(entry)

    def unpack(self, entry: Entry, progress: Progress) -> None:
        """Have every layer of the image unpacked. Raises ImageError, Denied, OSError."""
        content = self.content(entry.manifest, entry.name)
        for number, blob in enumerate(content.manifest.layers):
            self.unpack_layer(blob, content.config.rootfs.diff_ids[number], entry.name, progress)

    def unpack_layer(self, blob: oci.Descriptor, raw: str, what: str, progress: Progress) -> None:
        """Have one layer unpacked, and check that it is what the configuration says."""
        if self._layers.of_archive(_hex(blob.digest)) is None:
            fd = self.blobs.opened(blob.digest, what)
            try:
                told = f"the layer {blob.digest[:19]} of {what}"
                self._layers.add(fd, _hex(blob.digest), told, progress)
            finally:
                os.close(fd)
        _check_raw(self._layers.of_archive(_hex(blob.digest)) or "", raw, what)

    def unpacked(self, blob: oci.Descriptor) -> bool:
        """Whether this very blob was unpacked already."""
        return self._layers.of_archive(_hex(blob.digest)) is not None

    def drop(self, entry: Entry) -> None:
        """Take a name away; what it meant goes with `sweep`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(entry.name))

    def sweep(self) -> int:
        """Remove the blobs that belong to no name; the bytes freed."""
        wanted = {digest for content in self._all_contents() for digest in content.blobs}
        for digest in set(self._contents) - wanted:
            del self._contents[digest]
        return self.blobs.sweep(wanted)

    # ------------------------------------------------------------------ files

    def _all_contents(self) -> Iterator[Content]:
        for manifest in {entry.manifest for entry in self.entries()}:
            with contextlib.suppress(BoxyError):
                yield self.content(manifest, manifest)

    def _path(self, name: str) -> str:
        return f"{self._folder}/{quote(name, safe=':@')}.json"

    def _read(self, name: str) -> Entry | None:
        try:
            with open(self._path(name), "rb") as file:
                return msgspec.json.decode(file.read(), type=Entry)
        except (OSError, ValueError):
            return None

    def _by_id(self, text: str) -> Entry | None:
        if len(text) < _SHORTEST_ID or not _HEX.issuperset(text):
            return None
        found: dict[str, Entry] = {}
        for entry in self.entries():
            with contextlib.suppress(BoxyError):
                content = self.content(entry.manifest, entry.name)
                if content.id.startswith(f"sha256:{text}"):
                    found.setdefault(content.id, entry)
        if len(found) > 1:
            names = ", ".join(entry.name for entry in found.values())
            raise Conflict(
                f"{text} is the beginning of several images' ids: {names}",
                hint="give more of the id",
            )
        return next(iter(found.values()), None)


def spellings(text: str) -> list[str]:
    """The names that `text` may be short for; none if it cannot be a name."""
    try:
        reference = parse(text)
    except BoxyError:
        return []
    return [str(reference)]


def local_name(text: str) -> str:
    """The full name for an image of one's own. Raises InvalidRequest."""
    reference: Reference = parse(text)
    if reference.digest:
        raise Conflict(
            f"{text!r} cannot be given as a name: a digest belongs to one image alone",
            hint="give a tag: NAME:TAG",
        )
    return str(reference)


def _stack(trees: list[str]) -> list[str]:
    """The layers as overlayfs wants them: each only once, where it lies highest.

    A layer that comes twice (an empty one, mostly) hides by its upper self all that its lower
    self does.
    """
    return list(reversed(dict.fromkeys(reversed(trees))))


def _hex(digest: str) -> str:
    """The digest as layers.py names archives: sha256 without its prefix."""
    return digest.removeprefix("sha256:").replace(":", "-")


def _check_raw(layer: str, raw: str, what: str) -> None:
    if layer != raw.replace(":", "-", 1):
        raise ImageError(
            f"a layer of {what} is not what its configuration says: {layer[:19] or 'none'}, "
            f"not {raw[:19]}",
            hint="who made the image made it wrong, or somebody changed it: do not use it",
        )
