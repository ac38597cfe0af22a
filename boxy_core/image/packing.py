"""A registry folder's image as other engines want it: a configuration, a packed layer, a manifest.

Constraint: the same folder gives the same bytes, hence the same digests, at every place. An
archive in gzip, zstd or plain tar *is* the layer and is not written again; xz and bzip2, which
no other engine reads, become gzip; a `rootfs` folder becomes a tar in gzip. All of it blocks.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple, cast

from boxy_core.errors import ImageError
from boxy_core.image import manifest as oci
from boxy_core.image.folder import FILE, Folder
from boxy_core.image.sources import Archive, Download, Made, Source, Tree
from boxy_core.image.streams import DEFAULT_LIMITS, BadArchive, Limits, Stream

_PIECE = 1 << 20
_LEVEL = 6
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_KEPT = ("security.capability",)


class Packed(NamedTuple):
    """An image ready to be sent; `path` is the file with the layer's bytes."""

    config: bytes
    manifest: bytes
    layer: oci.Descriptor
    path: str

    @property
    def digest(self) -> str:
        """The manifest's."""
        return oci.digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        """The configuration's, that is the image's id."""
        return oci.digest_of(self.config)


def pack(folder: Folder, source: Source, scratch: str, limits: Limits = DEFAULT_LIMITS) -> Packed:
    """The image of a folder; what has to be written anew goes into the folder `scratch`.

    Raises:
        ImageError: there is nothing to pack, or it is damaged or a piece of this machine.
    """
    fields = fields_of(folder)
    path, made = _layer_file(folder, source, scratch)
    with open(path, "rb") as file:
        media_type = oci.layer_type(file.read(6)) or ""
        file.seek(0)
        raw, digest, size = _digests(file, path, limits)
    layer = oci.Descriptor(media_type, digest, size)
    config = oci.encode_config(
        fields, [raw], created=_created(folder, source, path, made=made),
        platform_=_platform(folder),
    )  # fmt: skip
    return Packed(config, oci.encode_manifest(config, [layer]), layer, path)


def fields_of(folder: Folder) -> dict[str, Any]:
    """What image.json says, as fields of the model Image."""
    config = folder.config
    labels = dict(config.labels)
    if config.description:
        labels.setdefault("org.opencontainers.image.title", config.description)
    return {
        "env": config.env, "cmd": config.command, "entrypoint": config.entry,
        "workdir": config.workdir, "user": config.user, "labels": labels,
        "stop_signal": config.stop_signal,
    }  # fmt: skip


def _platform(folder: Folder) -> oci.Platform:
    machine = folder.config.origin.arch
    return oci.Platform(_MACHINES.get(machine, machine), "linux") if machine else oci.here()


def _created(folder: Folder, source: Source, path: str, *, made: bool) -> str:
    """When the newest part of the image was written; what code makes has no time of its own."""
    times = [os.stat(f"{folder.path}/{FILE}").st_mtime]
    if not made:
        times.append(os.stat(path).st_mtime)
    elif isinstance(source, Archive | Tree):
        times.append(os.stat(source.path).st_mtime)
    return datetime.fromtimestamp(int(max(times)), UTC).isoformat().replace("+00:00", "Z")


def _layer_file(folder: Folder, source: Source, scratch: str) -> tuple[str, bool]:
    """The file that is the layer, and whether it was made for that."""
    if isinstance(source, Download):
        raise ImageError(f"the archive of {folder.name} has not been fetched yet",
                         hint=f"boxy pull {folder.name} fetches it")  # fmt: skip
    if isinstance(source, Made) and source.mounts:
        raise ImageError(
            f"the image {folder.name} is this machine itself and cannot be sent",
            hint="make an image of a folder instead: see docs/how-to/own-images.md",
        )
    if isinstance(source, Archive):
        with open(source.path, "rb") as file:
            if oci.layer_type(file.read(6)) is not None:
                return source.path, False
        return _written(scratch, source.path, lambda out: _repacked(source.path, out)), True
    if isinstance(source, Tree):
        return _written(scratch, source.path, lambda out: _tarred(source.path, out)), True
    return _written(scratch, source.name, lambda out: _copied(source.opened(), out)), True


def _written(scratch: str, key: str, write: Callable[[IO[bytes]], None]) -> str:
    """A file in `scratch`, in gzip, that `write` fills; one for each key."""
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    path = f"{scratch}/{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.tar.gz"
    temporary = f"{path}.{os.getpid()}"
    try:
        with (
            open(temporary, "wb") as file,
            gzip.GzipFile("", "wb", _LEVEL, fileobj=file, mtime=0) as out,
        ):
            write(cast(IO[bytes], out))
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _repacked(path: str, out: IO[bytes]) -> None:
    from boxy_core.image.streams import opened

    with open(path, "rb") as file:
        try:
            for piece in opened(file.read):
                out.write(piece)
        except BadArchive as error:
            raise ImageError(
                f"{path} cannot be used: {error}", hint="the daemon's root must be able to read it"
            ) from None


def _copied(fd: int, out: IO[bytes]) -> None:
    with open(fd, "rb") as file:
        file.seek(0)
        shutil.copyfileobj(file, out, _PIECE)


def _digests(file: IO[bytes], path: str, limits: Limits) -> tuple[str, str, int]:
    """The digest of the raw tar, the digest of the file, its size."""
    packed = hashlib.sha256()
    size = 0

    def read(n: int) -> bytes:
        nonlocal size
        piece = file.read(max(n, 1))
        packed.update(piece)
        size += len(piece)
        return piece

    stream = Stream(read, limits)
    try:
        stream.drain()
        while read(_PIECE):
            pass
    except BadArchive as error:
        raise ImageError(
            f"{path} cannot be used: {error}", hint="the daemon's root must be able to read it"
        ) from None
    return f"sha256:{stream.digest.hexdigest()}", f"sha256:{packed.hexdigest()}", size


# ---------------------------------------------------------------------- a folder as a tar


def _tarred(root: str, out: IO[bytes]) -> None:
    """A tree as a tar, in the order of its names; sockets and the like are left out."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in _walk(root):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                continue
            entry = tar.gettarinfo(path, name)
            entry.uname = entry.gname = ""
            entry.pax_headers = {**_attributes(path), "mtime": str(int(entry.mtime))}
            entry.mtime = int(entry.mtime)
            if entry.isreg():
                with open(path, "rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """(path, name) of everything below `root`, folders before what is in them."""
    waiting = [""]
    while waiting:
        name = waiting.pop()
        path = f"{root}/{name}" if name else root
        yield path, name or "."
        if stat.S_ISDIR(os.lstat(path).st_mode):
            inside = sorted(os.listdir(path), reverse=True)
            waiting += [f"{name}/{one}" if name else one for one in inside]


def _attributes(path: str) -> dict[str, str]:
    """The extended attributes that a layer may bring, as pax headers."""
    if os.path.islink(path):
        return {}
    return {
        f"SCHILY.xattr.{key}": os.getxattr(path, key).decode("utf-8", "surrogateescape")
        for key in os.listxattr(path)
        if key in _KEPT or (key.startswith("user.") and not key.startswith("user.overlay."))
    }
