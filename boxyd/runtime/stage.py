"""Mounts that the shim makes in the host's namespaces and that stand nowhere: detached fds.

Constraint: nothing here appears in the host's mount table.  `overlay` needs Linux 6.15 (layers
given as descriptors of detached mounts); `overlay_by_path` does without.
"""

from __future__ import annotations

import array
import os
import socket
import stat

from boxyd.runtime import syscalls as sys_

DEVICES = (
    ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
    ("tty", 5, 0),
)  # fmt: skip
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_FOLDERS = ("pts", "shm", "mqueue")
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
IDS = 1 << 16
"""ids of a box, as the daemon gives them"""


def user_namespace(id_map: list[list[int]]) -> int:
    """A user namespace with this map for uids and gids, as an fd (user_namespaces(7)).

    It also maps the host's root, as the id behind the box's last: overlayfs makes files as
    the one who mounted it before it gives them away, and without a number for him the upper
    layer is silently read-only.
    """
    first, base, count = id_map[0]
    text = f"{first} {base} {count}\n{first + count} 0 1\n"
    holder = sys_.Parked(sys_.CLONE_NEWUSER)
    try:
        write_maps(holder.pid, text)
        return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        holder.end()


class Ahead:
    """What a box whose ids begin at `base` needs and no plan changes, made before it is asked
    for.  Raises OSError."""

    __slots__ = ("dev", "id_map", "userns")

    def __init__(self, base: int) -> None:
        self.id_map = [[0, base, IDS]]
        self.userns = user_namespace(self.id_map)
        self.dev = dev(base)

    def close(self) -> None:
        """Nobody needs it."""
        for fd in (self.userns, self.dev):
            if fd >= 0:
                os.close(fd)


def write_maps(pid: int, text: str) -> None:
    """Write both id maps of the process's user namespace."""
    for name in ("uid_map", "gid_map"):
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def layer(path: str, userns: int) -> int:
    """A detached, private, read-only copy of the mount at `path`, ids mapped."""
    mount = sys_.open_tree(path)
    flags = sys_.MOUNT_ATTR_RDONLY | sys_.MOUNT_ATTR_NODEV
    sys_.mount_setattr(mount, add=flags, private=True, userns=userns)
    return mount


def _writable(upper: str, work: str, userns: int) -> tuple[int, int, int]:
    """The mount that both folders stand on, and an fd of each: they must share one mount."""
    parent = os.path.dirname(upper)
    mount = sys_.open_tree(parent)
    sys_.mount_setattr(mount, add=sys_.MOUNT_ATTR_NODEV, private=True, userns=userns)
    names = os.path.relpath(upper, parent), os.path.relpath(work, parent)
    return mount, *(os.open(name, _FOLDER, dir_fd=mount) for name in names)  # type: ignore[return-value]


def overlay(lowers: list[str], upper: str, work: str, userns: int, volatile: bool) -> int:
    """A detached overlay mount, its layers given as descriptors.  Closes all but the result."""
    opened: list[int] = []
    try:
        context = sys_.fsopen("overlay")
        opened.append(context)
        sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, "source", "boxy")
        for path in reversed(lowers):  # the kernel wants the topmost first
            opened.append(layer(path, userns))
            sys_.fsconfig(context, sys_.FSCONFIG_SET_FD, "lowerdir+", fd=opened[-1])
        box, up, scratch = _writable(upper, work, userns)
        opened += [box, up, scratch]
        sys_.fsconfig(context, sys_.FSCONFIG_SET_FD, "upperdir", fd=up)
        sys_.fsconfig(context, sys_.FSCONFIG_SET_FD, "workdir", fd=scratch)
        return _create(context, volatile)
    finally:
        for fd in opened:
            os.close(fd)


def read_only_overlay(lowers: list[str], userns: int) -> int:
    """A detached overlay of layers alone, which nobody can write to.  Needs Linux 6.15."""
    opened: list[int] = []
    try:
        context = sys_.fsopen("overlay")
        opened.append(context)
        sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, "source", "boxy")
        for path in reversed(lowers):
            opened.append(layer(path, userns))
            sys_.fsconfig(context, sys_.FSCONFIG_SET_FD, "lowerdir+", fd=opened[-1])
        return _create(context, volatile=False)
    finally:
        for fd in opened:
            os.close(fd)


def _create(context: int, volatile: bool) -> int:
    if volatile:
        sys_.fsconfig(context, sys_.FSCONFIG_SET_FLAG, "volatile")
    sys_.fsconfig(context, sys_.FSCONFIG_CMD_CREATE)
    return sys_.fsmount(context, sys_.MOUNT_ATTR_NODEV)


def overlay_by_path(lowers: list[str], upper: str, work: str, userns: int, volatile: bool) -> int:
    """Like `overlay`, for kernels that want paths: made by a child in a mount namespace of its
    own, on a stage that goes with it.  Needs Linux 5.19 when ids are mapped.
    """
    ours, theirs = socket.socketpair()
    pid, pidfd = sys_.clone3(sys_.CLONE_NEWNS)
    if pid == 0:
        try:
            mount = _overlay_on_stage(lowers, upper, work, userns, volatile)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [mount]))]
            theirs.sendmsg([b"+"], rights)
        except OSError as error:
            theirs.send(f"{error.errno} {error.strerror}".encode())
        finally:
            os._exit(0)
    theirs.close()
    try:
        words, passed, _, _ = ours.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    finally:
        ours.close()
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    if not passed:
        number, _, text = words.decode().partition(" ")
        raise OSError(int(number or 0), text or "the helper that mounts the layers died")
    return array.array("i", passed[0][2][:4])[0]


def _overlay_on_stage(lowers: list[str], upper: str, work: str, userns: int, volatile: bool) -> int:
    """In a mount namespace of our own: stand the layers on a tmpfs, name them by path."""
    layers = [layer(path, userns) for path in reversed(lowers)]
    box, _, _ = _writable(upper, work, userns)
    sys_.make_private("/")
    sys_.mount("stage", "/dev", "tmpfs", 0, "mode=711")
    os.chdir("/dev")
    for number, mount in enumerate(layers):
        os.mkdir(str(number))
        sys_.move_mount(mount, str(number))
    os.mkdir("box")
    sys_.move_mount(box, "box")
    context = sys_.fsopen("overlay")
    sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, "source", "boxy")
    names = ":".join(str(number) for number in range(len(layers)))
    sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, "lowerdir", names)
    parent = os.path.dirname(upper)
    for key, path in (("upperdir", upper), ("workdir", work)):
        inside = "box/" + os.path.relpath(path, parent)
        sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, key, inside)
    return _create(context, volatile)


def scaffold(base: int) -> int:
    """A small tmpfs of folders in which a tree is put together: `ahead` for what is made before
    there is an image, `dev` for the rest (it is the steps' stage), `proc` for the host's."""
    mount = _memory(base, "711")
    for name in ("dev", "proc", "ahead", "ahead/sys", "ahead/dev"):
        os.mkdir(name, 0o755, dir_fd=mount)
        os.chown(name, base, base, dir_fd=mount)
    return mount


def dev(base: int) -> int:
    """A small tmpfs with the device nodes and links of a minimal /dev, owned by `base`."""
    mount = _memory(base, "755")
    before = os.umask(0)
    for name, major, minor in DEVICES:
        os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(major, minor), dir_fd=mount)
    for name, target in _LINKS:
        os.symlink(target, name, dir_fd=mount)
    for name in _FOLDERS:
        os.mkdir(name, 0o755, dir_fd=mount)
    os.umask(before)
    if base:
        for name in (*(d[0] for d in DEVICES), *(link[0] for link in _LINKS), *_FOLDERS):
            os.chown(name, base, base, dir_fd=mount, follow_symlinks=False)
    return mount


def _memory(base: int, mode: str) -> int:
    """A tmpfs of the box's root."""
    context = sys_.fsopen("tmpfs")
    try:
        options = {"source": "tmpfs", "mode": mode, "size": "65536k", "uid": str(base)}
        for key, value in {**options, "gid": str(base)}.items():
            sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, key, value)
        sys_.fsconfig(context, sys_.FSCONFIG_CMD_CREATE)
        return sys_.fsmount(context, sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NOEXEC)
    finally:
        os.close(context)
