"""Steps for the kernel's own file systems and for what they must not show."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct

from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps.base import (
    PLAIN,
    QUIET,
    Host,
    Inside,
    Step,
    new_filesystem,
)

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


class Proc(Step):
    """The box's own /proc, which shows the processes of its pid namespace."""

    do = "proc"
    shared: bool = False
    """the processes are the host's, and only their owner may mount a /proc that shows them"""
    _mount: int = -1

    def describe(self) -> str:
        """One line for a learner."""
        if self.shared:
            return "show the host's /proc: every process of the machine"
        return "mount a /proc that shows this box's processes only"

    def prepare(self, host: Host) -> None:
        """Copy the host's, without what is mounted on it."""
        if self.shared:
            self._mount = host.keep(sys_.open_tree("/proc"))
            sys_.mount_setattr(self._mount, add=QUIET, private=True)

    def apply(self, inside: Inside) -> None:
        """Mount it while the host's is still in sight, or the kernel refuses (EPERM)."""
        mount = os.dup(self._mount) if self.shared else new_filesystem("proc", QUIET)
        inside.attach_own(mount, "/proc")


class Sysfs(Step):
    """/sys, read-only: of the box's own network namespace, or a copy of the host's."""

    do = "sysfs"
    shared: bool = False
    """the network is the host's, and with it /sys: only its owner may mount it anew"""
    read_only: bool = True

    def describe(self) -> str:
        """One line for a learner."""
        how = ", read-only" if self.read_only else ", writable for who may"
        return "show " + ("the host's /sys" if self.shared else "a /sys of its own") + how

    def ahead(self) -> bool:
        """Unless it is the host's."""
        return not self.shared

    def apply(self, inside: Inside) -> None:
        """Mount or copy it."""
        flags = QUIET | (sys_.MOUNT_ATTR_RDONLY if self.read_only else 0)
        if self.shared:
            mount = sys_.open_tree("/sys", recursive=True)
            sys_.mount_setattr(mount, add=flags, private=True, recursive=True)
        else:
            mount = new_filesystem("sysfs", flags)
        inside.attach_own(mount, "/sys")


class Devpts(Step):
    """Pseudo-terminals of the box's own."""

    do = "devpts"

    def describe(self) -> str:
        """One line for a learner."""
        return "mount the box's own pseudo-terminals at /dev/pts"

    def apply(self, inside: Inside) -> None:
        """Mount it."""
        flags = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NOEXEC
        mount = new_filesystem(
            "devpts", flags, newinstance=None, ptmxmode="0666", mode="0620", gid="5"
        )
        inside.attach_own(mount, "/dev/pts")


class Console(Step):
    """A terminal for the main process, opened among the box's own."""

    do = "console"

    def describe(self) -> str:
        """One line for a learner."""
        return "open a terminal among the box's own; the shim keeps its other end"

    def apply(self, inside: Inside) -> None:
        """Open it by descriptors alone and show it at /dev/console, too."""
        inside.master, inside.slave = open_terminal(inside)
        number = struct.unpack("I", fcntl.ioctl(inside.master, 0x80045430, b"\0" * 4))[0]
        node = inside.open(f"/dev/pts/{number}", PLAIN)
        try:
            inside.attach(sys_.open_tree("", directory=node), "/dev/console", folder=False)
        finally:
            os.close(node)


def open_terminal(inside: Inside) -> tuple[int, int]:
    """(master, slave) of a new terminal in the box's devpts.

    The slave comes from the master itself (TIOCGPTPEER, ioctl_tty(2)), never from a path that
    somebody may have put something else at.
    """
    ptmx = sys_.openat2(inside.root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, PLAIN)
    try:
        status = os.fstat(ptmx)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(5, 2):
            raise OSError(5, "it is not the terminal multiplexer", "/dev/pts/ptmx")
        fcntl.ioctl(ptmx, _TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(ptmx, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        os.close(ptmx)
        raise
    return ptmx, slave


class Mqueue(Step):
    """POSIX message queues of the box's own IPC namespace."""

    do = "mqueue"

    def describe(self) -> str:
        """One line for a learner."""
        return "mount the box's own message queues at /dev/mqueue"

    def apply(self, inside: Inside) -> None:
        """Mount it."""
        inside.attach(new_filesystem("mqueue", QUIET), "/dev/mqueue")


class Cgroupfs(Step):
    """The box's own cgroup, to look at only."""

    do = "cgroupfs"
    folders: dict[str, str]
    """place below /sys/fs/cgroup ("" is that folder itself) -> the cgroup on the host"""
    read_only: bool = True
    _mounts: dict[str, int] = {}  # noqa: RUF012

    def describe(self) -> str:
        """One line for a learner."""
        how = "read-only" if self.read_only else "writable for who may"
        return f"show the box its own cgroup at /sys/fs/cgroup, {how}"

    def prepare(self, host: Host) -> None:
        """Copy the mounts of just these folders."""
        host.await_cgroup()
        self._mounts = {}
        for place, folder in self.folders.items():
            mount = host.keep(sys_.open_tree(folder))
            flags = QUIET | (sys_.MOUNT_ATTR_RDONLY if self.read_only else 0)
            sys_.mount_setattr(mount, add=flags, private=True)
            self._mounts[place] = mount

    def apply(self, inside: Inside) -> None:
        """Attach them; several hierarchies stand in a small folder of memory."""
        if set(self._mounts) == {""}:
            inside.attach(os.dup(self._mounts[""]), "/sys/fs/cgroup", resolve=PLAIN)
            return
        tmpfs = new_filesystem("tmpfs", QUIET, mode="755", size="64k")
        inside.attach(tmpfs, "/sys/fs/cgroup", resolve=PLAIN)
        folder = inside.open("/sys/fs/cgroup", PLAIN)
        for place, mount in self._mounts.items():
            os.mkdir(place, 0o755, dir_fd=folder)  # the folder is new: nothing can be there
            target = sys_.openat2(folder, place, os.O_PATH, PLAIN)
            sys_.move_mount(mount, "", directory=target)
            os.close(target)
            for name in place.split(",") if "," in place else ():
                os.symlink(place, name, dir_fd=folder)
        sys_.mount_setattr(folder, add=sys_.MOUNT_ATTR_RDONLY)
        os.close(folder)


class Mask(Step):
    """Files and folders of the kernel that tell of the host are hidden."""

    do = "mask"
    paths: list[str]

    def describe(self) -> str:
        """One line for a learner."""
        return (
            f"hide {len(self.paths)} places that tell of the host: {', '.join(self.paths[:3])} ..."
        )

    def ahead(self) -> bool:
        """If all is below /sys: a /proc is mounted by a process of its box."""
        return all(path.startswith("/sys/") for path in self.paths)

    def files(self) -> int:
        """How many files there are to cover, as far as the host's /proc tells."""
        found = [path for path in self.paths if os.path.exists(path)]
        return sum(not os.path.isdir(path) for path in found)

    def apply(self, inside: Inside) -> None:
        """Cover each: a folder by an empty one, a file by the box's null device.

        What covers, and the /proc or /sys below which it is put, are descriptors whose identity
        was checked, and below them are the kernel's names alone; so nothing in the image can
        make it cover the wrong thing (CVE-2025-31133).
        """
        covers = _Covers(_null(inside), inside.covers)
        for top in ("/proc", "/sys"):
            below = [path[len(top) + 1 :] for path in self.paths if path.startswith(top + "/")]
            if below:
                fd = _top(inside, top)
                for path in below:
                    covers.put(fd, path, folder=top == "/sys")
                os.close(fd)
        covers.close()


def covers(inside: Inside, count: int) -> list[int]:
    """So many mounts of the box's null device, for masks to come (`Inside.covers`)."""
    null = _null(inside)
    try:
        return [sys_.open_tree("", directory=null) for _ in range(count)]
    finally:
        os.close(null)


def _null(inside: Inside) -> int:
    """The box's null device, and nothing that the image put in its place."""
    null = inside.open("/dev/null", PLAIN)
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(1, 3):
        raise OSError(5, "it is not the null device", "/dev/null")
    return null


def _top(inside: Inside, path: str) -> int:
    """An O_PATH fd of the box's /proc or /sys, proven to be the one that was attached there."""
    fd = inside.open(path, PLAIN)
    if os.fstat(fd).st_dev != inside.devices.get(path):
        os.close(fd)
        raise OSError(5, "it is not the kernel's", path)
    return fd


class _Covers:
    """Mounts to be put over files and folders: after the first of a kind further ones of that,
    which cost a third of a new one.  `null` is closed at the end, of the covers of files that
    are `made` those that are used."""

    def __init__(self, null: int, made: list[int]) -> None:
        self._models = [null, -1]
        self._spare = [-1, -1]
        self._made = made

    def close(self) -> None:
        """Close what is left."""
        for fd in {*self._models, *self._spare} - {-1}:
            os.close(fd)

    def put(self, top: int, path: str, *, folder: bool) -> None:
        """Cover `path` below the open `top`, if it is there; `folder` is a guess."""
        for kind in (folder, not folder):
            cover = self._spare[kind]
            if cover < 0:
                cover = self._spare[kind] = self._another(kind)
            try:
                sys_.move_mount(cover, path, directory=top)
            except FileNotFoundError:
                return  # the cover is for the next one
            except OSError as error:
                if error.errno != errno.EINVAL or kind != folder:
                    raise
            else:
                self._used(kind)
                return

    def _another(self, folder: bool) -> int:
        if self._made and not folder:
            return self._made.pop()
        if self._models[folder] >= 0:
            return sys_.open_tree("", directory=self._models[folder])
        flags = QUIET | sys_.MOUNT_ATTR_RDONLY
        return new_filesystem("tmpfs", flags, size="0", nr_inodes="1", uid="0", gid="0")

    def _used(self, folder: bool) -> None:
        cover, self._spare[folder] = self._spare[folder], -1
        if self._models[folder] < 0:
            self._models[folder] = cover
        else:
            os.close(cover)


class Readonly(Step):
    """Parts of /proc that change the whole kernel become read-only."""

    do = "readonly"
    paths: list[str]

    def describe(self) -> str:
        """One line for a learner."""
        return f"make {', '.join(self.paths)} read-only"

    def apply(self, inside: Inside) -> None:
        """Cover each with a read-only copy of itself."""
        for path in self.paths:
            target = _of_kernel(inside, path)
            if target < 0:
                continue
            copy = sys_.open_tree("", directory=target, recursive=True)
            flags = QUIET | sys_.MOUNT_ATTR_RDONLY
            sys_.mount_setattr(copy, add=flags, recursive=True)
            sys_.move_mount(copy, "", directory=target)
            os.close(copy)
            os.close(target)


def _of_kernel(inside: Inside, path: str) -> int:
    """An O_PATH fd of `path`, proven to lie in the box's own /proc or /sys; -1: it is not there."""
    top = path[: path.index("/", 1)]
    try:
        fd = inside.open(path, PLAIN)
    except FileNotFoundError:
        return -1
    if top == "/proc" and os.fstat(fd).st_dev != inside.devices.get(top):
        os.close(fd)
        raise OSError(5, "it is not the kernel's", path)
    return fd


class Hostname(Step):
    """A host name of the box's own."""

    do = "hostname"
    name: str

    def describe(self) -> str:
        """One line for a learner."""
        return f"name the machine {self.name} (in a UTS namespace of its own)"

    def apply(self, inside: Inside) -> None:
        """sethostname(2)."""
        sys_.set_hostname(self.name)


class Loopback(Step):
    """127.0.0.1 works in the box's own network namespace."""

    do = "loopback"

    def describe(self) -> str:
        """One line for a learner."""
        return "bring up the loopback of a network namespace of its own"

    def ahead(self) -> bool:
        """Always."""
        return True

    def apply(self, inside: Inside) -> None:
        """Set IFF_UP (netdevice(7))."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
            flags = struct.unpack("16sh14x", answer)[1] | _IFF_UP
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


class Sysctl(Step):
    """Kernel settings of the box's own namespaces."""

    do = "sysctl"
    values: dict[str, str]

    def describe(self) -> str:
        """One line for a learner."""
        return "set " + ", ".join(f"{key}={value}" for key, value in self.values.items())

    def apply(self, inside: Inside) -> None:
        """Write each below the box's /proc/sys."""
        for key, value in self.values.items():
            if key == "kernel.domainname":  # the file belongs to the machine's root
                sys_.set_domainname(value)
                continue
            try:
                path = "/proc/sys/" + key.replace(".", "/")
                fd = sys_.openat2(inside.root, path, os.O_WRONLY, PLAIN)
                try:
                    os.write(fd, value.encode())
                finally:
                    os.close(fd)
            except OSError as error:
                raise OSError(error.errno, str(error.strerror), key) from None
