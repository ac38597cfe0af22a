"""Repositories as OCI image layouts: what every tool can read, in a folder or a tar archive.

Source: OCI Image 1.1, "Image Layout".  An export holds the chosen tags with all that they lead
to: children of indexes, and what refers to them (signatures, attestations).  An import takes in
everything that an `index.json` names, verified as a push would be.  A layout knows nothing of
repositories: one layout is one repository.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, BinaryIO

from boxy_core.errors import Conflict, InvalidRequest, NotFound
from boxy_registry import manifests
from boxy_registry.errors import ManifestUnknown
from boxy_registry.names import check_digest, check_tag
from boxy_registry.store import Store, reading

NAME = "org.opencontainers.image.ref.name"
_CHUNK = 1 << 20
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_LARGEST_MANIFEST = 64 << 20


# ------------------------------------------------------------------ export


def export(store: Store, repository: str, tags: Iterable[str], target: str) -> int:
    """Write a layout with these tags (none: all) to a folder or `.tar`; how many blobs.

    Raises NameUnknown, ManifestUnknown, Conflict if the target exists and is no empty folder.
    """
    chosen = list(tags) or store.tag_names(repository)
    if target.endswith(".tar"):
        if os.path.exists(target):
            raise Conflict(f"{target} exists", hint="remove it, or give another name")
        with tempfile.TemporaryDirectory(dir=os.path.dirname(target) or ".") as folder:
            count = _export(store, repository, chosen, folder)
            _pack(folder, target)
        return count
    if os.path.isdir(target) and os.listdir(target):
        raise Conflict(f"the folder {target} is not empty", hint="give another one")
    os.makedirs(target, exist_ok=True)
    return _export(store, repository, chosen, target)


def _export(store: Store, repository: str, tags: list[str], folder: str) -> int:
    descriptors, written = [], set[str]()
    for tag in tags:
        found = store.manifest(repository, tag)
        descriptors.append(
            {
                "mediaType": found.media_type,
                "digest": found.digest,
                "size": len(found.body),
                "annotations": {NAME: tag},
            }
        )
        _export_manifest(store, repository, found.digest, folder, written)
    listed = {descriptor["digest"] for descriptor in descriptors}
    for digest in sorted(written):
        for _, referrer in store.referrers(repository, digest):
            if referrer["digest"] not in listed:
                listed.add(referrer["digest"])
                descriptors.append(referrer)
    index = {"schemaVersion": 2, "mediaType": manifests.INDEX, "manifests": descriptors}
    _write(f"{folder}/index.json", json.dumps(index, indent=1).encode())
    _write(f"{folder}/oci-layout", _LAYOUT)
    return len(written)


def _export_manifest(
    store: Store, repository: str, digest: str, folder: str, written: set[str]
) -> None:
    if digest in written:
        return
    found = store.manifest(repository, digest)
    written.add(digest)
    _write(_place(folder, digest), found.body)
    manifest = manifests.parse(found.body, found.media_type)
    for blob in manifest.blobs:
        if blob.digest not in written:
            _export_blob(store, repository, blob, folder, written)
    for child in manifest.children:
        with suppress(ManifestUnknown):  # a sparse index
            _export_manifest(store, repository, child.digest, folder, written)
    for _, referrer in store.referrers(repository, digest):
        _export_manifest(store, repository, referrer["digest"], folder, written)


def _export_blob(
    store: Store,
    repository: str,
    blob: manifests.Descriptor,
    folder: str,
    written: set[str],
) -> None:
    if blob.optional and repository not in reading.holders(store.reader, blob.digest):
        return
    # a copy, and no second name: what the user does to it must not reach the store
    shutil.copyfile(store.blob(repository, blob.digest).path, _place(folder, blob.digest))
    written.add(blob.digest)


def _place(folder: str, digest: str) -> str:
    algorithm, _, digits = digest.partition(":")
    os.makedirs(f"{folder}/blobs/{algorithm}", exist_ok=True)
    return f"{folder}/blobs/{algorithm}/{digits}"


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _pack(folder: str, target: str) -> None:
    try:
        with tarfile.open(target, "x") as archive:
            for name in ("oci-layout", "index.json", "blobs"):
                archive.add(f"{folder}/{name}", arcname=name)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(target)
        raise


# ------------------------------------------------------------------ import


async def import_(store: Store, repository: str, source: str, tag: str = "") -> list[str]:
    """Take in a layout from a folder or tar archive; the tags that it brought.

    `tag` names the one manifest of a layout that gives it no name.  Raises InvalidRequest for
    what is no layout, NotFound for a blob that it lacks, and what a push would.
    """
    with _opened(source) as read:
        index = _json(read, "index.json")
        entries = index.get("manifests")
        if not isinstance(entries, list) or not entries:
            raise InvalidRequest(
                f"{source} names no image in its index.json", hint="have the layout made anew"
            )
        importer = _Importer(store, repository, read)
        brought = []
        for entry in entries:
            name = _name_of(entry, tag if len(entries) == 1 else "")
            await importer.take_manifest(entry, name)
            if name:
                brought.append(name)
        return brought


class _Importer:
    """An import under way; what was taken in is not taken twice."""

    def __init__(self, store: Store, repository: str, read: Opener) -> None:
        self._store = store
        self._repository = repository
        self._read = read
        self._done: set[str] = set()

    async def take_manifest(self, descriptor: Any, tag: str = "") -> None:
        """Take in a manifest after all that it names."""
        digest, media_type = _digest_and_type(descriptor)
        if digest in self._done and not tag:
            return
        body = self._body(digest)
        manifest = manifests.parse(body, media_type)
        for blob in manifest.blobs:
            await self._take_blob(blob)
        for child in manifest.children:
            with suppress(NotFound):  # a sparse index
                await self.take_manifest({"digest": child.digest, "mediaType": child.media_type})
        await self._store.put_manifest(self._repository, digest, manifest, [tag] if tag else [])
        self._done.add(digest)

    async def _take_blob(self, blob: manifests.Descriptor) -> None:
        if blob.digest in self._done:
            return
        try:
            with self._read(_in_layout(blob.digest)) as file:
                await self._store.put_blob(self._repository, blob.digest, _chunks(file))
        except NotFound:
            if not blob.optional:
                raise
        self._done.add(blob.digest)

    def _body(self, digest: str) -> bytes:
        with self._read(_in_layout(digest)) as file:
            body = file.read(_LARGEST_MANIFEST)
        algorithm, _, digits = digest.partition(":")
        if hashlib.new(algorithm, body).hexdigest() != digits:
            raise InvalidRequest(
                f"the manifest {digest} of the layout has other bytes",
                hint="it is damaged: have the layout made anew",
            )
        return body


Opener = Callable[[str], AbstractContextManager[BinaryIO]]


@contextmanager
def _opened(source: str) -> Iterator[Opener]:
    """A function that opens the files of a layout by name, and raises NotFound."""
    if os.path.isdir(source):

        @contextmanager
        def from_folder(name: str) -> Iterator[BinaryIO]:
            try:
                with open(os.path.join(source, name), "rb") as file:
                    yield file
            except FileNotFoundError:
                raise NotFound(
                    f"the layout {source} has no {name}",
                    hint="it is not complete: have the layout made anew",
                ) from None

        yield from_folder
        return
    try:
        with tarfile.open(source) as archive:
            members = {os.path.normpath(member.name): member for member in archive}

            @contextmanager
            def from_archive(name: str) -> Iterator[BinaryIO]:
                member = members.get(name)
                file = archive.extractfile(member) if member and member.isfile() else None
                if file is None:
                    raise NotFound(
                        f"the layout {source} has no {name}",
                        hint="it is not complete: have the layout made anew",
                    )
                with file:
                    yield file  # type: ignore[misc]

            yield from_archive
    except FileNotFoundError:
        raise NotFound(
            f"there is no {source}", hint="name a folder or a tar archive with an OCI layout"
        ) from None
    except (tarfile.TarError, EOFError) as error:
        raise InvalidRequest(
            f"{source} is no layout: {error}",
            hint="name a folder or a tar archive with an OCI layout",
        ) from None


def _json(read: Opener, name: str) -> dict[str, Any]:
    with read(name) as file:
        try:
            data = json.loads(file.read(_LARGEST_MANIFEST))
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(
                f"the layout's {name} is no JSON: {error}", hint="have the layout made anew"
            ) from None
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"the layout's {name} is no JSON object", hint="have the layout made anew"
        )
    return data


def _digest_and_type(descriptor: Any) -> tuple[str, str]:
    digest = descriptor.get("digest") if isinstance(descriptor, dict) else None
    if not isinstance(digest, str):
        raise InvalidRequest(
            "the layout's index.json holds something that is no descriptor",
            hint="have the layout made anew",
        )
    media_type = descriptor.get("mediaType", "")
    return check_digest(digest), media_type if isinstance(media_type, str) else ""


def _name_of(entry: Any, tag: str) -> str:
    """The tag of an entry: its name without what stands before a colon, as docker writes it."""
    notes = entry.get("annotations") if isinstance(entry, dict) else None
    name = notes.get(NAME, "") if isinstance(notes, dict) else ""
    name = tag or (name.rpartition(":")[2] if isinstance(name, str) else "")
    return check_tag(name) if name else ""


def _in_layout(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while data := file.read(_CHUNK):
        yield data
