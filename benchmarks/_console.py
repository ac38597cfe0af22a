"""Programs on a pseudo-terminal of their own, seen through our emulator: the console, and tmux."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import _boxy
from boxy_tui.terminal.emulator import Emulator
from tests.support.daemon import Daemon

COLUMNS, LINES = 160, 48
PATIENCE = 30.0


class OnTerminal:
    """A running program; a context.  `screen` is what its terminal shows."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        env = {**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            command, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.screen = Emulator(COLUMNS, LINES, reply=self.type)
        self.read_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def cpu(self) -> float:
        """CPU seconds that it took so far."""
        return _boxy.cpu_seconds(self._process.pid)

    def type(self, data: bytes) -> None:
        """Keys."""
        os.write(self._master, data)

    def drain(self, seconds: float) -> None:
        """Take what comes for so long, unseen: the terminal costs next to nothing."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._master], [], [], left)[0]:
                self.read_bytes += len(os.read(self._master, 1 << 16))

    def look(self, seconds: float) -> bool:
        """Take what comes within that time, once; whether something came."""
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return False
        data = os.read(self._master, 1 << 16)
        self.read_bytes += len(data)
        self.screen.feed(data)
        return True

    def text(self) -> str:
        """The screen's text."""
        return "\n".join(self.screen.display)

    def until(self, holds: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Look until it holds; how long that took.  Raises TimeoutError, with the screen."""
        start = time.perf_counter()
        while not holds():
            left = start + seconds - time.perf_counter()
            if left <= 0:
                raise TimeoutError(self.text())
            self.look(left)
        return time.perf_counter() - start

    def shows(self, *words: str) -> float:
        """Look until all of these are on the screen."""
        return self.until(lambda: all(word in self.text() for word in words))

    def settle(self, seconds: float = 0.3) -> None:
        """Look until nothing has come for so long."""
        end = time.perf_counter() + PATIENCE
        while time.perf_counter() < end and self.look(seconds):
            pass

    def watch(self, seconds: float, seen: Callable[[], object]) -> int:
        """Look for so long; how many times what `seen` gives has changed."""
        end = time.perf_counter() + seconds
        changes, before = 0, seen()
        while (left := end - time.perf_counter()) > 0:
            if self.look(left) and (now := seen()) != before:
                changes, before = changes + 1, now
        return changes


class Console(OnTerminal):
    """A running `boxy-tui`."""

    def __init__(self, daemon: Daemon) -> None:
        command = [*_boxy.program("boxy-tui"), "--socket", str(daemon.paths.socket)]
        super().__init__(command, daemon.env)

    def enter(self, box: str) -> None:
        """Go to the pane of the only box."""
        self.shows(box)
        self.settle()
        self.type(b"a")
        self.shows("ctrl+]")
        self.settle()


class Tmux(OnTerminal):
    """A tmux server of its own with a shell, and a client that shows it."""

    def __init__(self, folder: Path) -> None:
        self._call = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        env = {**os.environ, "LANG": "C.UTF-8"}
        super().__init__([*self._call, "new-session", "bash", "--norc"], env)
        self.shows("#")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        subprocess.run([*self._call, "kill-server"], check=False, capture_output=True)
        super().__exit__(kind, error, _)

    @property
    def cpu(self) -> float:
        """CPU seconds that server and client took so far."""
        ask = [*self._call, "display-message", "-p", "#{pid}"]
        server = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
        return super().cpu + _boxy.cpu_seconds(int(server))
