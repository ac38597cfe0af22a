"""Manifests, indexes and image configurations as the OCI image specification has them. Pure.

Constraint: what is read here was written by a stranger, and by many different tools: unknown
fields are fine, `null` stands for anything, Docker's media types mean the same as OCI's; what
does not hold together is an ImageError that says what it was. What is written is deterministic,
so that the same image has the same digest wherever it is made.
"""

from __future__ import annotations

import hashlib
import platform
import signal
from collections.abc import Sequence
from typing import Any

import msgspec

from boxy_core.errors import ImageError
from boxy_core.image.reference import is_digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
MAX_MANIFEST = 4 << 20
MAX_CONFIG = 8 << 20
_INDEXES = (INDEX, DOCKER_INDEX)
_CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")
_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armv7l": "arm",
    "armv6l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """`os/architecture[/variant]`."""

    architecture: str = ""
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A blob by digest and size."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """An image for one platform."""

    config: Descriptor
    layers: list[Descriptor] = []


class Index(msgspec.Struct, frozen=True, rename="camel"):
    """Manifests, one for each platform."""

    manifests: list[Descriptor] = []


class Settings(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """What a box takes from the image: the `config` of an image configuration."""

    user: str | None = None
    exposed_ports: dict[str, Any] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the raw layers, lowest first."""

    diff_ids: list[str] = []
    type: str = "layers"


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image configuration."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    config: Settings | None = None
    rootfs: RootFs = RootFs()
    created: str | None = None
    history: list[dict[str, Any]] | None = None

    @property
    def settings(self) -> Settings:
        """`config`, which may be missing."""
        return self.config or Settings()


def digest_of(data: bytes) -> str:
    """The sha256 of `data`, as registries write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def here() -> Platform:
    """The platform of this machine."""
    machine = platform.machine()
    variant = {"armv7l": "v7", "armv6l": "v6"}.get(machine, "")
    return Platform(_MACHINES.get(machine, machine), "linux", variant)


def parse_platform(text: str) -> Platform:
    """`linux/arm64`, `linux/arm/v7`, or only `arm64`. Raises ImageError."""
    parts = text.split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3 or not all(parts):
        raise ImageError(f"{text!r} is no platform", hint="write it like linux/amd64")
    return Platform(parts[1], parts[0], parts[2] if len(parts) > 2 else "")


# ---------------------------------------------------------------------- reading


def decode(data: bytes, media_type: str, what: str) -> Manifest | Index:
    """A manifest or an index; `what` is what messages call it. Raises ImageError."""
    kind = media_type.partition(";")[0].strip()
    try:
        head = msgspec.json.decode(data, type=dict[str, Any])
        kind = str(head.get("mediaType") or kind)
        if head.get("schemaVersion") == 1:
            raise ImageError(
                f"{what} has a manifest of Docker's version 1, which is obsolete",
                hint="push it again with a client of this decade",
            )
        if kind in _INDEXES or ("manifests" in head and "layers" not in head):
            return _checked_index(msgspec.json.decode(data, type=Index), what)
        return _checked(msgspec.json.decode(data, type=Manifest), what)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImageError(
            f"{what} has a manifest that cannot be read: {error}",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        ) from None


def _checked_index(index: Index, what: str) -> Index:
    for child in index.manifests:
        _check_descriptor(child, what)
    return index


def _checked(manifest: Manifest, what: str) -> Manifest:
    for blob in (manifest.config, *manifest.layers):
        _check_descriptor(blob, what)
    if manifest.config.media_type not in _CONFIGS:
        kind = manifest.config.media_type[:80]
        raise ImageError(
            f"{what} is no image that could run: its configuration is of type {kind}",
            hint="it is an artifact; skopeo or oras can fetch it",
        )
    return manifest


def _check_descriptor(blob: Descriptor, what: str) -> None:
    if not is_digest(blob.digest) or blob.size < 0:
        raise ImageError(
            f"{what} names a blob wrongly: {blob.digest[:100]!r}, {blob.size} bytes",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        )


def choose(index: Index, wanted: Platform, what: str) -> Descriptor:
    """The manifest for a platform. Raises ImageError naming those that there are."""
    fitting = [
        child
        for child in index.manifests
        if child.platform is not None
        and (child.platform.os, child.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    exact = [c for c in fitting if c.platform is not None and c.platform.variant == wanted.variant]
    if exact or fitting:
        return (exact or fitting)[0]
    if len(index.manifests) == 1 and index.manifests[0].platform is None:
        return index.manifests[0]
    have = sorted(
        {str(c.platform) for c in index.manifests if c.platform and c.platform.os != "unknown"}
    )
    raise ImageError(
        f"{what} has nothing for {wanted}; it has {', '.join(have) or 'nothing at all'}",
        hint="--platform takes another one",
    )


def decode_config(data: bytes, what: str) -> Config:
    """An image configuration. Raises ImageError."""
    try:
        config = msgspec.json.decode(data, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ImageError(
            f"{what} has a configuration that cannot be read: {error}",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        ) from None
    settings = config.settings
    words = [*(settings.env or []), *(settings.entrypoint or []), *(settings.cmd or [])]
    words += [settings.working_dir or "", settings.user or ""]
    if any("\0" in word for word in words):
        raise ImageError(
            f"{what} has a configuration in which a word holds NUL",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        )
    if any(not is_digest(one) for one in config.rootfs.diff_ids):
        raise ImageError(
            f"{what} has a configuration with a wrong layer digest",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        )
    return config


def check_pair(manifest: Manifest, config: Config, what: str) -> None:
    """A manifest and its configuration must tell of the same layers. Raises ImageError."""
    if len(manifest.layers) != len(config.rootfs.diff_ids):
        raise ImageError(
            f"{what} does not hold together: {len(manifest.layers)} layers, "
            f"and {len(config.rootfs.diff_ids)} in its configuration",
            hint="it is damaged or no image of OCI or Docker: have it pushed again",
        )


def foreign(config: Config) -> str:
    """Why this machine cannot run the image ("" if it can, as far as is told)."""
    mine = here()
    if config.os and config.os != mine.os:
        return f"it is for {config.os}, this machine is {mine.os}"
    if config.architecture and config.architecture != mine.architecture:
        return f"it is for {config.architecture}, this machine is {mine.architecture}"
    return ""


def image_fields(config: Config) -> dict[str, Any]:
    """What a configuration says, as fields of the model Image."""
    settings = config.settings
    env = dict(pair.partition("=")[::2] for pair in settings.env or [] if pair.partition("=")[0])
    workdir = settings.working_dir or "/"
    return {
        "env": env,
        "cmd": settings.cmd or [],
        "entrypoint": settings.entrypoint or [],
        "workdir": workdir if workdir.startswith("/") else "/" + workdir,
        "user": settings.user or "",
        "labels": settings.labels or {},
        "stop_signal": _signal(settings.stop_signal or ""),
        "ports": sorted(settings.exposed_ports or {}),
        "volumes": sorted(settings.volumes or {}),
    }


def _signal(text: str) -> str:
    """A signal's name; what is none means the usual one, as in other engines."""
    name = text.upper()
    try:
        number = signal.Signals(int(name)) if name.isdecimal() else None
        return (number or signal.Signals["SIG" + name.removeprefix("SIG")]).name
    except (ValueError, KeyError):
        return "SIGTERM"


# ---------------------------------------------------------------------- writing


def encode_config(
    fields: dict[str, Any],
    diff_ids: Sequence[str],
    *,
    created: str | None = None,
    history: Sequence[dict[str, Any]] = (),
    platform_: Platform | None = None,
) -> bytes:
    """The configuration of an image with these fields of the model Image, as bytes."""
    where = platform_ or here()
    settings = Settings(
        user=fields.get("user") or None,
        exposed_ports={port: {} for port in fields.get("ports") or ()} or None,
        env=[f"{name}={value}" for name, value in (fields.get("env") or {}).items()] or None,
        entrypoint=fields.get("entrypoint") or None,
        cmd=fields.get("cmd") or None,
        volumes={path: {} for path in fields.get("volumes") or ()} or None,
        working_dir=fields.get("workdir") or None,
        labels=fields.get("labels") or None,
        stop_signal=fields.get("stop_signal") or None,
    )
    config = Config(
        architecture=where.architecture,
        os=where.os,
        variant=where.variant,
        config=settings,
        rootfs=RootFs(list(diff_ids)),
        created=created,
        history=list(history) or None,
    )
    return msgspec.json.encode(config)


def encode_manifest(config: bytes, layers: Sequence[Descriptor]) -> bytes:
    """An OCI manifest over a configuration and layers."""
    told = Descriptor(CONFIG, digest_of(config), len(config))
    return msgspec.json.encode(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": told, "layers": list(layers)}
    )


def layer_type(head: bytes) -> str | None:
    """The media type of a layer that begins so; None for one that no other client can read."""
    if head.startswith(b"\x1f\x8b"):
        return LAYER + "+gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return LAYER + "+zstd"
    if head.startswith((b"\xfd7zXZ\x00", b"BZh")):
        return None
    return LAYER
