"""The steps that show what the user mounts in a box.  Pure."""

from __future__ import annotations

from boxy_core.models import Mount
from boxy_core.paths import Paths
from boxyd.runtime import steps


def step(mount: Mount, user: str, paths: Paths) -> steps.Step:
    """The step that makes one mount; `user` is who runs the box's command."""
    if mount.type == "tmpfs":
        return _tmpfs(mount)
    if mount.type == "volume":
        return steps.Volume(
            name=mount.source,
            source=paths.volume(mount.source) + "/data",
            target=mount.target,
            read_only=mount.read_only,
            subpath=mount.subpath.strip("/"),
            fill=mount.copy,
        )
    if mount.type == "image":
        return steps.ImageMount(
            name=mount.source, target=mount.target, layers=mount.layers,
            subpath=mount.subpath.strip("/"),
        )  # fmt: skip
    return steps.Share(
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        recursive=mount.recursive,
        propagation=mount.propagation.removeprefix("r"),
        ids=mount.ids,
        user=user,
    )


def _tmpfs(mount: Mount) -> steps.Step:
    mode = 0o1777 if mount.mode is None else mount.mode
    return steps.Tmpfs(
        target=mount.target, size=mount.size or 0, mode=f"{mode:o}", exec=mount.exec,
        read_only=mount.read_only,
    )  # fmt: skip
