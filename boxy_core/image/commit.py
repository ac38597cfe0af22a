"""A box's own layer, put on top of its image, as a new image.

Constraint: the layers below keep their digests, so what has been pushed once is not pushed
again.  The image gets its name last: a crash before that leaves blobs that the next sweep takes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from boxy_core.errors import ImageError, InvalidRequest
from boxy_core.image import manifest as oci
from boxy_core.image.layers import no_progress
from boxy_core.image.named import local_name
from boxy_core.image.store import ImageStore
from boxy_core.models import Box, Image

INSTRUCTIONS = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
)  # fmt: skip


class Layer(NamedTuple):
    """A packed layer in a file, which moves into the store."""

    path: str
    diff_id: str
    digest: str
    size: int
    tree: str = ""
    """a folder that has all of it, unpacked, which moves into the store, too; "": there is none"""
    raw: int = 0
    """bytes of the files in it"""


def commit(
    store: ImageStore, box: Box, layer: Layer, name: str, *,
    changes: Sequence[str] = (), message: str = "", author: str = "",
) -> Image:  # fmt: skip
    """The new image, unpacked.  Blocks.

    Raises InvalidRequest (a name, a change), ImageError: the box's image is not what it was.
    """
    wanted = local_name(name)
    base = store.named.content(store.adopt(_base_name(store, box)), box.image)
    _check_same(box, base.config.rootfs.diff_ids)
    settings = base.config.settings
    for change in changes:
        settings = changed(settings, change)
    config = msgspec.json.encode(_config(base.config, settings, layer, message, author))
    blob = oci.Descriptor(oci.LAYER + "+gzip", layer.digest, layer.size)
    manifest = oci.encode_manifest(config, [*base.manifest.layers, blob])
    blobs = store.named.blobs
    with blobs.pinned([layer.digest, *base.blobs]):
        blobs.adopt(layer.path, layer.digest)
        if layer.tree:
            store.adopt_layer(layer.tree, layer.diff_id, layer.digest, layer.raw)
        blobs.write(oci.digest_of(config), config)
        blobs.write(oci.digest_of(manifest), manifest)
        store.named.add(wanted, oci.digest_of(manifest))
    return store.prepare(wanted, no_progress)


def _base_name(store: ImageStore, box: Box) -> str:
    """The name by which the box's very image is found: its id, where that is one of a config's."""
    entry = store.named.entry(box.image_id) if box.image_id else None
    return entry.name if entry is not None else box.image


def _check_same(box: Box, diff_ids: list[str]) -> None:
    """The box's layers are those of the image that we are to build on."""
    below = [tree.rstrip("/").split("/")[-2].replace("-", ":", 1) for tree in box.layers]
    if any(name.startswith("sha256:") and name not in diff_ids for name in below):
        raise ImageError(
            f"the image {box.image} has changed since box {box.name} was made from it",
            hint="what the box has can be copied out: boxy export, boxy cp",
        )


def _config(
    base: oci.Config, settings: oci.Settings, layer: Layer, message: str, author: str
) -> oci.Config:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    line: dict[str, Any] = {"created": now, "created_by": "boxy commit"}
    line |= {"comment": message} if message else {}
    line |= {"author": author} if author else {}
    before = base.history or [{"created_by": "the image's layer"} for _ in base.rootfs.diff_ids]
    return msgspec.structs.replace(
        base, config=settings, created=now, history=[*before, line],
        rootfs=oci.RootFs([*base.rootfs.diff_ids, layer.diff_id]),
    )  # fmt: skip


# ---------------------------------------------------------------------- changes


def check(name: str, changes: Sequence[str]) -> None:
    """Raises InvalidRequest for a name or a change that makes no sense."""
    local_name(name)
    for change in changes:
        changed(oci.Settings(), change)


def changed(settings: oci.Settings, text: str) -> oci.Settings:
    """The settings after an instruction as in a Dockerfile: `CMD ["httpd", "-f"]`.

    Raises InvalidRequest.
    """
    word, _, rest = text.strip().partition(" ")
    make = _MAKE.get(word.upper())
    rest = rest.strip()
    if make is None or not rest:
        raise InvalidRequest(
            f"{text[:80]!r} is no change of an image", hint=f"there are {', '.join(INSTRUCTIONS)}"
        )
    return msgspec.structs.replace(settings, **make(settings, rest))


def _command(text: str) -> list[str]:
    if not text.startswith("["):
        return ["/bin/sh", "-c", text]
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest(f"{text[:80]!r} is no list of words", hint='as in: CMD ["sh", "-l"]')
    return words


def _pairs(text: str) -> dict[str, str]:
    """`NAME=VALUE NAME2="more words"`, or `NAME VALUE`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(
            f"{text[:80]!r} cannot be read: {error}",
            hint="boxy help commit tells what may be changed",
        ) from None
    if "=" not in words[0]:
        words = [f"{words[0]}={' '.join(words[1:])}"]
    pairs = dict(word.partition("=")[::2] for word in words)
    if "" in pairs:
        raise InvalidRequest(
            f"{text[:80]!r} has a value without a name", hint="as in ENV COLOR=blue"
        )
    return pairs


def _env(settings: oci.Settings, text: str) -> dict[str, Any]:
    env = dict(line.partition("=")[::2] for line in settings.env or ())
    return {"env": [f"{name}={value}" for name, value in (env | _pairs(text)).items()]}


def _expose(settings: oci.Settings, text: str) -> dict[str, Any]:
    ports = dict(settings.exposed_ports or {})
    for word in text.split():
        number, _, kind = word.partition("/")
        if not number.isdecimal() or not 0 < int(number) < 65536 or kind not in ("", "tcp", "udp"):
            raise InvalidRequest(f"{word[:40]!r} is no port", hint="as in: EXPOSE 80/tcp")
        ports[f"{number}/{kind or 'tcp'}"] = {}
    return {"exposed_ports": ports}


def _volume(settings: oci.Settings, text: str) -> dict[str, Any]:
    paths = _command(text) if text.startswith("[") else text.split()
    if not all(path.startswith("/") for path in paths):
        raise InvalidRequest(
            f"{text[:80]!r}: a volume is an absolute path", hint="as in VOLUME /data"
        )
    return {"volumes": {**(settings.volumes or {}), **{path: {} for path in paths}}}


def _workdir(settings: oci.Settings, text: str) -> dict[str, Any]:
    above = (settings.working_dir or "/").rstrip("/")
    return {"working_dir": text if text.startswith("/") else f"{above}/{text}"}


_MAKE: dict[str, Callable[[oci.Settings, str], dict[str, Any]]] = {
    "CMD": lambda _, text: {"cmd": _command(text)},
    "ENTRYPOINT": lambda _, text: {"entrypoint": _command(text), "cmd": None},
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": lambda settings, text: {"labels": {**(settings.labels or {}), **_pairs(text)}},
    "STOPSIGNAL": lambda _, text: {"stop_signal": text},
    "USER": lambda _, text: {"user": text},
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
