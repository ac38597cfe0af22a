"""What a child tells the shim over their socket before it becomes a command.

A SEQPACKET pair, close-on-exec in the child: its end without a failure before it is execve's
success.  A failure is one JSON object; descriptors travel beside a word.
"""

from __future__ import annotations

import array
import os
import socket

from boxy_core import wirejson
from boxy_core.errors import CommandNotExecutable, CommandNotFound, StartFailed
from boxyd.runtime.command import CommandError
from boxyd.runtime.users import UnknownUserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 60.0
"""seconds that a child may take until its command runs"""


def pair() -> tuple[socket.socket, socket.socket]:
    """(the shim's end, the child's end)."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, word: bytes, fds: Sequence[int] = ()) -> None:
    """Send one packet with descriptors."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([word], rights)


def receive(sock: socket.socket, size: int = 65536, most: int = 8) -> tuple[bytes, list[int]]:
    """One packet and its descriptors, `most` of them; b"" at the end of the connection."""
    space = socket.CMSG_SPACE(most * 4)
    word, passed, _, _ = sock.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, data in passed:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    return word, list(fds)


def fail(sock: socket.socket, step: str, error: BaseException) -> None:
    """The child's last words."""
    number = error.number if isinstance(error, CommandError) else getattr(error, "errno", 0)
    kind = "step"
    if isinstance(error, CommandError):
        kind = "missing" if error.missing else "refused"
    text = str(error)
    if isinstance(error, OSError):
        about = f" ({error.filename})" if error.filename else ""
        text = f"{error.strerror or error}{about}"
    elif not isinstance(error, (CommandError, UnknownUserError)):
        text = f"{type(error).__name__}: {text}"
    words = {"kind": kind, "step": step, "errno": number or 0, "message": text}
    try:
        sock.send(b"!" + wirejson.dumps(words))
    except OSError:
        os._exit(125)


def failure(word: bytes) -> StartFailed:
    """The error that a child's last words stand for."""
    try:
        data = wirejson.loads(word[1:])
        step, number, text = str(data["step"]), int(data["errno"]), str(data["message"])
        kind = data["kind"]
    except (ValueError, KeyError, TypeError):
        return StartFailed("the new process ended before its command ran", step="init")
    if kind == "missing":
        hint = "check its spelling, and that the image has it"
        return CommandNotFound(text, hint=hint, step=step, errno=number)
    if kind == "refused":
        hint = "check its mode bits and its first line"
        return CommandNotExecutable(text, hint=hint, step=step, errno=number)
    return step_failed(step, number, text)


def step_failed(step: str, number: int, text: str) -> StartFailed:
    """A step that the kernel refused, with what can be done about it."""
    hint = HINTS.get((step, number)) or HINTS.get((step, 0), "")
    return StartFailed(f'the step "{step}" failed: {text}', hint=hint, step=step, errno=number)


_NO_IDMAP = (
    "the file system that holds Boxy's data may lack id-mapped mounts: move it with --root "
    "to ext4, xfs, btrfs or tmpfs, or run the box with --userns host"
)
HINTS: dict[tuple[str, int], str] = {
    ("overlay", 22): _NO_IDMAP,
    ("overlay", 95): _NO_IDMAP,
    ("overlay", 1): _NO_IDMAP,
    ("overlay", 2): "a layer of the image is gone: prepare the image again",
    ("overlay", 19): "this kernel has no overlayfs: modprobe overlay",
    ("overlay", 40): "the image has too many layers for this kernel",
    ("bind", 2): "check that the source exists on the host",
    ("bind", 20): "a file can only be shown on a file, a folder on a folder",
    ("user", 0): "name a user that the image has, or a number",
    ("user", 22): "the number lies outside the box's range of ids (0 to 65535)",
    ("dev", 0): "check the --device flags: `ls -l` shows what the host has",
    ("sysctl", 0): "check its name and value; `sysctl -a` in a box shows those that it has",
    ("ulimit", 0): "ask for less, or give boxyd CAP_SYS_RESOURCE and the limit itself",
    ("join", 3): "start the other box first",
    ("workdir", 0): "check the working folder (-w)",
    ("proc", 1): "the host's own /proc is partly covered: run boxyd outside of a container",
    ("clone", 28): "too many namespaces: see /proc/sys/user/max_*_namespaces",
    ("clone", 1): "the kernel refuses new user namespaces: see /proc/sys/user/max_user_namespaces",
    ("clone", 11): "the host's or the box's limit of processes is reached",
}
