"""Unpack one archive into a folder, in a child process that cannot leave that folder.

Constraint: the daemon has threads and an event loop, so it never forks itself: the child is a
fresh interpreter (`worker.py`), given the archive as its standard input and the destination as
its working directory. It needs root, for chroot(2) and for the owners of files.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

from boxy_core.errors import Denied, ImageError, Internal
from boxy_core.image.streams import DEFAULT_LIMITS, Limits
from boxy_core.image.worker import Report

Progress = Callable[[str, int, int], None]
"""(step, done, total), in bytes; total 0: unknown."""

_PACKAGES = str(Path(__file__).resolve().parents[2])
_BOOTSTRAP = (
    f"import sys; sys.path.insert(0, {_PACKAGES!r}); "
    "from boxy_core.image.worker import main; sys.exit(main())"
)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "PATH")


def unpack(
    archive: int,
    folder: str,
    *,
    name: str,
    progress: Progress,
    limits: Limits = DEFAULT_LIMITS,
    keep: Sequence[int] = (),
) -> Report:
    """Unpack the archive open at the descriptor `archive` into the empty `folder`.

    `name` is what messages call the archive; `keep` are descriptors that the child holds open
    (a lock). What the folder holds after an error is of no use: the caller removes it. An
    exception from `progress` ends the child and goes through.

    Raises:
        ImageError: the archive is damaged, hostile or beyond `limits`, or the disk is full.
        Denied: not root.
    """
    if os.geteuid() != 0:
        raise Denied(
            "unpacking an image needs root, to give files their owners",
            hint="run the daemon as root: sudo boxyd",
        )
    total = os.fstat(archive).st_size
    os.lseek(archive, 0, os.SEEK_SET)
    with (
        tempfile.TemporaryFile() as complaints,
        _child(archive, folder, limits, keep, complaints) as child,
    ):
        last: dict[str, Any] = {}
        for line in cast(IO[bytes], child.stdout):
            last = json.loads(line)
            if "packed" in last:
                progress("unpacking", min(last["packed"], total), total)
        status = child.wait()
        if "done" in last and status == 0:
            progress("unpacking", total, total)
            return cast(Report, last["done"])
        raise _failure(name, last, status, complaints)


@contextlib.contextmanager
def _child(
    archive: int, folder: str, limits: Limits, keep: Sequence[int], complaints: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """The running child; whatever happens, it is gone afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOTSTRAP, json.dumps(limits)],
        stdin=archive,
        stdout=subprocess.PIPE,
        stderr=complaints,
        cwd=folder,
        env={key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ},
        pass_fds=tuple(keep),
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        cast(IO[bytes], child.stdout).close()


def _failure(
    name: str, last: dict[str, Any], status: int, complaints: IO[bytes]
) -> ImageError | Internal:
    """What the child's last words mean."""
    if "errno" in last:
        return ImageError(
            f"{name} could not be unpacked: {last['problem']}",
            hint="see that the disk has room (df -h, df -i), then try again",
        )
    if "problem" in last:
        return ImageError(
            f"{name} cannot be used: {last['problem']}",
            hint="fetch or make the archive again; `tar -tf` shows what it holds",
        )
    complaints.seek(0)
    said = complaints.read(1 << 16).decode(errors="replace").strip().splitlines()
    if status < 0:
        return Internal(
            f"unpacking {name} was ended by signal {-status}",
            hint="when memory is short the kernel ends processes: see dmesg",
        )
    return Internal(f"unpacking {name} failed: {said[-1] if said else f'exit status {status}'}")
