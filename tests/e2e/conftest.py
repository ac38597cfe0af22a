"""The console in tmux, as a user sees and types it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Workspace
from tests.support.daemon import Daemon

PATIENCE = 45.0
SETTLED = 0.3
"""Seconds between two keys that a person would press one after the other."""


_ITS_OWN = ("TMUX", "COLUMNS", "LINES")
"""variables that tell of the terminal that the tests run in"""


class Terminal:
    """A tmux of its own with one window, in which a command runs."""

    def __init__(self, socket: str, columns: int, rows: int) -> None:
        self._socket = socket
        self._size = (str(columns), str(rows))

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout

    def start(self, command: list[str], env: dict[str, str]) -> None:
        """Run the command; when it ends its last screen stays."""
        variables = [f"{name}={value}" for name, value in env.items() if name not in _ITS_OWN]
        line = shlex.join(["env", "-i", *variables, "TERM=screen-256color", *command])
        columns, rows = self._size
        keep = f"{line}; status=$?; echo; echo status $status; sleep 600"
        self._tmux("new-session", "-d", "-x", columns, "-y", rows, keep)

    def screen(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p")

    def pane_pid(self) -> int:
        """The process that runs in it."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def cursor(self) -> tuple[int, int] | None:
        """Where the terminal's own cursor is: column and row; None when it is hidden."""
        x, y, shown = self._tmux(
            "display-message", "-p", "#{cursor_x} #{cursor_y} #{cursor_flag}"
        ).split()
        return (int(x), int(y)) if shown == "1" else None

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names, at a person's pace."""
        for key in keys:
            self._tmux("send-keys", key)
            time.sleep(SETTLED)

    def type(self, text: str) -> None:
        """Type text as it is, after a person's pause.

        Busybox's shell asks at each prompt where the cursor is, and on any terminal it loses
        what comes within some 50 ms of the answer.
        """
        time.sleep(SETTLED)
        self._tmux("send-keys", "-l", "--", text)

    def ask(self, line: str, *words: str) -> str:
        """Have the shell on the screen run a line; the screen once all words are on it.

        The shell may lose a part of it in spite of `type`'s pause, where the machine is slow.
        """
        for seconds in (15, 15, PATIENCE):
            self.type(line + "\n")
            try:
                return self.shows(*words, seconds=seconds)
            except AssertionError:
                if seconds == PATIENCE:
                    raise
                self.press("C-c")
        raise AssertionError

    def resize(self, columns: int, rows: int) -> None:
        """Drag the window to another size."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def shows(self, *words: str, not_: str = "", seconds: float = PATIENCE) -> str:
        """Wait until all words are on the screen (and `not_` is not); the screen."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if all(word in screen for word in words) and not (not_ and not_ in screen):
                return screen
            assert time.monotonic() < deadline, f"never {words} without {not_!r}:\n{screen}"
            time.sleep(0.05)

    def close(self) -> None:
        """End tmux and all in it."""
        end = ["tmux", "-S", self._socket, "kill-server"]
        subprocess.run(end, capture_output=True, timeout=20, check=False)


@pytest.fixture
def new_terminal(workspace: Workspace) -> Iterator[Callable[..., Terminal]]:
    """Make terminals; they are gone afterwards."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed: apt-get install tmux")
    made: list[Terminal] = []

    def make(columns: int = 100, rows: int = 30) -> Terminal:
        made.append(Terminal(str(workspace.folder / f"t{len(made)}"), columns, rows))
        return made[-1]

    yield make
    for terminal in made:
        terminal.close()


@pytest.fixture
def console(daemon: Daemon, new_terminal: Callable[..., Terminal]) -> Terminal:
    """`boxy-tui` on a real daemon."""
    terminal = new_terminal()
    terminal.start([sys.executable, "-P", "-m", "boxy_tui.app"], daemon.env)
    terminal.shows("Boxes 0", "There are no boxes yet")
    return terminal
