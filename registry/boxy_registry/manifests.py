"""What a manifest is, and what it refers to (pure).

Constraint: the bytes are the client's and stay as they came; only what the registry needs is
read.  A type that we do not know is kept like one that we do, as long as it is a JSON object
whose descriptors, if it has some, have the form of descriptors (OCI Image 1.1, "Manifest",
"Image Index", "Content Descriptors").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from boxy_registry.errors import DigestInvalid, ManifestInvalid
from boxy_registry.names import check_digest, shown

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"

_INDEXES = (INDEX, DOCKER_LIST)
_IMAGES = (IMAGE, DOCKER_IMAGE)
_MAX_DESCRIPTORS = 16_384
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")
"""RFC 6838, 4.2: it goes into a header"""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference by digest; `optional` where the content lies elsewhere by design."""

    digest: str
    size: int
    media_type: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's bytes with what was read in them."""

    body: bytes
    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    subject: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def content_size(self) -> int:
        """Bytes of the blobs, as the descriptors say: what a pull transfers."""
        return sum(blob.size for blob in self.blobs)


def parse(body: bytes, content_type: str = "") -> Manifest:
    """Read a manifest that was sent with this Content-Type.

    Raises ManifestInvalid, DigestInvalid for a malformed digest in it.
    """
    data = _object(body)
    media_type = _media_type(data, content_type)
    subject = data.get("subject")
    return Manifest(
        body=body,
        media_type=media_type,
        blobs=_blobs(data, media_type),
        children=_children(data, media_type),
        subject=_descriptor(subject, "subject").digest if subject is not None else "",
        artifact_type=_artifact_type(data),
        annotations=_annotations(data),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ManifestInvalid(f"the manifest is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ManifestInvalid("the manifest is no JSON object")
    return data


def _media_type(data: dict[str, Any], content_type: str) -> str:
    """The type by header and body, which must agree where both tell."""
    said = content_type.partition(";")[0].strip()
    own = data.get("mediaType", "")
    if not isinstance(own, str):
        raise ManifestInvalid("mediaType is no text")
    if said and own and said != own:
        raise ManifestInvalid(
            f"the Content-Type {shown(said)} contradicts the mediaType {shown(own)}"
        )
    if said or own:
        if not _MEDIA_TYPE.fullmatch(said or own):
            raise ManifestInvalid(f"{shown(said or own)} is no media type")
        return said or own
    if "manifests" in data:
        return INDEX
    if "config" in data:
        return IMAGE
    raise ManifestInvalid("neither the Content-Type nor a mediaType tells what this is")


def _blobs(data: dict[str, Any], media_type: str) -> tuple[Descriptor, ...]:
    """Config and layers of an image, or the blobs of an artifact manifest."""
    if media_type in _IMAGES and not isinstance(data.get("config"), dict):
        raise ManifestInvalid("an image manifest needs a config")
    found = []
    if data.get("config") is not None:
        found.append(_descriptor(data["config"], "config"))
    for name in ("layers", "blobs"):
        found += _descriptors(data, name)
    return tuple(found)


def _children(data: dict[str, Any], media_type: str) -> tuple[Descriptor, ...]:
    if media_type in _INDEXES and not isinstance(data.get("manifests"), list):
        raise ManifestInvalid("an index needs a list of manifests")
    return tuple(_descriptors(data, "manifests"))


def _descriptors(data: dict[str, Any], name: str) -> list[Descriptor]:
    items = data.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise ManifestInvalid(f"{name} is no list")
    if len(items) > _MAX_DESCRIPTORS:
        raise ManifestInvalid(f"{name} has {len(items)} entries, {_MAX_DESCRIPTORS} are taken")
    return [_descriptor(item, f"{name}[{number}]") for number, item in enumerate(items)]


def _descriptor(item: object, where: str) -> Descriptor:
    if not isinstance(item, dict):
        raise ManifestInvalid(f"{where} is no descriptor")
    digest, size, media_type = item.get("digest"), item.get("size", 0), item.get("mediaType", "")
    if not isinstance(digest, str):
        raise ManifestInvalid(f"{where} has no digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or size >= 1 << 63:
        raise ManifestInvalid(f"the size of {where} is no number of bytes")
    if not isinstance(media_type, str):
        raise ManifestInvalid(f"the mediaType of {where} is no text")
    try:
        check_digest(digest)
    except DigestInvalid as error:
        raise DigestInvalid(f"{where}: {error.message}", detail=error.detail) from None
    return Descriptor(digest, size, media_type, optional=_elsewhere(item, media_type))


def _elsewhere(item: dict[str, Any], media_type: str) -> bool:
    """Layers that must not be distributed are named by URL and need not be here."""
    foreign = "nondistributable" in media_type or "foreign" in media_type
    return bool(item.get("urls")) or foreign


def _artifact_type(data: dict[str, Any]) -> str:
    """OCI Distribution 1.1, "Listing Referrers": artifactType, else the config's type."""
    own = data.get("artifactType")
    if isinstance(own, str) and own:
        return own
    config = data.get("config")
    kind = config.get("mediaType", "") if isinstance(config, dict) else ""
    return kind if isinstance(kind, str) else ""


def _annotations(data: dict[str, Any]) -> dict[str, str]:
    found = data.get("annotations")
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ManifestInvalid("annotations are no map of texts")
    return found
