"""What passes through a terminal's connection, written to an asciicast v2 file as it comes.

Constraint: a recording is whole up to the last line at any time, so that nothing is lost when
`boxy` dies; a full disk ends the recording, never the session.
"""

from __future__ import annotations

import os
import time

from boxy_core import cast
from boxy_core.errors import BoxyError, InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.cast import Writer


class Recorder:
    """Writes one recording.  `size` is (columns, rows) until the session tells its own."""

    def __init__(self, path: str, size: tuple[int, int], title: str, *, overwrite: bool) -> None:
        self.path = path
        self.trouble = ""
        self._fd = _create(path, overwrite)
        self._size, self._title = size, title
        self._writer: Writer | None = None
        self._began = 0.0

    @property
    def seconds(self) -> float:
        """How long it has been recording."""
        return time.monotonic() - self._began if self._writer else 0.0

    def _begun(self) -> Writer:
        if self._writer is None:
            self._began = time.monotonic()
            self._writer = cast.Writer(*self._size)
            env = {name: os.environ[name] for name in ("TERM", "SHELL") if name in os.environ}
            head = self._writer.header(timestamp=int(time.time()), title=self._title, env=env)
            self._write(head)
        return self._writer

    def output(self, data: bytes | memoryview) -> None:
        """The box printed this."""
        self._write(self._begun().output(self.seconds, data))

    def typed(self, data: bytes) -> None:
        """The user typed this."""
        self._write(self._begun().output(self.seconds, data, cast.INPUT))

    def resized(self, columns: int, rows: int) -> None:
        """The terminal has this size."""
        if self._writer is None:
            self._size = columns, rows
        else:
            self._write(self._writer.resize(self.seconds, columns, rows))

    def close(self) -> None:
        """End the file; one that has only just begun gets its header."""
        self._begun()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "replace")
        while data and self._fd >= 0:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError as error:
                self.trouble = f"the recording ends early: {self.path}: {error.strerror}"
                os.close(self._fd)
                self._fd = -1


def _create(path: str, overwrite: bool) -> int:
    """A new file.  Raises InvalidRequest or BoxyError, naming it."""
    how = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        return os.open(path, how, 0o600)
    except FileExistsError:
        raise InvalidRequest(
            f"{path} is there already", hint="--overwrite replaces it, or name another file"
        ) from None
    except OSError as error:
        raise BoxyError(f"{path} cannot be written: {error.strerror}") from None


def default_name(box: str, now: float) -> str:
    """A file name that says what and when."""
    return f"{box}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}{cast.SUFFIX}"
