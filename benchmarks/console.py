"""The console as one uses it: its start, its keys, what it costs to leave open, beside others.

    python -m benchmarks.console [--running 30] [--exited 270] [--rounds 40] [--seconds 10]
                                 [--json FILE]

A real daemon has that many boxes (a third of those that run does something every second), and every
program runs on a terminal of its own, seen through our emulator: a start lasts until the table is
full, a key until what it changes is on the screen.  The peers are what people leave open in a
terminal, htop, alone and in a tmux, and the least that an application of the same toolkit takes:
Textual's own table with as many rows, which never change.  They take turns.  `htop -d 10` draws
once a second, as the console does.  No daemon of k9s's or lazydocker's is needed, nor measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import _boxy
from benchmarks._console import Console, OnTerminal
from benchmarks._timing import Action, Series, table, take_turns, tidy
from tests.support.daemon import Daemon

OURS = "boxy-tui"
BARE = "Textual's table"
HTOP = ("htop", "-d", "10")
IN_TMUX = "htop in tmux"
TICKING = ["sh", "-c", "while :; do sleep 1; done"]
JOB, WEB = "job-", "web-"
SETTLED = 0.05
"""seconds in which nothing more comes: the screen is as it shall be"""
MIB = 1 << 20
Seen = Callable[[OnTerminal], object]
"""what of a screen a key is to change"""

_BARE = """
from textual.app import App
from textual.widgets import DataTable

class Bare(App):
    def compose(self):
        yield DataTable(cursor_type="row")

    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns(*"abcdef")
        for number in range({rows}):
            table.add_row(*[f"row {{number}}"] * 6)

Bare().run()
"""


@dataclass
class Contestant:
    """A program on a terminal.

    Args:
        open: starts it.
        full: whether its first screen is complete.
    """

    open: Callable[[], OnTerminal]
    full: Callable[[OnTerminal], bool]
    down: Sequence[bytes] = (b"\x1b[B", b"\x1b[A")
    edge: Sequence[bytes] = (b"\x1b[F", b"\x1b[H")
    starting: list[float] = field(default_factory=list)
    """CPU milliseconds of each start, which other work on the machine changes less"""

    def start(self) -> float:
        """Seconds until its table is full."""
        begin = time.perf_counter()
        with self.open() as terminal:
            terminal.until(lambda: self.full(terminal))
            self.starting.append(1000 * terminal.cpu)
            return time.perf_counter() - begin


@dataclass
class Found:
    """All that was measured."""

    series: dict[str, dict[str, Series]] = field(default_factory=dict)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    def tell(self, title: str, ours: str, series: dict[str, Series]) -> None:
        """Keep what one kind of measurement gave, and print its table."""
        self.series[title] = series
        if ours:
            print(table(title, series, ours, {}), flush=True)
            return
        print(f"\n### {title}\n\n| | median ms | p95 ms |\n|---|--:|--:|")
        for name, one in series.items():
            print(f"| {name} | {one.median:.1f} | {one.p95:.1f} |", flush=True)

    def as_json(self) -> str:
        """Every single time, and the figures."""
        taken = {
            kind: {name: one.taken for name, one in found.items()}
            for kind, found in self.series.items()
        }
        return json.dumps({"seconds": taken, "figures": self.figures})


class TmuxOf(OnTerminal):
    """A program in a tmux of its own, and a client that shows it."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self._call = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        super().__init__([*self._call, "new-session", *command], env)

    def __exit__(self, *error: object) -> None:
        subprocess.run([*self._call, "kill-server"], check=False, capture_output=True)
        super().__exit__(None, None, None)


# ------------------------------------------------------------------------- the scene


def fill(daemon: Daemon, running: int, exited: int) -> None:
    """Make the boxes: one in three of those that run wakes up once a second."""
    for number in range(running):
        command = TICKING if number % 3 == 0 else ["sleep", "infinity"]
        _make(daemon, f"{WEB}{number:03}", command)
    for number in range(exited):
        _make(daemon, f"{JOB}{number:03}", ["true"])
    daemon.wait_status(f"{JOB}{exited - 1:03}", "exited")


def _make(daemon: Daemon, name: str, command: list[str]) -> None:
    spec = {"name": name, "image": "alpine", "command": command}
    daemon.request("POST", "/boxes", query={"start": "1"}, body=spec)


def contestants(daemon: Daemon, boxes: int, folder: Path) -> dict[str, Contestant]:
    """Who takes part; those that are not installed are left out, told."""
    env = {**os.environ, "HOME": str(folder), "LANG": "C.UTF-8"}
    bare = [sys.executable, "-c", _BARE.format(rows=boxes)]
    found = {
        OURS: Contestant(lambda: Console(daemon), _ours_is_full),
        BARE: Contestant(
            lambda: OnTerminal(bare, env),
            lambda t: _rows(t, "row ") >= 20,
            edge=(b"\x1b[1;5F", b"\x1b[1;5H"),  # ctrl+end: end alone is the row's
        ),
    }
    for name, tool in (("htop", "htop"), (IN_TMUX, "tmux")):
        if subprocess.run(["which", tool, "htop"], check=False, capture_output=True).returncode:
            print(f"{name} is left out: it is not installed", file=sys.stderr)
            continue
        how: Callable[[], OnTerminal] = (
            (lambda: OnTerminal(HTOP, env))
            if name == "htop"
            else (lambda: TmuxOf(HTOP, env, folder))
        )
        found[name] = Contestant(how, lambda t: "F10" in t.text() and _rows(t, "root") >= 20)
    return found


def _ours_is_full(terminal: OnTerminal) -> bool:
    """What runs comes first, then what has ended."""
    return _rows(terminal, WEB) + _rows(terminal, JOB) >= 20


def _rows(terminal: OnTerminal, word: str) -> int:
    return sum(word in line for line in terminal.screen.display)


# ------------------------------------------------------------------------- keys


def grounds(terminal: OnTerminal) -> tuple[object, ...]:
    """The colour behind the fourth cell of each row: where the cursor of a table is."""
    screen, found = terminal.screen, []
    for y in range(screen.lines):
        left = 3
        for text, style in screen.runs(y):
            if left < len(text):
                found.append(style.bg)
                break
            left -= len(text)
        else:
            found.append(None)
    return tuple(found)


def press(terminal: OnTerminal, key: bytes, others: Sequence[OnTerminal], seen: Seen) -> float:
    """Seconds from the key to a screen on which what is `seen` has changed."""
    for other in others:
        other.settle(0.001)
    terminal.settle(SETTLED)
    before = seen(terminal)
    if terminal.screen.modes.application_cursor and key.startswith(b"\x1b["):
        key = b"\x1bO" + key[2:]
    begin = time.perf_counter()
    terminal.type(key)
    terminal.until(lambda: seen(terminal) != before, 5.0)
    return time.perf_counter() - begin


def keys(of: Mapping[str, Contestant], rounds: int) -> dict[str, dict[str, Series]]:
    """Down and up by a row, and from one end of the table to the other."""
    with ExitStack() as stack:
        live = {name: stack.enter_context(one.open()) for name, one in of.items()}
        for name, terminal in live.items():
            terminal.until(lambda one=of[name], t=terminal: one.full(t))  # type: ignore[misc]
            terminal.settle(SETTLED)
        wanted: dict[str, tuple[str, Seen]] = {
            "a row on": ("down", grounds),
            "to the other end": ("edge", lambda terminal: terminal.screen.display[20:30]),
        }
        return {
            kind: take_turns(
                {
                    name: _alternating(live, name, getattr(of[name], which), seen)
                    for name in of
                },
                rounds,
            )
            for kind, (which, seen) in wanted.items()
        }  # fmt: skip


def _alternating(
    live: Mapping[str, OnTerminal], name: str, both: Sequence[bytes], seen: Seen
) -> Action:
    turns = iter(range(1 << 30))
    others = [terminal for other, terminal in live.items() if other != name]
    return lambda: press(live[name], both[next(turns) % 2], others, seen)


def our_keys(daemon: Daemon, rounds: int) -> dict[str, Series]:
    """What only the console has: the filter, the tabs, its screens and the way back."""
    found: dict[str, Series] = {}

    def timed(name: str, key: bytes, seen: Callable[[], bool]) -> None:
        console.settle(SETTLED)
        console.until(lambda: not seen())
        begin = time.perf_counter()
        console.type(key)
        console.until(seen)
        found.setdefault(name, Series(name)).taken.append(time.perf_counter() - begin)

    with Console(daemon) as console:
        console.until(lambda: _ours_is_full(console))
        for _ in range(rounds):
            console.type(b"g")  # a filter may have left the cursor, and with it the view, below
            console.until(lambda: _rows(console, WEB) > 1)
            console.type(b"/")
            timed("letter of the filter", b"j", lambda: not _rows(console, WEB))
            timed("letter taken back", b"\x7f", lambda: _rows(console, WEB) > 1)
            console.type(b"\r")
            timed("to the images", b"\t", lambda: bool(_rows(console, "DESCRIPTION")))
            timed("to the boxes", b"\t", lambda: bool(_rows(console, "STATUS")))
            for name, key in (("logs", b"l"), ("inspect", b"i"), ("help", b"?")):
                timed(name, key, lambda: bool(_rows(console, "esc back")))
                timed("back from it", b"\x1b", lambda: bool(_rows(console, "a attach")))
    return found


# ------------------------------------------------------------------------- left open


def left_open(
    of: Mapping[str, Contestant], daemon: Daemon, seconds: float
) -> dict[str, dict[str, float]]:
    """What each takes while nobody types: percent of a core, and MiB that it alone has."""
    cpu = {"boxyd, nobody looks": _share([daemon.pid], lambda: time.sleep(seconds))[0]}
    memory = {"boxyd": _boxy.private_memory(daemon.pid) / MIB}
    for name, one in of.items():
        if name == IN_TMUX:
            continue  # several processes, of which htop is measured by itself
        with one.open() as terminal:
            terminal.until(lambda one=one, t=terminal: one.full(t))  # type: ignore[misc]
            terminal.settle(SETTLED)
            terminal.drain(2.0)
            pids = [terminal.pid, daemon.pid]
            cpu[name], daemons = _share(pids, lambda t=terminal: t.drain(seconds))  # type: ignore[misc]
            memory[name] = _boxy.private_memory(terminal.pid) / MIB
            if name == OURS:
                cpu["boxyd, for boxy-tui"] = daemons
    return {"percent of a core, left open": cpu, "MiB of its own": memory}


def _share(pids: Sequence[int], wait: Callable[[], None]) -> list[float]:
    """Percent of a core that each of these takes meanwhile."""
    begin, before = time.perf_counter(), [_boxy.cpu_seconds(pid) for pid in pids]
    wait()
    spent = time.perf_counter() - begin
    after = [_boxy.cpu_seconds(pid) for pid in pids]
    return [100 * (b - a) / spent for a, b in zip(before, after, strict=True)]


# ------------------------------------------------------------------------- the report


def measure(options: argparse.Namespace) -> Found:
    """All of it, told as it comes."""
    found = Found()
    boxes = options.running + options.exited
    with _boxy.own_daemon() as (daemon, _), tempfile.TemporaryDirectory(prefix="bx-") as folder:
        fill(daemon, options.running, options.exited)
        of = contestants(daemon, boxes, Path(folder))
        starts = {name: one.start for name, one in of.items()}
        found.tell(
            f"start to a full table, {boxes} boxes", OURS, take_turns(starts, options.rounds // 4)
        )
        for kind, series in keys(of, options.rounds).items():
            found.tell(f"key to screen: {kind}", OURS, series)
        found.tell("key to screen: the console's own", "", our_keys(daemon, options.rounds // 4))
        spent = {name: median(one.starting) for name, one in of.items() if name != IN_TMUX}
        found.figures = {"CPU ms of a start": spent}
        found.figures |= left_open(of, daemon, options.seconds)
    for unit, figures in found.figures.items():
        print(f"\n### {unit}\n\n| | {unit} | ours / theirs |\n|---|--:|--:|")
        for name, figure in figures.items():
            ratio = (
                f"{figures[OURS] / figure:.2f}" if figure and name in of and name != OURS else ""
            )
            print(f"| {name} | {figure:.1f} | {ratio} |")
    return found


def main() -> None:
    """Measure, print tables."""
    tidy()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--running", type=int, default=30, help="boxes that run (30)")
    parser.add_argument("--exited", type=int, default=270, help="boxes that have ended (270)")
    parser.add_argument("--rounds", type=int, default=40, help="of each key; starts: a quarter")
    parser.add_argument("--seconds", type=float, default=10.0, help="that it is left open (10)")
    parser.add_argument("--json", type=Path, help="also write every single time here")
    options = parser.parse_args()
    found = measure(options)
    if options.json:
        options.json.write_text(found.as_json())


if __name__ == "__main__":
    main()
