"""Images in one tar file: what `boxy save` writes and `boxy load` reads.

    oci-layout, index.json, blobs/sha256/HEX    an OCI image layout
    manifest.json                               the same images as Docker's archives name them

Both are written, over the same blobs, so that every engine can read the file; either is read.

Constraint: what is loaded was made by a stranger. Nothing is extracted by its name: members are
looked up by the names that the lists give, bounded, and every blob is checked by its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import posixpath
import tarfile
from collections.abc import Iterator
from typing import IO, Any, Self

import msgspec

from boxy_core.errors import BoxyError, ImageError
from boxy_core.image import manifest as oci
from boxy_core.image.blobs import ALL
from boxy_core.image.named import Content, Named, local_name
from boxy_core.image.reference import parse
from boxy_core.image.streams import DEFAULT_LIMITS, BadArchive, opened
from boxy_core.image.unpack import Progress
from boxy_core.models import Image

_FULL_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_PIECE = 1 << 20
_MAX_LIST = 8 << 20
_MAX_MEMBERS = 100_000
_HINT = "boxy save, docker save and podman save make such archives"

Names = dict[str, list[str]]
"""manifest digest to the names it is to bear"""


# ---------------------------------------------------------------------- writing


def save(named: Named, images: list[tuple[str, str]], out: IO[bytes]) -> None:
    """Write images, (name, manifest digest) each, as one tar to `out`.

    Raises:
        ImageError: a packed layer is not kept here.
    """
    contents = [(name, named.content(manifest, name)) for name, manifest in images]
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "oci-layout", _LAYOUT)
        written: set[str] = set()
        for name, content in contents:
            for digest in content.blobs:
                if digest not in written:
                    written.add(digest)
                    _add_blob(tar, named, digest, name)
        _add(tar, "index.json", _index(named, contents))
        _add(tar, "manifest.json", msgspec.json.encode(_docker_list(contents)))


def _index(named: Named, contents: list[tuple[str, Content]]) -> bytes:
    manifests = []
    for name, content in contents:
        data = named.blobs.read(content.digest)
        kind = msgspec.json.decode(data, type=dict[str, Any]).get("mediaType") or oci.MANIFEST
        tag = parse(name).tag
        notes = {_FULL_NAME: name, **({_TAG: tag} if tag else {})}
        manifests.append(oci.Descriptor(kind, content.digest, len(data), annotations=notes))
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": manifests})


def _docker_list(contents: list[tuple[str, Content]]) -> list[dict[str, object]]:
    by_manifest: dict[str, dict[str, Any]] = {}
    for name, content in contents:
        line = by_manifest.setdefault(
            content.digest,
            {
                "Config": _place(content.id),
                "RepoTags": [],
                "Layers": [_place(layer.digest) for layer in content.manifest.layers],
            },
        )
        if "@" not in name:
            line["RepoTags"].append(name)
    return list(by_manifest.values())


def _place(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o644
    tar.addfile(entry, io.BytesIO(data))


def _add_blob(tar: tarfile.TarFile, named: Named, digest: str, what: str) -> None:
    with open(named.blobs.opened(digest, what), "rb") as file:
        entry = tarfile.TarInfo(_place(digest))
        entry.size, entry.mode = os.fstat(file.fileno()).st_size, 0o644
        tar.addfile(entry, file)


# ---------------------------------------------------------------------- reading


def load(named: Named, path: str, progress: Progress, name: str = "") -> list[Image]:
    """Have the images of the archive at `path`, unpacked; `name` is for one that bears none.

    Raises:
        ImageError: it is no such archive, or damaged, or for other machines.
    """
    with (
        _raw(path, named.blobs.scratch()) as file,
        _Members(file) as members,
        named.blobs.pinned([ALL]),
    ):
        names = _take_layout(named, members) if members.has("index.json") else {}
        names = names or _take_docker(named, members)
        return _give_names(named, names, name, progress)


def _give_names(named: Named, names: Names, name: str, progress: Progress) -> list[Image]:
    """Unpack what is to run here, then give every name."""
    if name and len(names) != 1:
        raise ImageError(
            f"the archive holds {len(names)} images, so one name cannot be given",
            hint="leave the name away, and each keeps its own",
        )
    loaded = []
    for manifest, borne in names.items():
        wanted = [local_name(name)] if name else borne
        content = named.content(manifest, manifest)
        if not wanted:
            wanted = [f"loaded:{content.id[7:19]}"]
        if not oci.foreign(content.config):
            raw = content.config.rootfs.diff_ids
            for layer, digest in zip(content.manifest.layers, raw, strict=True):
                named.unpack_layer(layer, digest, wanted[0], progress)
        loaded += [named.add(one, manifest) for one in wanted]
    return loaded


class _Members:
    """The members of a tar by name. A context manager; raises ImageError."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - see __exit__
            self._by_name: dict[str, tarfile.TarInfo] = {}
            for entry in self._tar:
                self._by_name[posixpath.normpath(entry.name)] = entry
                if len(self._by_name) > _MAX_MEMBERS:
                    raise ImageError(
                        f"the archive has more than {_MAX_MEMBERS} members",
                        hint="save or fetch it again; nothing of it was taken in",
                    )
        except (tarfile.TarError, EOFError) as error:
            raise ImageError(f"the archive is damaged: {error}", hint=_HINT) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self._by_name

    def opened(self, name: str) -> tuple[IO[bytes], int]:
        """A regular member and its size; a link (old archives share layers so) is followed."""
        place = posixpath.normpath(name)
        for _ in range(4):
            entry = self._by_name.get(place)
            if entry is None:
                raise ImageError(f"the archive lacks {name[:200]!r}", hint=_HINT)
            if entry.issym():
                place = posixpath.normpath(posixpath.join(posixpath.dirname(place), entry.linkname))
            elif entry.islnk():
                place = posixpath.normpath(entry.linkname)
            else:
                file = self._tar.extractfile(entry)
                if file is None:
                    break
                return file, entry.size
        raise ImageError(
            f"the archive's {name[:200]!r} is not a file",
            hint="save or fetch it again; nothing of it was taken in",
        )

    def read(self, name: str, limit: int = _MAX_LIST) -> bytes:
        """A small member."""
        file, size = self.opened(name)
        if size > limit:
            raise ImageError(
                f"the archive's {name[:200]!r} has {size} bytes, more than {limit}",
                hint="save or fetch it again; nothing of it was taken in",
            )
        return file.read()


@contextlib.contextmanager
def _raw(path: str, scratch: str) -> Iterator[IO[bytes]]:
    """The archive as a plain tar, unpacked into `scratch` if it is compressed."""
    with open(path, "rb") as file:
        head = file.read(512)
        file.seek(0)
        if head[257:262] == b"ustar":
            yield file
            return
        try:
            with open(scratch, "x+b") as plain:
                for piece in opened(file.read):
                    plain.write(piece)
                    if plain.tell() > DEFAULT_LIMITS.size:
                        raise BadArchive(f"it is larger than {DEFAULT_LIMITS.size} bytes")
                plain.seek(0)
                yield plain
        except BadArchive as error:
            raise ImageError(f"the archive cannot be read: {error}", hint=_HINT) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)


def _take_layout(named: Named, members: _Members) -> Names:
    """Copy the images of an OCI layout in; each manifest with its names."""
    index = oci.decode(members.read("index.json"), oci.INDEX, "the archive")
    if not isinstance(index, oci.Index):
        raise ImageError("the archive's index.json is no index", hint=_HINT)
    found: Names = {}
    for child in index.manifests:
        data = _checked_small(members, child, oci.MAX_MANIFEST)
        decoded = oci.decode(data, child.media_type, "the archive")
        if isinstance(decoded, oci.Index):
            chosen = oci.choose(decoded, oci.here(), "the archive")
            data = _checked_small(members, chosen, oci.MAX_MANIFEST)
            decoded = oci.decode(data, chosen.media_type, "the archive")
        if isinstance(decoded, oci.Index):
            raise ImageError("the archive has an index of indexes", hint=_HINT)
        config = _checked_small(members, decoded.config, oci.MAX_CONFIG)
        for layer in {one.digest: one for one in decoded.layers}.values():
            _copy_in(named, members, layer)
        named.blobs.write(decoded.config.digest, config)
        digest = oci.digest_of(data)
        named.blobs.write(digest, data)
        name = _name_of(child.annotations or {})
        found.setdefault(digest, []).extend([name] if name else [])
    return found


def _name_of(notes: dict[str, str]) -> str:
    """The name that an index gives a manifest; "" if it is only a tag of nothing."""
    for key in (_FULL_NAME, _TAG):
        text = notes.get(key, "")
        with contextlib.suppress(BoxyError):
            if text and (key == _FULL_NAME or "/" in text or ":" in text):
                return local_name(text)
    return ""


def _checked_small(members: _Members, blob: oci.Descriptor, limit: int) -> bytes:
    data = members.read(_place(blob.digest), limit)
    algorithm, _, value = blob.digest.partition(":")
    if hashlib.new(algorithm, data).hexdigest() != value:
        raise ImageError(
            f"the archive is damaged: {blob.digest[:26]}... is not what it should be",
            hint="save or fetch it again; nothing of it was taken in",
        )
    return data


def _copy_in(named: Named, members: _Members, layer: oci.Descriptor) -> None:
    """Have a layer's blob, checked while it is copied."""
    if named.blobs.has(layer.digest):
        return
    source, _ = members.opened(_place(layer.digest))
    found, _ = _copied(named, source, layer.digest.partition(":")[0])
    if found != layer.digest:
        raise ImageError(
            f"the archive is damaged: {layer.digest[:26]}... is not what it should be",
            hint="save or fetch it again; nothing of it was taken in",
        )


def _copied(named: Named, source: IO[bytes], algorithm: str = "sha256") -> tuple[str, int]:
    """Copy a member in as a blob; its digest and size."""
    temporary, digest, size = named.blobs.scratch(), hashlib.new(algorithm), 0
    try:
        with open(temporary, "xb") as file:
            while piece := source.read(_PIECE):
                file.write(piece)
                digest.update(piece)
                size += len(piece)
        name = f"{algorithm}:{digest.hexdigest()}"
        named.blobs.adopt(temporary, name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return name, size


class _Line(msgspec.Struct, rename="pascal"):
    """An element of Docker's manifest.json."""

    config: str
    repo_tags: list[str] | None = None
    layers: list[str] | None = None


def _take_docker(named: Named, members: _Members) -> Names:
    """Copy the images of a Docker archive in, under manifests of our own making."""
    if not members.has("manifest.json"):
        raise ImageError(
            "this is no archive of images: it has neither index.json nor manifest.json", hint=_HINT
        )
    try:
        lines = msgspec.json.decode(members.read("manifest.json"), type=list[_Line])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ImageError(
            f"the archive's manifest.json cannot be read: {error}",
            hint="save or fetch it again; nothing of it was taken in",
        ) from None
    found: Names = {}
    for line in lines:
        config = members.read(line.config, oci.MAX_CONFIG)
        oci.decode_config(config, "the archive")
        layers = []
        for place in line.layers or []:
            source, _ = members.opened(place)
            kind = oci.layer_type(source.read(6))
            source.seek(0)
            digest, size = _copied(named, source)
            layers.append(oci.Descriptor(kind or oci.LAYER, digest, size))
        manifest = oci.encode_manifest(config, layers)
        named.blobs.write(oci.digest_of(config), config)
        named.blobs.write(oci.digest_of(manifest), manifest)
        names = [local_name(text) for text in line.repo_tags or []]
        found.setdefault(oci.digest_of(manifest), []).extend(names)
    return found
