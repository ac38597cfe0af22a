"""What a shim leaves in files: records, complaints; and how it tells processes apart.

Constraint: small files, one writer each: written beside, then renamed.
"""

from __future__ import annotations

import os
import sys
import time

from boxy_core import wirejson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot: with it a pid is never mistaken."""
    return int(read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])


def read(path: str) -> bytes:
    """The first 64 KiB of a file.  Raises OSError.

    The package `io` would touch twice the memory of all the rest of reading one line.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def write_file(path: str, value: dict[str, Any], *, durable: bool) -> None:
    """Replace a JSON file at once; `durable`: it is on disk when this returns."""
    temporary = path + ".tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600)
    try:
        os.write(fd, wirejson.dumps(value) + b"\n")
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)


def remove(path: str) -> None:
    """Unlink it if it is there and can be."""
    try:
        os.unlink(path)
    except OSError:
        return


def trace(error: BaseException) -> str:
    """The error and where it came from; the module `traceback` is too much for every shim."""
    lines = [f"{type(error).__name__}: {error}"]
    at = error.__traceback__
    while at:
        code = at.tb_frame.f_code
        lines.append(f"  {os.path.basename(code.co_filename)}:{at.tb_lineno} {code.co_name}")
        at = at.tb_next
    return "\n".join(lines)


def complain(box: str, text: str) -> None:
    """Leave word of what should never happen in the box's folder, or on stderr without one."""
    try:
        fd = os.open(box + "/shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        fd = 2
    try:
        os.write(fd, f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n".encode())
    except OSError:
        sys.exit(1)
