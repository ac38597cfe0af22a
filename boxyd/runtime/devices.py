"""Nodes for devices of the host in a box's own /dev.

Constraint: made by the shim as the host's root, on a file system of the host's making, since a
user namespace can neither make nodes nor use those that it made.  The kernel's device rules
(the box's cgroup) decide what may be opened; a node alone gives nothing.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COUNT = 65536
"""ids of a box; owners beyond them are nobody inside, so the node goes to the box's root"""
_OWN = frozenset({"console", "fd", "mqueue", "ptmx", "pts", "shm", "char", "block"})
"""of /dev, what each box has of its own, and names that only repeat others"""


def expanded(wanted: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Each device with its target; a folder stands for all devices below it."""
    for source, target in wanted:
        if not os.path.isdir(source):
            yield source, target
            continue
        for path in _nodes(source):
            yield path, target + path[len(source) :]


def of_host() -> Iterator[tuple[str, str]]:
    """Every device of the host but those that a box has of its own."""
    for name in sorted(os.listdir("/dev")):
        path = "/dev/" + name
        if name in _OWN or os.path.islink(path):
            continue
        nodes = _nodes(path) if os.path.isdir(path) else [path]
        yield from ((node, node) for node in nodes if _is_device(node))


def _nodes(folder: str) -> list[str]:
    found = [f"{at}/{name}" for at, _, names in os.walk(folder) for name in sorted(names)]
    return [path for path in found if not os.path.islink(path) and _is_device(path)]


def _is_device(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def make_node(dev: int, source: str, target: str, base: int) -> None:
    """A node like the host's `source` at `target` (below /dev) on the mount `dev`.

    Its owner keeps his number inside the box; a node that is there already stays.
    Raises OSError naming the source.
    """
    info = os.stat(source)
    kind = stat.S_IFMT(info.st_mode)
    if kind not in (stat.S_IFCHR, stat.S_IFBLK):
        raise OSError(errno.ENODEV, "it is not a device", source)
    folder = _folder(dev, target, base)
    name = target.rpartition("/")[2]
    before = os.umask(0)
    try:
        os.mknod(name, stat.S_IMODE(info.st_mode) | kind, info.st_rdev, dir_fd=folder)
        owner = (info.st_uid, info.st_gid)
        if base:
            owner = (base + owner[0] % COUNT, base + owner[1] % COUNT)
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return
    finally:
        os.umask(before)
        os.close(folder)


def _folder(dev: int, target: str, base: int) -> int:
    """The folder below /dev in which `target` lies, made as far as it is missing."""
    at = os.dup(dev)
    for name in target.removeprefix("/dev/").split("/")[:-1]:
        try:
            os.mkdir(name, 0o755, dir_fd=at)
            os.chown(name, base, base, dir_fd=at)
        except FileExistsError:
            pass
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        following = os.open(name, flags, dir_fd=at)
        os.close(at)
        at = following
    return at
