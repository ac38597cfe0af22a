"""The last moments before a command runs: its folder, its path, its descriptors, execve(2).

Constraint: runs inside the box, where nothing can be imported any more.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

from boxyd.runtime import syscalls as sys_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_RESET = tuple(
    int(number)
    for number in (
        signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP,
        signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGTTOU,
        signal.SIGTTIN, signal.SIGTSTP,
    )
)  # fmt: skip


class CommandError(Exception):
    """The command cannot be executed; `missing` tells "not there" from "not allowed"."""

    def __init__(self, message: str, number: int, *, missing: bool) -> None:
        super().__init__(message)
        self.number = number
        self.missing = missing


def forget_imports() -> None:
    """From here on no import can succeed: the files it would find are the box's, not ours."""
    for finders in (sys.meta_path, sys.path, sys.path_hooks):
        finders.clear()
    sys.path_importer_cache.clear()


def reset_signals() -> None:
    """Handlers and mask as a fresh program expects them (signal(7): ignoring is inherited)."""
    for number in _RESET:
        sys_.set_handler(number, 0)
    sys_.unblock_all()


def place_stdio(stdin: int, stdout: int, stderr: int) -> None:
    """Make these the descriptors 0, 1 and 2; all others end with execve(2)."""
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)


def enter(folder: str, *, make: bool) -> None:
    """chdir(2), making the folder if it is missing and may be.

    A current folder outside the root shows as a path that is not absolute (CVE-2024-21626).
    """
    if make:
        os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    if not os.getcwd().startswith("/"):
        raise OSError(errno.ENOENT, "it lies outside the box", folder)


def execute(args: list[str], env: dict[str, str], before: Callable[[], None]) -> NoReturn:
    """Become the command.  `before` is called when all is ready (the filter goes on last).

    Raises CommandError, which the shell's rules turn into status 126 or 127.
    """
    name = args[0]
    folders = [""] if "/" in name else env.get("PATH", "").split(":")
    candidates = [f"{folder or '.'}/{name}" if "/" not in name else name for folder in folders]
    sys_.close_on_exec_from(3)
    before()
    refused: OSError | None = None
    for path in candidates:
        if len(candidates) > 1 and _missing(path):
            continue  # an execve that fails costs ten times as much
        try:
            os.execve(path, args, env)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR} or os.path.lexists(path):
                refused = refused or error
    raise _why_not(name, refused)


def _missing(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # a filter forbids to look: then it is tried
        return False
    return False


def _why_not(name: str, refused: OSError | None) -> CommandError:
    if refused is None:
        where = "" if "/" in name else " in the box's PATH"
        return CommandError(f'there is no command "{name}"{where}', errno.ENOENT, missing=True)
    number = refused.errno or errno.EACCES
    if number in {errno.ENOENT, errno.ENOTDIR}:
        text = f'"{name}" is there, but the interpreter or loader that it names is not'
        return CommandError(text, number, missing=True)
    if number == errno.E2BIG:
        text = f'"{name}" cannot be started: its arguments and environment are too long'
    elif number == errno.ENOEXEC:
        text = f'"{name}" is no program for this machine, nor a script that names one'
    elif number == errno.EACCES:
        text = f'"{name}" is there, but may not be executed'
    else:
        text = f'"{name}" cannot be executed: {os.strerror(number)}'
    return CommandError(text, number, missing=False)
