"""A terminal under a flood: what its program loses, what is seen, what a key waits, what it costs.

    python -m benchmarks.floods [speed] [stalled] [keys] [--rounds N]

The same program with the same bytes runs in a box that nobody looks at, in a box that the console
shows, and in a tmux with a client (`speed`); before one client that reads, with and without one
that never does (`stalled`); then what a key for the console, or for tmux itself, waits (`keys`).
The terminals that console and tmux draw on are emptied unseen while speed is measured: on two cores
everything that runs takes from the flood.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks import _boxy
from benchmarks._console import Console, OnTerminal, Tmux
from boxy_core import protocol
from boxy_core.client.blocking import Upgraded, box_path
from tests.support.daemon import Daemon

SIZE = 60_000_000
LINE = "0123456789" * 7 + "abcdefgh"
FLOODS = {"cat": "cat big", "yes": f"yes | head -c {SIZE // 4}", "seq": "seq 1 6000000"}
ENDLESS = ("yes", "seq 1 1000000000")
DRAWN = 3.0
"""seconds that are watched"""
PATIENCE = 120.0

Wait = Callable[[float], None]


def say(*cells: str) -> None:
    """A row of the report."""
    print("|", " | ".join(cells), "|", flush=True)


class Shelf:
    """A folder that the box and this machine share: the flood's bytes, and how long it took."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = f"{LINE}\n".encode() * (SIZE // (len(LINE) + 1))
        (folder / "big").write_bytes(lines)
        for name, flood in FLOODS.items():
            script = f"cd {{}}; s=$EPOCHREALTIME; {flood}; echo $s $EPOCHREALTIME > took.new\n"
            where = '"$(dirname "$BASH_SOURCE")"'
            (folder / name).write_text(script.format(where) + "mv took.new took\n")

    def took(self, wait: Wait) -> float:
        """The seconds, once it has ended."""
        took = self.folder / "took"
        end = time.monotonic() + PATIENCE
        while not took.exists():
            if time.monotonic() > end:
                raise TimeoutError("the flood did not end")
            wait(0.1)
        began, ended = map(float, took.read_text().split())
        took.unlink()
        return ended - began


def speed(daemon: Daemon, shelf: Shelf, rounds: int) -> None:
    """How fast the program writes in each place."""
    print("\n### how fast a program writes to its terminal\n")
    say("", "nobody looks", "the console shows it", "tmux shows it", "of alone", "of tmux")
    print("|---|--:|--:|--:|--:|--:|")
    for name in FLOODS:
        alone, shown, theirs = [], [], []
        for _ in range(rounds):
            alone.append(_alone(daemon, shelf, name))
            with entered(daemon) as console:
                shown.append(_typed(console, shelf, f". /bench/{name}"))
            with tmux(shelf) as other:
                theirs.append(_typed(other, shelf, f". {shelf.folder}/{name}"))
        share = statistics.median(a / s for a, s in zip(alone, shown, strict=True))
        times = statistics.median(t / s for t, s in zip(theirs, shown, strict=True))
        say(name, *(f"{statistics.median(took):.2f} s" for took in (alone, shown, theirs)),
            f"{share:.0%}", f"{times:.2f} times")  # fmt: skip


def _alone(daemon: Daemon, shelf: Shelf, name: str) -> float:
    upgraded = daemon.client().upgrade(box_path("shell", "attach"), query={"stdin": 1, "replay": 0})
    upgraded.socket.sendall(protocol.frame(protocol.STDIN, f". /bench/{name}\r".encode()))
    upgraded.socket.close()
    return shelf.took(time.sleep)


def _typed(terminal: OnTerminal, shelf: Shelf, command: str) -> float:
    terminal.type(command.encode() + b"\r")
    return shelf.took(terminal.drain)


class Reader(threading.Thread):
    """A client that takes all, and counts: bytes of output, and those it was told it missed."""

    def __init__(self, upgraded: Upgraded) -> None:
        super().__init__(daemon=True)
        self._upgraded = upgraded
        self.got = self.missed = 0
        self.start()

    def run(self) -> None:
        """Until the connection is closed."""
        frames = protocol.FrameReader()
        data = bytes(self._upgraded.rest)
        while True:
            for kind, payload in frames.feed(data):
                self.got += len(payload) if kind == protocol.STDOUT else 0
                if kind == protocol.LAGGED:
                    self.missed += int.from_bytes(payload, "big")
            try:
                data = self._upgraded.socket.recv(1 << 18)
            except OSError:
                return
            if not data:
                return

    def leave(self) -> None:
        """Hang up."""
        self._upgraded.socket.shutdown(socket.SHUT_RDWR)
        self.join()
        self._upgraded.socket.close()


def stalled(daemon: Daemon, shelf: Shelf, rounds: int) -> None:
    """What a client that never reads costs the box and the client beside it."""
    print("\n### one client reads, another never does\n")
    say("the reader", "the program's time", "", "the reader missed")
    print("|---|--:|--:|--:|")
    beside: dict[bool, list[float]] = {False: [], True: []}
    missed = {False: 0, True: 0}
    for _ in range(rounds):
        for idle, took in beside.items():
            reader = Reader(_attached(daemon))
            other = _attached(daemon) if idle else None
            took.append(_alone(daemon, shelf, "cat"))
            reader.leave()
            missed[idle] += reader.missed
            if other is not None:
                other.socket.close()
    share = statistics.median(a / b for a, b in zip(beside[False], beside[True], strict=True))
    for idle, took in beside.items():
        name = "beside one that never does" if idle else "alone"
        speed = f"{share:.0%} of the speed alone" if idle else ""
        say(name, f"{statistics.median(took):.2f} s", speed, f"{missed[idle] / 1e6:.1f} MB")


def _attached(daemon: Daemon) -> Upgraded:
    query = {"stdin": 0, "replay": 0}
    return daemon.client().upgrade(box_path("shell", "attach"), query=query)


@contextmanager
def entered(daemon: Daemon) -> Iterator[Console]:
    """The console in the box's pane."""
    with Console(daemon) as console:
        console.enter("shell")
        yield console


@contextmanager
def tmux(shelf: Shelf) -> Iterator[Tmux]:
    """A tmux, with a folder of its own."""
    with tempfile.TemporaryDirectory(dir=shelf.folder) as folder, Tmux(Path(folder)) as other:
        yield other


def keys(places: Mapping[str, Callable[[], object]]) -> None:
    """What is seen of an endless flood, what a key waits, what it costs; whether ctrl-c works."""
    print("\n### under an endless flood\n")
    say("", "frames", "CPU", "own key, median", "p95", "ctrl-c to the prompt")
    print("|---|--:|--:|--:|--:|--:|")
    for command in ENDLESS:
        for name, place in places.items():
            with place() as terminal:  # type: ignore[attr-defined]
                say(f"{command}: {name}", *_under(terminal, command))


def _under(terminal: OnTerminal, command: str) -> list[str]:
    terminal.type(command.encode() + b"\r")
    terminal.watch(1.0, lambda: 0)
    cpu = terminal.cpu
    frames = terminal.watch(DRAWN, lambda: terminal.read_bytes) / DRAWN
    cost = (terminal.cpu - cpu) / DRAWN
    waits = sorted(_menu(terminal) for _ in range(60))
    terminal.type(b"\x03")
    stopped = terminal.until(lambda: _prompted(terminal))
    return [f"{frames:.0f}/s", f"{cost:.0%} of a core", f"{statistics.median(waits) * 1e3:.0f} ms",
            f"{waits[len(waits) * 95 // 100] * 1e3:.0f} ms", f"{stopped * 1e3:.0f} ms"]  # fmt: skip


def _prompted(terminal: OnTerminal) -> bool:
    rows = [row.rstrip() for row in terminal.screen.display[:-1]]
    last = next((row for row in reversed(rows) if row), "")
    return last.endswith(("#", "$"))


def _menu(terminal: OnTerminal) -> float:
    """The prefix until its menu is there, of tmux its prompt; and away again."""
    prefix, sign = (b"\x02:", ":") if isinstance(terminal, Tmux) else (b"\x1d", "zoom")
    time.sleep(0.03)

    def there() -> bool:
        last = terminal.screen.display[-1]
        return last.startswith(":") if sign == ":" else sign in last

    terminal.type(prefix)
    taken = terminal.until(there)
    terminal.type(b"\x03" if sign == ":" else b"\x1b")
    terminal.until(lambda: not there())
    return taken


def main() -> None:
    """Measure what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", default=["speed", "stalled", "keys"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bx-flood-"))
    try:
        shelf = Shelf(folder)
        folder.chmod(0o777)
        with _boxy.own_daemon() as (daemon, _):
            where = f"{folder}:/bench"
            daemon.run("run", "-d", "-it", "--name", "shell", "-v", where, "host", "bash", "--norc")
            if "speed" in options.what:
                speed(daemon, shelf, options.rounds)
            if "stalled" in options.what:
                stalled(daemon, shelf, options.rounds)
            if "keys" in options.what:
                keys({"console": lambda: entered(daemon), "tmux": lambda: tmux(shelf)})
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
