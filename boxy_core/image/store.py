"""The image store: names to layers, each archive unpacked once, whoever asks.

    ROOT/layers/                    layers.py
    ROOT/images/NAME.json           what NAME was unpacked from, and its layers
    ROOT/images/downloads/NAME/     fetched archives
    ROOT/images/names/, blobs/      named.py: images that were pulled, loaded, tagged, committed

A name in a registry folder wins over the same name of another kind.

Constraint: `resolve` is on the path of every start of a box: it lists the registry folders,
stats what it knows and reads what has changed. All methods block: call them from a thread.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator

import msgspec

from boxy_core.errors import BoxyError, ImageError, NotFound
from boxy_core.image import trees
from boxy_core.image.fetch import fetch
from boxy_core.image.folder import Folder, Registry
from boxy_core.image.layers import Layers, no_progress, write_whole
from boxy_core.image.locks import Lock
from boxy_core.image.named import Entry, Named, local_name
from boxy_core.image.packing import pack
from boxy_core.image.reference import split_host
from boxy_core.image.sources import Archive, Download, Identity, Made, Source, Tree, find
from boxy_core.image.streams import DEFAULT_LIMITS, Limits
from boxy_core.image.unpack import Progress
from boxy_core.models import Image, Model
from boxy_core.paths import Paths

_PIECE = 1 << 20
_EACH = 0.1  # seconds between calls of a progress callback


class Record(Model, frozen=True, kw_only=True):
    """ROOT/images/NAME.json: from what an image was unpacked, and into which layers."""

    name: str
    source: Identity
    archive: str
    """sha256 of the archive"""
    layers: list[str]
    """names in ROOT/layers"""
    size: int
    created: float


Images = list[Image]
Doomed = list[tuple[str, Lock]]
Strings = list[str]  # in the class below, `list` is a method


class ImageStore:
    """The images on the registry path, and their unpacked layers below ROOT."""

    def __init__(self, paths: Paths, limits: Limits = DEFAULT_LIMITS) -> None:
        self._paths = paths
        self._registry = Registry(paths.registry)
        self._layers = Layers(paths.layers, limits)
        self._records: dict[str, tuple[int, Record]] = {}
        self._limits = limits
        self.named = Named(paths.images, self._layers)

    # ------------------------------------------------------------------ asking

    def list(self) -> Images:
        """All images by name, unpacked or not; a broken one carries its `problem`."""
        folders = self._registry.images()
        return [*(self._describe(folders[name]) for name in sorted(folders)), *self.named.images()]

    def resolve(self, name: str) -> Image:
        """The image called `name`, `ready` or not.

        Raises:
            NotFound: nothing here has that name.
            ImageError: it is there but cannot be used.
        """
        folder = self._find_folder(name)
        if folder is None:
            return self._usable(self._entry(name))
        return self._image(folder, find(folder, self._downloads))

    def _usable(self, entry: Entry) -> Image:
        image = self.named.image(entry)
        if image.problem:
            raise ImageError(f"the image {entry.name} cannot run here: {image.problem}",
                             hint="--platform of boxy pull takes another one")  # fmt: skip
        return image

    def known(self, name: str) -> Image:
        """The image called `name`, even if it cannot run here. Raises NotFound, ImageError."""
        folder = self._find_folder(name)
        if folder is None:
            return self.named.image(self._entry(name))
        return self._image(folder, find(folder, self._downloads))

    def named_entry(self, name: str) -> Entry | None:
        """The named image that `name` means; None if it means a folder's, or nothing."""
        return None if self._find_folder(name) else self.named.entry(name)

    def in_use(self, layer: str) -> bool:
        """Whether an unpacked image has this layer (a path, as in `Image.layers`)."""
        name = self._layers.name(layer)
        if any(name in record.layers for record in self._all_records()):
            return True
        return name in self.named.wanted_layers()

    def _find_folder(self, name: str) -> Folder | None:
        """The image folder of that name. Raises ImageError if it cannot be used."""
        if "/" in name:
            return None
        folders = self._registry.images()
        folder = folders.get(name) or folders.get(name.removesuffix(":latest"))
        if folder is not None and folder.problem:
            raise ImageError(folder.problem, hint=folder.hint)
        return folder

    def _entry(self, name: str) -> Entry:
        """The named image. Raises NotFound with what else could be meant."""
        entry = self.named.entry(name)
        if entry is not None:
            return entry
        if split_host(name)[0]:
            raise NotFound(f"no image {name!r} here", hint=f"fetch it: boxy pull {name}")
        folders = self._registry.images()
        known = [*folders, *(one.name.removesuffix(":latest") for one in self.named.entries())]
        close = difflib.get_close_matches(name, known, 1)
        have = f"did you mean {close[0]!r}?" if close else "`boxy images` lists what there is"
        looked = ", ".join(self._paths.registry) or "no folder at all"
        raise NotFound(f"no image {name!r} in {looked}", hint=have)

    def _describe(self, folder: Folder) -> Image:
        """The image of a folder, whatever its state."""
        remedy = ""
        if not folder.problem:
            try:
                return self._image(folder, find(folder, self._downloads))
            except BoxyError as error:
                remedy = error.hint if error.details.get("unmade") else ""
                folder = msgspec.structs.replace(folder, problem=error.message, hint=error.hint)
        return Image(
            name=folder.name,
            id="",
            source=folder.path.encode("utf-8", "backslashreplace").decode(),
            problem=folder.problem,
            remedy=remedy,
            description=folder.config.description,
        )

    def _image(self, folder: Folder, source: Source) -> Image:
        """The image as it is now: ready if what it was unpacked from has not changed."""
        if isinstance(source, Download):
            return _built(folder, source)
        identity = _identity(source)
        if isinstance(source, Tree):
            place = json.dumps(identity).encode()
            return _built(folder, source, [source.path], [place])
        record = self._record(folder.name)
        if record is None or record.source != identity:
            return _built(folder, source)
        trees_ = [self._layers.tree(layer) for layer in record.layers]
        if not all(os.path.isdir(tree) for tree in trees_):
            return _built(folder, source)
        keys = [layer.encode() for layer in record.layers]
        return _built(folder, source, trees_, keys, record.size, record.created)

    # ------------------------------------------------------------------ making ready

    def prepare(self, name: str, progress: Progress = no_progress) -> Image:
        """The image called `name`, unpacked; does nothing if it is ready.

        `progress(step, done, total)` is called from this thread, in bytes; the steps are
        "waiting", "downloading", "checking", "unpacking" and "storing". If it raises, the work
        is undone and the exception goes through.

        Raises:
            NotFound, ImageError: as `resolve`; or the archive is missing, damaged or hostile.
            Denied: unpacking needs root.
        """
        folder = self._find_folder(name)
        if folder is None:
            return self._prepare_named(self._entry(name), progress)
        source = find(folder, self._downloads)
        image = self._image(folder, source)
        if image.ready:
            return image
        with _disk_errors(name, self._paths.root):
            self._make_folders()
            progress = _calmed(progress)
            if isinstance(source, Download):
                source = self._download(source, progress)
            if not isinstance(source, Tree):
                self._unpack(folder.name, source, progress)
        image = self._image(folder, source)
        if not image.ready:
            raise ImageError(f"the image {name!r} changed while it was read", hint="try again")
        return image

    def _prepare_named(self, entry: Entry, progress: Progress) -> Image:
        image = self._usable(entry)
        if not image.ready:
            with _disk_errors(entry.name, self._paths.root):
                self._make_folders()
                self.named.unpack(entry, _calmed(progress))
            image = self._usable(entry)
        return image

    def adopt(self, name: str, progress: Progress = no_progress) -> str:
        """The digest of the manifest of `name`, whose blobs are here then.

        An image of a registry folder is packed for that; its blobs are swept away again unless
        a name is given to them (`tag`). Raises as `prepare`.
        """
        folder = self._find_folder(name)
        if folder is None:
            return self._entry(name).manifest
        self.prepare(name, progress)
        with _disk_errors(name, self._paths.root):
            progress("packing", 0, 0)
            scratch = self.named.blobs.scratch()
            try:
                packed = pack(folder, find(folder, self._downloads), scratch, self._limits)
                if not self.named.blobs.has(packed.layer.digest):
                    fd = os.open(packed.path, os.O_RDONLY | os.O_CLOEXEC)
                    try:
                        self.named.blobs.put_file(fd)
                    finally:
                        os.close(fd)
                self.named.blobs.write(packed.config_digest, packed.config)
                self.named.blobs.write(packed.digest, packed.manifest)
            finally:
                trees.remove(scratch)
        return packed.digest

    def adopt_layer(self, tree: str, diff_id: str, digest: str, size: int) -> None:
        """A folder that holds what a layer's archive does becomes the layer, unpacked.

        `digest` is the archive's, `size` the bytes of its files.  The folder is moved, unless it
        lies on another file system or the layer is here already.  Raises ImageError, OSError.
        """
        with _disk_errors("layer", self._paths.root):
            self._make_folders()
            self._layers.adopt(tree, diff_id, digest, size)

    def tag(self, name: str, new: str, progress: Progress = no_progress) -> Image:
        """Give the image `name` a further name. Raises as `prepare`, and InvalidRequest."""
        wanted = local_name(new)
        entry = self.named_entry(name)
        manifest = self.adopt(name, progress)
        return self.named.add(wanted, manifest, digest=entry.digest if entry else "")

    def _make_folders(self) -> None:
        for path in (self._paths.root, self._paths.layers, self._paths.images, self._downloads):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def _download(self, source: Download, progress: Progress) -> Archive:
        with self._layers.locked("download " + source.target, progress):
            if not os.path.isfile(source.target):
                os.makedirs(os.path.dirname(source.target), mode=0o700, exist_ok=True)
                fetch(
                    source.url,
                    source.target,
                    sha256=source.sha256,
                    progress=lambda done, total: progress("downloading", done, total),
                )
        return Archive(source.target, source.sha256)

    def _unpack(self, name: str, source: Archive | Made, progress: Progress) -> None:
        """Have the layer of `source`, and a record that `name` has it."""
        identity = source.identity()
        fd = source.opened()
        try:
            digest = _digest(fd, progress)
            if isinstance(source, Archive) and source.sha256 not in ("", digest):
                raise ImageError(
                    f"{source.path} has the sha256 {digest}, image.json asks for {source.sha256}",
                    hint="remove it and fetch it again, or correct `sha256` in image.json",
                )
            what = source.path if isinstance(source, Archive) else f"the image {source.name!r}"
            self._layers.add(fd, digest, what, progress)
        finally:
            os.close(fd)
        with self._layers.settled():
            layer = self._layers.of_archive(digest)
            if layer is None:
                raise ImageError(f"the layer of {name!r} was removed meanwhile", hint="try again")
            info = self._layers.info(layer)
            record = Record(
                name=name,
                source=identity,
                archive="sha256:" + digest,
                layers=[layer],
                size=info.size,
                created=info.created,
            )
            write_whole(self._record_path(name), msgspec.json.encode(record))

    # ------------------------------------------------------------------ taking away

    def remove(self, name: str, in_use: Collection[str] = ()) -> int:
        """Forget the image `name`, and free what nobody has then; the bytes freed.

        Layers stay that another image has, or that `in_use` (paths of layers, as in
        `Box.layers`) names. A registry folder is left as it is.

        Raises:
            NotFound: no such image has been unpacked.
        """
        return self.forget(name) + self.prune(in_use)

    def forget(self, name: str) -> int:
        """Take the name away, or of a folder's image the record; the bytes freed by that.

        Raises:
            NotFound: there is neither.
        """
        entry = None if self._record(name) else self.named.entry(name)
        if entry is not None:
            self.named.drop(entry)
            return 0
        if self._record(name) is None:
            raise NotFound(
                f"the image {name!r} is not unpacked, so there is nothing to remove",
                hint="boxy images lists what is",
            )
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._record_path(name))
        return trees.remove(f"{self._downloads}/{name}")

    def prune(self, in_use: Collection[str] = ()) -> int:
        """Remove all layers and blobs that no image and no box (`in_use`) has; bytes freed."""
        return self.bury(self.condemn(in_use))

    def condemn(self, in_use: Collection[str] = ()) -> Doomed:
        """Take their names away from the layers that nobody has: a moment's work; for `bury`."""
        with self._layers.settled():
            return self._layers.condemn(self._unwanted(self._layers.names(), in_use))

    def bury(self, doomed: Doomed) -> int:
        """Remove what was condemned, and blobs that nobody has; the bytes freed."""
        return self._layers.bury(doomed) + self.named.sweep()

    def clean(self) -> Strings:
        """Remove the temporary folders of work that died; what was removed.

        Called once when a daemon starts. What another process still works on stays.
        """
        return self._layers.clean()

    def _unwanted(self, layers: Strings, in_use: Collection[str]) -> Strings:
        wanted = {layer for record in self._all_records() for layer in record.layers}
        wanted |= {self._layers.name(tree) for tree in in_use}
        wanted |= self.named.wanted_layers()
        return [layer for layer in layers if layer not in wanted]

    # ------------------------------------------------------------------ records

    @property
    def _downloads(self) -> str:
        return self._paths.images + "/downloads"

    def _record_path(self, name: str) -> str:
        return f"{self._paths.images}/{name}.json"

    def _record(self, name: str) -> Record | None:
        """What is on record of `name`; a record that cannot be read counts as none."""
        if "/" in name or "\0" in name:
            return None
        path = self._record_path(name)
        try:
            now = os.stat(path).st_mtime_ns
            known = self._records.get(name)
            if known is not None and known[0] == now:
                return known[1]
            with open(path, "rb") as file:
                record = msgspec.json.decode(file.read(), type=Record)
        except (OSError, ValueError):
            return None
        self._records[name] = (now, record)
        return record

    def _all_records(self) -> Iterator[Record]:
        with contextlib.suppress(FileNotFoundError):
            for file in os.listdir(self._paths.images):
                record = self._record(file.removesuffix(".json")) if file[-5:] == ".json" else None
                if record is not None:
                    yield record


def _identity(source: Tree | Archive | Made) -> Identity:
    """The source's identity; one that has just vanished is like no other."""
    try:
        return source.identity()
    except OSError:
        return []


def _built(
    folder: Folder,
    source: Source,
    layers: Collection[str] = (),
    keys: Collection[bytes] = (),
    size: int = 0,
    created: float = 0.0,
) -> Image:
    """The image model of a folder with these layers (none: not unpacked)."""
    config = folder.config
    digest = hashlib.sha256(b"\0".join([config.digest(), *keys])).hexdigest()
    mounts = source.mounts if isinstance(source, Made) else []
    return Image(
        name=folder.name,
        id=f"sha256:{digest}" if layers else "",
        source=folder.path,
        layers=[*layers],
        env=config.env,
        cmd=config.command,
        entrypoint=config.entry,
        workdir=config.workdir,
        user=config.user,
        labels=config.labels,
        stop_signal=config.stop_signal,
        ports=config.ports,
        mounts=[*mounts, *config.mounts],
        size=size,
        created=created,
        ready=bool(layers),
        description=config.description,
    )


@contextlib.contextmanager
def _disk_errors(name: str, root: str) -> Iterator[None]:
    """What the disk refuses, as an ImageError."""
    try:
        yield
    except OSError as error:
        place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else root
        raise ImageError(
            f"the image {name!r} could not be stored: {error.strerror or error} ({place})",
            hint="see that the disk has room and can be written (df -h, df -i)",
        ) from error


def _digest(fd: int, progress: Progress) -> str:
    """The sha256 of the whole file behind `fd`."""
    digest, done, total = hashlib.sha256(), 0, os.fstat(fd).st_size
    while piece := os.pread(fd, _PIECE, done):
        digest.update(piece)
        done += len(piece)
        progress("checking", done, total)
    return digest.hexdigest()


def _calmed(progress: Progress) -> Progress:
    """The callback, called at most ten times a second in each step, and at each step's end."""
    last_step, last_time = "", 0.0

    def calmed(step: str, done: int, total: int) -> None:
        nonlocal last_step, last_time
        now = time.monotonic()
        if step != last_step or now - last_time >= _EACH or (total and done >= total):
            last_step, last_time = step, now
            progress(step, done, total)

    return calmed
