"""An archive that a command writes: to a file that is there whole or not at all, or into a pipe."""

from __future__ import annotations

import os

from boxy_cli.context import is_terminal
from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_terminal(target: str | None, instead: str) -> None:
    """Raise InvalidRequest where stdout is a terminal and no file was named.

    `instead` is the command that names one.
    """
    if target is None and is_terminal(1):
        raise InvalidRequest(
            "an archive is nothing for a terminal", hint=f"{instead}, or into a pipe"
        )


def write_archive(target: str | None, pieces: Iterable[bytes]) -> None:
    """Write to the file `target`, under another name until it is whole; None: to stdout.

    Raises InvalidRequest if the file cannot be written.
    """
    if target is None:
        _write_all(1, pieces)
        return
    temporary = f"{target}.{os.getpid()}.part"
    made = False
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        made = True
        try:
            _write_all(fd, pieces)
        finally:
            os.close(fd)
        os.rename(temporary, target)
    except BaseException as error:
        if made:
            _unlink(temporary)
        if isinstance(error, OSError):
            raise InvalidRequest(
                f"{target} cannot be written: {error.strerror}",
                hint="name a file in a folder that you may write to",
            ) from None
        raise


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _write_all(fd: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(fd, rest) :]
