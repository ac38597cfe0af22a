"""Whether the mounts of a box make sense.  Pure."""

from __future__ import annotations

import re

from boxy_core.errors import InvalidRequest
from boxy_core.models import BoxSpec, Mount

TYPES = ("bind", "volume", "tmpfs", "image")
PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
IDS = ("auto", "owner", "keep")
VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_OF_TYPE: dict[str, tuple[str, ...]] = {
    "size": ("tmpfs",), "mode": ("tmpfs",), "exec": ("tmpfs",), "propagation": ("bind",),
    "recursive": ("bind",), "create": ("bind",), "ids": ("bind",),
    "subpath": ("volume", "image"), "copy": ("volume",), "labels": ("volume",),
}  # fmt: skip
_DEFAULTS = Mount(target="/x")


def check(spec: BoxSpec) -> None:
    """Raises InvalidRequest naming what is wrong and what would be right."""
    seen = set()
    for mount in spec.mounts:
        check_mount(mount)
        target = mount.target.rstrip("/")
        if target in seen:
            raise _wrong("target", mount.target, "it is given twice")
        seen.add(target)
    for text in spec.volumes_from:
        if not text.partition(":")[0] or text.partition(":")[2] not in ("", "ro", "rw"):
            raise InvalidRequest(f"volumes_from cannot be {text!r}", hint="as in: BOX or BOX:ro")


def check_mount(mount: Mount) -> None:
    """Raises InvalidRequest if one mount makes no sense."""
    if mount.type not in TYPES:
        raise _wrong("type", mount.type, f"it is one of {', '.join(TYPES)}")
    _check_path("target", mount.target)
    if not mount.target.strip("/"):
        raise _wrong("target", mount.target, "the box's root cannot be replaced")
    for field, types in _OF_TYPE.items():
        if mount.type not in types and getattr(mount, field) != getattr(_DEFAULTS, field):
            raise InvalidRequest(
                f"a mount of the type {mount.type} has no {field}",
                hint=f"{field} belongs to {' and '.join(types)}", field="mounts." + field,
            )  # fmt: skip
    if mount.layers:
        raise _wrong("layers", mount.layers[0], "it is filled in by the daemon")
    _check_source(mount)
    if mount.propagation not in PROPAGATIONS:
        raise _wrong("propagation", mount.propagation, f"it is one of {', '.join(PROPAGATIONS)}")
    if mount.ids not in IDS:
        raise _wrong("ids", mount.ids, f"it is one of {', '.join(IDS)}")
    if mount.size is not None and mount.size < 4096:
        raise _wrong("size", mount.size, "it is a number of bytes, at least 4096")
    if mount.mode is not None and not 0 <= mount.mode <= 0o7777:
        raise _wrong("mode", mount.mode, "it is permission bits, 0 to 0o7777")
    if mount.subpath:
        _check_path("subpath", "/" + mount.subpath.lstrip("/"))


def _check_source(mount: Mount) -> None:
    source = mount.source
    if mount.type == "bind":
        _check_path("source", source)
    elif mount.type == "volume":
        if source and not VOLUME.fullmatch(source):
            raise _wrong("source", source, VOLUME_RULE)
    elif mount.type == "tmpfs":
        if source:
            raise _wrong("source", source, "memory has no source")
    elif not source:
        raise _wrong("source", source, "it is the name of an image")


VOLUME_RULE = "a volume's name has letters, digits, and _ . - inside, at most 128"


def _check_path(field: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/") or len(path) > 4095:
        raise _wrong(field, path, "it is an absolute path without ..")


def _wrong(field: str, value: object, right: str) -> InvalidRequest:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return InvalidRequest(f"mounts.{field} cannot be {shown}", hint=right, field="mounts." + field)
