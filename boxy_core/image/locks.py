"""Locks by name across processes and threads, all in one small file.

Constraint: a lock must vanish with its holder, leave no file behind, and be inherited by a
child that works on for it. Open-file-description locks (fcntl(2), F_OFD_SETLK) do all that;
each name locks one byte of the file, far apart by its hash.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

_POLL = 0.05  # seconds


class Lock:
    """An exclusive lock on `name` in the lock file `path`, held until `close`.

    A context manager. `fd` may be handed to a child, which then holds the lock too.
    """

    def __init__(self, path: str, name: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        start = int.from_bytes(digest[:8], "big") >> 2
        # struct flock: l_type, l_whence, l_start, l_len, l_pid (0, as OFD locks ask)
        self._request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)

    def take_now(self) -> bool:
        """Take the lock; False if another holds it."""
        try:
            fcntl.fcntl(self.fd, fcntl.F_OFD_SETLK, self._request)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def wait_and_take(self, waiting: Callable[[], None]) -> None:
        """Take the lock; `waiting` is called now and then, and may raise to give up."""
        while not self.take_now():
            waiting()
            time.sleep(_POLL)

    def close(self) -> None:
        """Let go of it (unless a child still holds it)."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
