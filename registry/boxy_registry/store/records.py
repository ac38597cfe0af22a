"""What the store answers with: plain values."""

from __future__ import annotations

from typing import NamedTuple


class StoredManifest(NamedTuple):
    """A manifest as it was pushed; `used` is when a client last asked for it."""

    digest: str
    media_type: str
    body: bytes
    used: float


class StoredBlob(NamedTuple):
    """A blob that a repository holds: a file of `size` bytes, never changed."""

    digest: str
    path: str
    size: int
    used: float


class Repository(NamedTuple):
    """A repository in numbers. `size` in bytes, `quota` None: the registry's default."""

    name: str
    size: int
    quota: int | None
    manifests: int
    tags: int
    pushed: float


class Tag(NamedTuple):
    """A tag with what it leads to; `content` is the bytes of the manifest's blobs."""

    name: str
    digest: str
    media_type: str
    artifact_type: str
    content: int
    pushed: float


class Put(NamedTuple):
    """What a push of a manifest came to."""

    digest: str
    new: bool
    subject: str
    tags: tuple[str, ...]
