"""Where an image's root file system comes from, decided from its folder.

    Tree      a folder of files beside image.json, used where it is
    Archive   a file beside image.json, or one downloaded earlier
    Download  an archive that has to be fetched first
    Made      a small tree that code makes from this machine (host.py, busybox.py)

Constraint: `find` is on the path of every start of a box, so it costs a listing and a few
stats; only `opened` reads. A symlink in an image folder is followed only where nobody but root
can have put it: else it would lend the daemon's eyes to whoever wrote it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Callable
from typing import NamedTuple

from boxy_core.errors import ImageError
from boxy_core.image import busybox, host, skeleton
from boxy_core.image.folder import MADE_HERE, Folder, RootFs, foreign, sha256_hex, stamp, trusted
from boxy_core.image.folder import url_file as file_of
from boxy_core.models import Mount

SUFFIXES = (
    ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst", ".tzst",
)  # fmt: skip
TREE = "rootfs"

Identity = list[int | str]
"""What changes when the source does; compared with the record of the last unpacking."""


class Tree(NamedTuple):
    """An unpacked root file system."""

    path: str

    def identity(self) -> Identity:
        """Its place; what lies in it may change at any time."""
        return ["tree", self.path, *stamp(os.stat(self.path))[2:]]


class Archive(NamedTuple):
    """An archive; `sha256` is what image.json asks of it, or ""."""

    path: str
    sha256: str = ""

    def identity(self) -> Identity:
        """Path and stamp, and the digest asked for: a corrected one means looking again."""
        return ["archive", self.path, self.sha256, *stamp(os.stat(self.path))]

    def opened(self) -> int:
        """A descriptor to read it from."""
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise ImageError(
                f"{self.path} is not a regular file",
                hint="point image.json's rootfs to an archive or a folder",
            )
        return fd


class Download(NamedTuple):
    """An archive to be fetched to `target`."""

    url: str
    sha256: str
    target: str


class Made(NamedTuple):
    """A tree that code makes; `mounts` are the parts of the machine that belong to it."""

    name: str
    key: Identity
    items: Callable[[], list[skeleton.Item]]
    mounts: list[Mount]

    def identity(self) -> Identity:
        """A hash of all that it is made from."""
        return ["made", self.name, *self.key]

    def opened(self) -> int:
        """A descriptor of the tree as an archive, in memory."""
        fd = os.memfd_create(f"boxy-{self.name}", os.MFD_CLOEXEC)
        with open(fd, "wb", closefd=False) as file:
            file.write(skeleton.archive(self.items()))
        return fd


Source = Tree | Archive | Download | Made


def find(folder: Folder, downloads: str) -> Source:
    """The source of an image; `downloads` is where fetched archives are kept.

    Raises:
        ImageError: there is none, or more than one; the hint says what to do.
    """
    origin = folder.config.origin
    reason = foreign(origin)
    if reason:
        raise ImageError(
            f"{folder.path}: {reason}", hint="put an archive for this machine in its place"
        )
    if origin.how in MADE_HERE:
        return _made(origin.how)
    beside = _beside(folder, origin)
    if beside is not None:
        return beside
    if origin.url:
        target = f"{downloads}/{folder.name}/{origin.file or file_of(origin.url)}"
        if os.path.isfile(target):
            return Archive(target, sha256_hex(origin.sha256))
        return Download(origin.url, sha256_hex(origin.sha256), target)
    raise _missing(folder, origin)


def _made(how: str) -> Made:
    if how == "host":
        facts = host.read_facts()
        key: Identity = [skeleton.digest(host.items(facts))]
        return Made("host", key, lambda: host.items(facts), host.mounts(facts))
    program = busybox.find()
    if not program:
        raise ImageError("this machine has no static busybox", hint=busybox.HINT, unmade=True)
    now = stamp(os.stat(program))
    return Made("busybox", [program, *now], lambda: busybox.items(program), [])


def _beside(folder: Folder, origin: RootFs) -> Tree | Archive | None:
    """What lies in the image folder itself."""
    named = origin.file or (file_of(origin.url) if origin.url else "")
    if named and os.path.lexists(f"{folder.path}/{named}"):
        return _checked(folder, named, sha256_hex(origin.sha256))
    if origin.file and not origin.url and not origin.how:
        raise ImageError(
            f"{folder.path}/image.json: field `rootfs`: {origin.file!r} is not there",
            hint=f"put the archive at {folder.path}/{origin.file}",
        )
    try:
        found = sorted(name for name in os.listdir(folder.path) if name.endswith(SUFFIXES))
    except OSError as error:
        raise ImageError(
            f"{folder.path} cannot be read: {error.strerror}",
            hint="the daemon's root must be able to read it",
        ) from None
    if os.path.lexists(f"{folder.path}/{TREE}"):
        found.append(TREE)
    if len(found) > 1:
        raise ImageError(
            f"{folder.path} holds several root file systems: {', '.join(found[:8])}",
            hint='say which one in image.json: "rootfs": "NAME"',
        )
    return _checked(folder, found[0], "") if found else None


def _checked(folder: Folder, name: str, sha256: str) -> Tree | Archive:
    """The file or folder `name` in the image folder as a source."""
    path = f"{folder.path}/{name}"
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        if not trusted(folder.path):
            raise ImageError(
                f"{path} is a symlink in a folder that others than root may write",
                hint="put the file itself there, or give the folder to root (chown -R root)",
            )
        with contextlib.suppress(OSError):
            path = os.path.realpath(path)
            found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        return Tree(path)
    if stat.S_ISREG(found.st_mode):
        return Archive(path, sha256)
    raise ImageError(
        f"{path} is neither a file nor a folder",
        hint="point image.json's rootfs to an archive or a folder",
    )


def _missing(folder: Folder, origin: RootFs) -> ImageError:
    """No root file system: what to do about it."""
    place = shlex.quote(folder.path)
    if origin.how:
        hint = f"make it, as root: cd {place} && {origin.how}"
    else:
        hint = f"put an archive ({', '.join(SUFFIXES[:4])}, ...) or a folder `rootfs` in {place}"
    return ImageError(
        f"the image {folder.name!r} has no root file system yet", hint=hint, unmade=True
    )
