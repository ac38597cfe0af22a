"""Steps that show files from outside the box in it: folders of the host, volumes, images.

Constraint: a source is opened once, as a descriptor, through no symlink (its path was resolved
before, and what a box could have put there since is refused); the mount is made of that
descriptor and gets its attributes while it stands nowhere.  A target is looked up inside the
box's root alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from boxyd.runtime import copytree, idmaps, mountinfo, stage, users
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps.base import IN_ROOT, PLAIN, Host, Inside, Step, is_folder

_STRAIGHT = sys_.RESOLVE_NO_SYMLINKS | sys_.RESOLVE_NO_MAGICLINKS
_PASSED = {"slave": sys_.MS_SLAVE, "shared": sys_.MS_SHARED}
_UNMAPPABLE = {errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP}


class Share(Step):
    """A file or folder of the host, with what is mounted below it."""

    do = "share"
    source: str
    """an absolute path without symlinks"""
    target: str
    read_only: bool = False
    recursive: bool = True
    propagation: str = "private"
    """private, slave, shared: whether later mounts pass between host and box"""
    ids: str = "auto"
    """auto, owner, keep: see boxyd.runtime.idmaps"""
    user: str = ""
    """whom the owner's files are to belong to: the box's user, by name or number"""
    _copies: list[tuple[str, int]] = []  # noqa: RUF012
    """places below the target, "" is itself, and the mounts that belong there"""

    def describe(self) -> str:
        """One line for a learner."""
        how = "read-only" if self.read_only else "writable"
        whose = "" if self.ids == "keep" else ", its owner's files being the box's user's"
        return f"show the host's {self.source} at {self.target}, {how}{whose}"

    def prepare(self, host: Host) -> None:
        """Copy the mounts of the source, set their attributes before anyone sees them."""
        fd = self._open()
        try:
            lines = mountinfo.read()
            self._check_passing(lines)
            inner = mountinfo.below(lines, self.source) if self.recursive and is_folder(fd) else []
            userns = self._namespace(host, fd)
            whole = not any(line.kind == "nsfs" for line in inner)
            copies = [("", sys_.open_tree("", directory=fd, recursive=bool(inner and whole)))]
            if not (whole and self._map(copies, userns, recursive=bool(inner))):
                if inner:
                    os.close(copies[0][1])
                    whole = False
                    pieces = self._pieces(host, fd, inner)
                    copies = [("", sys_.open_tree("", directory=fd)), *pieces]
                self._map_each(copies, userns, host)
        finally:
            os.close(fd)
        self._copies = [(place, host.keep(mount)) for place, mount in copies]
        for _, mount in copies:
            self._restrict(mount, recursive=bool(inner and whole))

    def _open(self) -> int:
        try:
            return sys_.openat2(sys_.AT_FDCWD, self.source, os.O_PATH, _STRAIGHT)
        except OSError as error:
            if error.errno == errno.ELOOP:
                text = "a symlink has been put there since its path was looked up"
                raise OSError(error.errno, text, self.source) from None
            raise OSError(error.errno, os.strerror(error.errno or 0), self.source) from None

    def _check_passing(self, lines: list[mountinfo.Line]) -> None:
        """The kernel would take a propagation that has no one to come from, and do nothing."""
        if self.propagation == "private":
            return
        holder = mountinfo.holding(lines, self.source)
        if holder is None or holder.shared or (holder.slave and self.propagation == "slave"):
            return
        text = f"it lies on {holder.place}, which shares no mounts (mount --make-shared does)"
        raise OSError(errno.EINVAL, text, self.source)

    def _namespace(self, host: Host, fd: int) -> int:
        """The user namespace whose map the mounts get; -1: none is needed."""
        status = os.fstat(fd)
        if self.ids == "keep" or (self.ids == "auto" and status.st_uid == 0):
            return host.userns
        uid, gid = self._user(host)
        if host.userns < 0 and (uid, gid) == (status.st_uid, status.st_gid):
            return -1
        groups = idmaps.owners(status.st_gid, gid) if status.st_gid else idmaps.same()
        uids = idmaps.text(idmaps.owners(status.st_uid, uid), host.base)
        return host.keep(idmaps.namespace(uids, idmaps.text(groups, host.base)))

    def _user(self, host: Host) -> tuple[int, int]:
        """The numbers of the box's user, by its own files; root's where they do not tell."""
        if self.user in {"", "0", "root"} or host.root < 0:
            return 0, 0
        files = [_openable(host.root, path) for path in (users.PASSWD, users.GROUP)]
        try:
            paths = [f"/proc/self/fd/{fd}" if fd >= 0 else "/dev/null" for fd in files]
            found = users.resolve(self.user, *paths)
        except users.UnknownUserError:
            return 0, 0  # the step that becomes the user says what is wrong
        finally:
            for fd in files:
                if fd >= 0:
                    os.close(fd)
        return found.uid, found.gid

    def _pieces(self, host: Host, fd: int, inner: list[mountinfo.Line]) -> list[tuple[str, int]]:
        """The mounts below, one by one, without those that cannot be shown in a box.

        A namespace bound to a file (nsfs) would have the kernel refuse the whole with ELOOP.
        """
        pieces = []
        start = len(self.source.rstrip("/")) + 1
        hidden = [line.place for line in inner if line.kind == "nsfs"]
        for line in inner:
            if line.kind == "nsfs":
                continue
            place = line.place[start:]
            try:
                at = sys_.openat2(fd, place, os.O_PATH, sys_.RESOLVE_NO_SYMLINKS)
            except OSError:
                continue  # unmounted meanwhile, or another mount hides it
            pieces.append((place, sys_.open_tree("", directory=at)))
            os.close(at)
        if hidden:
            more = f" and {len(hidden) - 1} more" if len(hidden) > 1 else ""
            host.notices.append(
                f"{self.source} holds namespaces that are bound to files ({hidden[0]}{more}); "
                "the box sees these files empty"
            )
        return pieces

    def _map_each(self, copies: list[tuple[str, int]], userns: int, host: Host) -> None:
        for place, mount in copies:
            if not self._map([(place, mount)], userns, recursive=False):
                path = f"{self.source}/{place}".rstrip("/")
                host.notices.append(
                    f"{path} is on a file system whose ids cannot be mapped (id-mapped mounts): "
                    "its files belong to nobody inside the box, and are written only where "
                    "everyone may; --userns host shows them as they are"
                )

    def _map(self, copies: list[tuple[str, int]], userns: int, *, recursive: bool) -> bool:
        if userns < 0:
            return True
        try:
            for _, mount in copies:
                sys_.mount_setattr(mount, userns=userns, recursive=recursive)
        except OSError as error:
            if error.errno not in _UNMAPPABLE:
                raise
            return False
        return True

    def _restrict(self, mount: int, *, recursive: bool) -> None:
        flags = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV
        flags |= sys_.MOUNT_ATTR_RDONLY if self.read_only else 0
        passed = _PASSED.get(self.propagation, 0)
        sys_.mount_setattr(
            mount, add=flags, private=not passed, propagation=passed, recursive=recursive
        )

    def apply(self, inside: Inside) -> None:
        """Attach them; the target is looked up inside the box's root only."""
        for place, mount in self._copies:
            folder = is_folder(mount)
            if not place:
                inside.attach_users(os.dup(mount), self.target, folder=folder)
                continue
            inside.attach(os.dup(mount), f"{self.target}/{place}", folder=folder, resolve=PLAIN)


def _openable(root: int, path: str) -> int:
    """An O_PATH fd of a file in the box that is an ordinary one; -1: it is none."""
    try:
        fd = sys_.openat2(root, path, os.O_PATH, IN_ROOT)
    except OSError:
        return -1
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return -1


class Volume(Share):
    """A volume of Boxy's; its files keep their numbers, as those of an image do."""

    do = "volume"
    name: str
    subpath: str = ""
    fill: bool = True
    """an empty one gets what the image has at the target"""
    ids: str = "keep"

    def describe(self) -> str:
        """One line for a learner."""
        how = "read-only" if self.read_only else "writable"
        part = f", of it {self.subpath}" if self.subpath else ""
        return f"show the volume {self.name}{part} at {self.target}, {how}"

    def prepare(self, host: Host) -> None:
        """Fill it if it is new, then as any folder of the host."""
        if self.fill and not self.subpath and host.root >= 0:
            self._fill(host)
        super().prepare(host)

    def _open(self) -> int:
        top = super()._open()
        if not self.subpath:
            return top
        try:
            inside = sys_.RESOLVE_IN_ROOT | _STRAIGHT
            return sys_.openat2(top, self.subpath, os.O_PATH, inside)
        except OSError as error:
            place = f"{self.name}:{self.subpath}"
            raise OSError(error.errno, os.strerror(error.errno or 0), place) from None
        finally:
            os.close(top)

    def _fill(self, host: Host) -> None:
        """Copy what the image has at the target, as Docker does; boxes that start at the same
        moment wait for the first."""
        top = super()._open()
        lock = os.open(os.path.dirname(self.source), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            mount = sys_.open_tree("", directory=top)
            host.keep(mount)
            if host.userns >= 0:
                sys_.mount_setattr(mount, userns=host.userns)
            into = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
            try:
                if not os.listdir(into):
                    _copy_from(host.root, self.target, into)
            finally:
                os.close(into)
        finally:
            os.close(lock)
            os.close(top)


def _copy_from(root: int, path: str, into: int) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        source = sys_.openat2(root, path, flags, IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        copytree.copy_tree(source, into)
    finally:
        os.close(source)


class ImageMount(Step):
    """The files of an image, read-only."""

    do = "image_mount"
    name: str
    target: str
    layers: list[str]
    """unpacked trees, lowest first"""
    subpath: str = ""
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        part = f"{self.subpath} of " if self.subpath else ""
        return f"show {part}the image {self.name} at {self.target}, read-only"

    def prepare(self, host: Host) -> None:
        """One layer is a mount by itself; of several overlayfs makes one."""
        if len(self.layers) == 1:
            top = stage.layer(self.layers[0], host.userns)
        else:
            top = stage.read_only_overlay(self.layers, host.userns)
        flags = sys_.MOUNT_ATTR_RDONLY | sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV
        sys_.mount_setattr(top, add=flags, private=True)
        self._mount = host.keep(top)

    def apply(self, inside: Inside) -> None:
        """Attach it; of a part of it a further mount, over the whole."""
        if not self.subpath:
            inside.attach_users(os.dup(self._mount), self.target, folder=is_folder(self._mount))
            return
        within = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._mount)
        try:
            part = sys_.openat2(within, self.subpath, os.O_PATH, IN_ROOT)
        except OSError as error:
            place = f"{self.name}:{self.subpath}"
            raise OSError(error.errno, os.strerror(error.errno or 0), place) from None
        finally:
            os.close(within)
        folder = is_folder(part)
        os.close(part)
        if not folder:
            raise OSError(errno.ENOTDIR, "only a folder of an image can be shown", self.subpath)
        inside.attach_users(os.dup(self._mount), self.target, folder=True)
        path = f"{self.target}/{self.subpath}"
        part = inside.open(path)
        inside.attach_users(sys_.open_tree("", directory=part), self.target, folder=True)
        os.close(part)
