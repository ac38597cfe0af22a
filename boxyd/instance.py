"""What makes one daemon *the* daemon: its locks, its socket, and the word to systemd.

Constraint: flock(2) locks, not pid files: they end with the process, however it ends.  The
lock is held before the socket is touched, so the socket file that a killed daemon left can be
removed without asking who listens.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Mapping

from boxy_core.errors import Conflict, Denied, InvalidRequest
from boxy_core.paths import Paths

GROUP = "boxy"
BACKLOG = 512
_FIRST_PASSED = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
_SUN_PATH = 107  # unix(7): 108 bytes with the closing zero


class Locks:
    """The locks on the root folder, the run folder and the socket.

    Held until `release` or the end of the process.  Raises Conflict naming the daemon that
    holds one of them, Denied if a folder cannot be made.
    """

    def __init__(self, paths: Paths) -> None:
        self._fds: list[int] = []
        try:
            for path, what in (
                (f"{paths.root}/boxyd.lock", f"the root folder {paths.root}"),
                (f"{paths.run}/boxyd.lock", f"the run folder {paths.run}"),
                (f"{paths.socket}.lock", f"the socket {paths.socket}"),
            ):
                self._fds.append(_lock(path, what))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; the files stay, since removing them would race with a next daemon."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def make_folders(paths: Paths) -> None:
    """Make the folders that a daemon needs.  Raises Denied naming the one that cannot be."""
    folders = (
        (paths.root, 0o700),
        (paths.boxes, 0o700),
        (paths.run, 0o711),
        (paths.run + "/boxes", 0o711),
        (os.path.dirname(paths.socket), 0o755),
    )
    for folder, mode in folders:
        try:
            os.makedirs(os.path.dirname(folder), 0o755, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, mode)
            if not stat.S_ISDIR(os.stat(folder).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        except OSError as error:
            raise Denied(
                f"the folder {folder} cannot be made: {error.strerror}",
                hint="give another place with --root, --run or --socket",
            ) from None
    os.chmod(paths.root, 0o700)  # a folder of an older Boxy may be wider


def passed_socket(env: Mapping[str, str]) -> socket.socket | None:
    """The listening socket that systemd opened for us (sd_listen_fds(3)); None if it did not.

    Raises InvalidRequest if what was passed is no listening Unix stream socket.
    """
    if env.get("LISTEN_PID") != str(os.getpid()) or not env.get("LISTEN_FDS", "").isdecimal():
        return None
    count = int(env["LISTEN_FDS"])
    if count == 0:
        return None
    if count > 1:
        raise InvalidRequest(
            f"systemd passed {count} sockets, boxyd takes one", hint="give one ListenStream="
        )
    sock = socket.socket(fileno=_FIRST_PASSED)
    sock.set_inheritable(False)
    listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM or not listens:
        raise InvalidRequest(
            "the socket that systemd passed is no listening Unix stream socket",
            hint="give a path as ListenStream= in boxyd.socket",
        )
    sock.setblocking(False)
    return sock


def listen(path: str, group: str = "") -> socket.socket:
    """Listen on a Unix socket that root and the group may use: mode 0660.

    `group`: its name; "": `boxy` if there is such a group.  The lock on the socket must be
    held: a file that a killed daemon left is removed.  Raises InvalidRequest for a path too
    long, a file that is no socket, or an unknown group; Denied for what the kernel refuses.
    """
    gid = _group_id(group)
    if len(os.fsencode(path)) > _SUN_PATH:
        raise InvalidRequest(
            f"the socket's path has {len(os.fsencode(path))} bytes, the kernel takes {_SUN_PATH}",
            hint="give a shorter one with --socket",
        )
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)  # nobody else may connect before the modes are right
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        if gid is not None:
            os.chown(path, -1, gid)
        os.chmod(path, 0o660)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Denied(
            f"boxyd cannot listen on {path}: {error.strerror}",
            hint="give another place with --socket",
        ) from None
    sock.setblocking(False)
    return sock


def _lock(path: str, what: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Denied(
            f"{path} cannot be opened: {error.strerror}",
            hint="run boxyd as root, or give other places with --root, --run and --socket",
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise Conflict(
            f"another boxyd{f' (pid {holder})' if holder.isdecimal() else ''} has {what}",
            hint="use that one, or start this one with another --root, --run and --socket",
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name or GROUP).gr_gid
    except KeyError:
        if not name:
            return None
        raise InvalidRequest(
            f"there is no group {name}", hint=f"make it with: groupadd --system {name}"
        ) from None


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidRequest(
            f"{path} exists and is no socket", hint="remove it, or give another --socket"
        )
    os.unlink(path)
