"""Steps that make the box's file tree: layers, devices, folders and files of the host."""

from __future__ import annotations

import errno
import os
import stat

from boxyd.runtime import devices, quota, share, stage
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps.base import Host, Inside, Step, new_filesystem

SHM = "/dev/shm"
STAGE = "/dev"
"""Where the new root stands until it becomes `/`: a folder that every host lets anyone enter.
Only the box's own mount namespace sees it there."""


class Overlay(Step):
    """The layers of the image below, the box's own writable layer above (overlayfs)."""

    do = "overlay"
    lowers: list[str]
    """lowest first"""
    upper: str
    work: str
    volatile: bool = False
    """nothing is ever flushed to disk: for boxes that are removed when they end"""
    by_path: bool = False
    """Linux before 6.15 takes layers by path only: they stand on a stage of their own"""
    project: int = 0
    """the number under which the disk counts the writable layer (quota); 0: it does not"""
    limit: int = 0
    """bytes that the writable layer may take; 0: no limit"""
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        count = len(self.lowers)
        layers = f"{count} read-only layer" + ("s" if count != 1 else "")
        bound = f" of {self.limit >> 20} MiB at most (project quota)" if self.limit else ""
        return f"lay {layers} under the box's own writable one{bound}, {self.upper} (overlayfs)"

    def prepare(self, host: Host) -> None:
        """Make the mount, attached nowhere, its layers' ids mapped to the box's."""
        self._make_folders()
        build = stage.overlay_by_path if self.by_path else stage.overlay
        try:
            mount = build(self.lowers, self.upper, self.work, host.userns, self.volatile)
        except OSError as error:
            raise OSError(error.errno, str(error.strerror), self.upper) from None
        self._mount = host.root = mount

    def _make_folders(self) -> None:
        """The writable layer's top is the root of the box: it looks as the image's does."""
        if not os.path.isdir(self.work):
            os.makedirs(self.work, mode=0o700)
            self._count(self.work)
        self._forget_volatile()
        if not os.path.isdir(self.upper):
            like = os.stat(self.lowers[-1])
            os.mkdir(self.upper, 0o700)
            os.chown(self.upper, like.st_uid, like.st_gid)
            os.chmod(self.upper, stat.S_IMODE(like.st_mode))
            self._count(self.upper)
        if self.project and self.limit:
            quota.limit(self.upper, self.project, self.limit)

    def _count(self, folder: str) -> None:
        if self.project:
            quota.mark(folder, self.project)

    def _forget_volatile(self) -> None:
        """Remove the mark of an earlier volatile mount, which would forbid another one: it
        warns of a crash of the host, after which these boxes are not started again."""
        mark = self.work + "/work/incompat"
        for remove, path in (
            (os.unlink, mark + "/volatile/dirty"),
            (os.rmdir, mark + "/volatile"),
            (os.rmdir, mark),
        ):
            try:
                remove(path)
            except OSError:
                continue

    def apply(self, inside: Inside) -> None:
        """Attach it, seen by this mount namespace alone."""
        sys_.make_private("/")
        sys_.move_mount(self._mount, STAGE)
        os.chdir(STAGE)
        inside.root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class Dev(Step):
    """A minimal /dev of the box's own."""

    do = "dev"
    devices: list[list[str]] = []  # noqa: RUF012
    """further ones: [where the host has it, where the box is to have it], a folder for all in it"""
    whole: bool = False
    """every device of the host"""
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        if self.whole:
            return "make a /dev with every device of the host"
        names = ", ".join(name for name, _, _ in stage.DEVICES)
        more = "".join(f", the host's {source}" for source, _ in self.devices)
        return f"make a /dev with nothing but {names}{more} and the usual links"

    def ahead(self) -> bool:
        """If it has none of the host's devices."""
        return not (self.devices or self.whole)

    def prepare(self, host: Host) -> None:
        """Make it as the host's root, who alone may make device nodes."""
        self._mount = host.keep(host.dev if host.dev >= 0 else stage.dev(host.base))
        wanted = devices.of_host() if self.whole else devices.expanded(self.devices)
        for source, target in wanted:
            devices.make_node(self._mount, source, target, host.base)

    def apply(self, inside: Inside) -> None:
        """Attach it."""
        inside.attach_own(os.dup(self._mount), "/dev")


class Bind(Step):
    """A file or folder of the host, seen in the box."""

    do = "bind"
    source: str
    target: str
    read_only: bool = False
    recursive: bool = True
    optional: bool = False
    """skipped when the source is not there"""
    map_ids: bool = True
    """files keep their numbers (0 is the box's root); False: they belong to nobody"""
    _mount: int = -1
    _folder: bool = True

    def describe(self) -> str:
        """One line for a learner."""
        how = "read-only" if self.read_only else "writable"
        return f"show the host's {self.source} at {self.target}, {how}"

    def prepare(self, host: Host) -> None:
        """Copy the mount of the source, set its attributes before anyone sees it."""
        try:
            mount = sys_.open_tree(self.source, recursive=self.recursive)
        except FileNotFoundError:
            if self.optional:
                return
            raise
        self._mount = host.keep(mount)
        self._folder = stat.S_ISDIR(os.fstat(mount).st_mode)
        flags = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV
        flags |= sys_.MOUNT_ATTR_RDONLY if self.read_only else 0
        sys_.mount_setattr(mount, add=flags, private=True, recursive=self.recursive)
        if self.map_ids and host.userns >= 0:
            self._map(mount, host)

    def _map(self, mount: int, host: Host) -> None:
        try:
            sys_.mount_setattr(mount, userns=host.userns, recursive=self.recursive)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP}:
                raise
            host.notices.append(
                f"{self.source} is on a file system whose ids cannot be mapped: its files "
                "belong to nobody inside the box"
            )

    def apply(self, inside: Inside) -> None:
        """Attach it; the target is looked up inside the box's root only."""
        if self._mount >= 0:
            inside.attach_users(os.dup(self._mount), self.target, folder=self._folder)


class File(Step):
    """A small file of the host's making: /etc/hosts and its like."""

    do = "file"
    source: str
    """where it is kept, so that it can be changed while the box runs"""
    target: str
    text: str
    read_only: bool = False
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        lines = len(self.text.splitlines())
        return f"put a {self.target} of {lines} line{'' if lines == 1 else 's'} in place"

    def prepare(self, host: Host) -> None:
        """Write it, owned by the box's root, and copy its mount."""
        os.makedirs(os.path.dirname(self.source), mode=0o700, exist_ok=True)
        if os.path.lexists(self.source):  # truncating would have ext4 flush it to disk at once
            os.unlink(self.source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.source, flags, 0o644)
        try:
            os.fchown(fd, host.base, host.base)
            os.fchmod(fd, 0o644)
            os.write(fd, self.text.encode())
        finally:
            os.close(fd)
        self._mount = host.keep(sys_.open_tree(self.source))
        flags = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV | sys_.MOUNT_ATTR_NOEXEC
        flags |= sys_.MOUNT_ATTR_RDONLY if self.read_only else 0
        sys_.mount_setattr(self._mount, add=flags, private=True)

    def apply(self, inside: Inside) -> None:
        """Attach it."""
        inside.attach_users(os.dup(self._mount), self.target, folder=False)


class Tmpfs(Step):
    """A file system in memory."""

    do = "tmpfs"
    target: str
    size: int = 0
    """bytes; 0: half of the host's memory"""
    mode: str = "1777"
    exec: bool = False
    read_only: bool = False

    def describe(self) -> str:
        """One line for a learner."""
        amount = f"{max(1, self.size >> 20)} MiB of memory" if self.size else "memory"
        how = ", read-only" if self.read_only else ""
        return f"mount {amount} at {self.target}{how}"

    def ahead(self) -> bool:
        """If no image can have led its place elsewhere."""
        return self.target == SHM

    def apply(self, inside: Inside) -> None:
        """Mount it; the image may have led its place elsewhere, but not out of the box."""
        flags = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV
        flags |= 0 if self.exec else sys_.MOUNT_ATTR_NOEXEC
        flags |= sys_.MOUNT_ATTR_RDONLY if self.read_only else 0
        options = {"size": str(self.size)} if self.size else {}
        mount = new_filesystem("tmpfs", flags, mode=self.mode, uid="0", gid="0", **options)
        inside.attach_users(mount, self.target, folder=True)


class SharedShm(Step):
    """The shared memory of another box, whose IPC namespace is shared, too."""

    do = "shared_shm"
    pid: int
    start_time: int
    """of the other box's main process; both, so that no pid is mistaken"""
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        return f"show the /dev/shm of the box of process {self.pid}"

    def prepare(self, host: Host) -> None:
        """Copy the other box's mount."""
        self._mount = host.keep(share.shared_memory(self.pid, self.start_time))

    def apply(self, inside: Inside) -> None:
        """Attach it."""
        inside.attach_users(os.dup(self._mount), "/dev/shm", folder=True)


class ReadonlyRoot(Step):
    """The root itself becomes read-only; mounts on it stay as they are."""

    do = "readonly_root"

    def describe(self) -> str:
        """One line for a learner."""
        return "make the root file system read-only"

    def apply(self, inside: Inside) -> None:
        """Set the attribute on the root's mount."""
        sys_.mount_setattr(inside.root, add=sys_.MOUNT_ATTR_RDONLY)


class Pivot(Step):
    """The tree becomes `/`, and the host's is let go."""

    do = "pivot"

    def describe(self) -> str:
        """One line for a learner."""
        return "make this tree the root (pivot_root) and detach the host's"

    def apply(self, inside: Inside) -> None:
        """pivot_root(2), "pivot_root(".", ".")": the old root lies below and is detached."""
        os.fchdir(inside.root)
        sys_.pivot_root(".", ".")
        sys_.umount(".")
        os.chdir("/")
        os.close(inside.root)
        inside.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
