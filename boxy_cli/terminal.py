"""The operator's terminal: raw while attached, and put back whatever happens.

Constraint: nothing may leave the terminal raw: not an exception, not SIGTERM or SIGHUP, not a
daemon that dies.  (SIGKILL of `boxy` itself cannot be helped; `reset` is the remedy.)  Imported
only where there is a terminal.
"""

from __future__ import annotations

import atexit
import posix
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType
    from typing import Any
else:
    import _signal as signal  # the same in plain numbers; `signal` makes enumerations of them, 4 ms

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _, _, _CC = range(7)  # the list of termios.tcgetattr
DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Terminal:
    """A terminal that can be made raw.  `fd` is one that the user types into."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._saved: list[Any] | None = None
        self._handlers: dict[int, Any] = {}

    def raw(self) -> None:
        """Every key goes to the box unchanged (cfmakeraw(3)); also ctrl-c and ctrl-z."""
        if self._saved is None:
            self._saved = termios.tcgetattr(self.fd)
            atexit.register(self.restore)
            for number in DEADLY:
                self._handlers[number] = signal.signal(number, self._die)
        self._apply_raw()

    def again(self) -> None:
        """Make it raw again where it should be: a shell's job control may have undone it."""
        if self._saved is not None:
            self._apply_raw()

    def _apply_raw(self) -> None:
        mode = termios.tcgetattr(self.fd)
        mode[_IFLAG] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
            | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        mode[_OFLAG] &= ~termios.OPOST
        mode[_LFLAG] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        mode[_CFLAG] = mode[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[_CC][termios.VMIN] = 1
        mode[_CC][termios.VTIME] = 0
        termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)

    def restore(self) -> None:
        """Put the terminal back as it was found; may be called at any time, and twice."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        atexit.unregister(self.restore)
        try:  # noqa: SIM105 - contextlib is not worth its import here
            termios.tcsetattr(self.fd, termios.TCSANOW, saved)
        except (OSError, termios.error):
            pass  # the terminal is gone
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _die(self, number: int, _frame: FrameType | None) -> None:
        self.restore()
        signal.signal(number, signal.SIG_DFL)
        posix.kill(posix.getpid(), number)


def window_size(*fds: int) -> tuple[int, int]:
    """Rows and columns of the first of `fds` that is a terminal and knows; else 24 and 80."""
    for fd in fds:
        try:
            columns, rows = posix.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return rows, columns
    return 24, 80
