"""What every command is handed: the way to the daemon, and how to speak to the user.

Constraint: on the start-up path of every command.  Results go to stdout, everything else to
stderr; nothing from outside is printed unescaped.
"""

from __future__ import annotations

import sys
from posix import get_terminal_size, isatty

from boxy_core.errors import BoxyError
from boxy_core.text import escape_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from boxy_core.client.blocking import Client
    from boxy_core.paths import Paths


class Context:
    """One run of `boxy`."""

    def __init__(self, paths: Paths | None = None) -> None:
        self._paths = paths
        self._client: Client | None = None

    @property
    def paths(self) -> Paths:
        """Where the daemon is."""
        if self._paths is None:
            from boxy_core.paths import client_paths

            self._paths = client_paths()
        return self._paths

    @property
    def client(self) -> Client:
        """The client, made at the first use."""
        if self._client is None:
            from boxy_core.client.blocking import Client

            self._client = Client(self.paths)
        return self._client

    def close(self) -> None:
        """Close the connection to the daemon."""
        if self._client is not None:
            self._client.close()

    def for_each(self, refs: Iterable[str], act: Callable[[str], object]) -> int:
        """Do `act` for every box named; print its name, unless it answers False; report each
        failure; 1 if any failed."""
        status = 0
        for ref in refs:
            try:
                done = act(ref)
            except BoxyError as error:
                if error.code == "daemon-unreachable":
                    raise
                report(error)
                status = 1
            else:
                if done is not False:
                    say(ref)
        return status


def say(text: str) -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def say_json(value: Any) -> None:
    """A JSON document, indented, with what is not ASCII escaped: safe for a terminal."""
    import json  # an answer for programs may cost its import

    say(json.dumps(value, indent=2))


def note(text: str) -> None:
    """A line for the user that is not part of the result."""
    sys.stdout.flush()
    sys.stderr.write(f"boxy: {text}\n")
    sys.stderr.flush()


def report(error: BoxyError) -> None:
    """Show an error: one sentence, and the hint on the next line."""
    note(escape_lines(error.message))
    if error.hint:
        sys.stderr.write(f"      {escape_lines(error.hint)}\n")
        sys.stderr.flush()


def is_terminal(fd: int) -> bool:
    """Whether a person looks at this descriptor."""
    try:
        return isatty(fd)
    except OSError:
        return False


def width(fd: int = 1) -> int:
    """Columns of the terminal behind `fd`; 0 if it is none, so that nothing is cut."""
    try:
        return get_terminal_size(fd).columns if isatty(fd) else 0
    except OSError:
        return 0
