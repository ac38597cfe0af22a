"""Timing of whole commands, taking turns, so that a slow minute hits all of them alike.

A command is started by posix_spawn straight from this process, without a shell, and the clock
runs until wait4(2) returns. Ratios are made within each round and then their median is taken:
what other programs on the machine do falls on both sides.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Action = Callable[[], float]
"""Does something once; the seconds that it took."""


class Failed(RuntimeError):
    """A command that is measured did not succeed; the text tells which and what it said."""


def tidy() -> None:
    """Have SIGTERM end this program as ctrl+C does, so that what it started is taken away; and
    keep what its caller left open from containers' monitors, which would keep it open."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.set_inheritable(int(name), False)


@dataclass(frozen=True)
class Command:
    """A command line that can be timed."""

    arguments: Sequence[str]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __call__(self) -> float:
        """Run it once, output thrown away; seconds. Raises `Failed`."""
        return run(self.arguments, self.env)


def run(arguments: Sequence[str], env: Mapping[str, str]) -> float:
    """Seconds from the spawn to the end of a command that must succeed."""
    with tempfile.TemporaryFile() as errors, open(os.devnull, "r+b") as null:
        actions = [
            (os.POSIX_SPAWN_DUP2, null.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, null.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        start = time.perf_counter()
        try:
            pid = os.posix_spawnp(arguments[0], list(arguments), env, file_actions=actions)
        except OSError as error:
            raise Failed(f"{arguments[0]}: {error.strerror}") from error
        _, status, _ = os.wait4(pid, 0)
        taken = time.perf_counter() - start
        if status:
            errors.seek(0)
            said = errors.read()[-300:].decode(errors="replace").strip()
            code = os.waitstatus_to_exitcode(status)
            raise Failed(f"{shlex.join(arguments)}: exit status {code}: {said}")
    return taken


@dataclass
class Series:
    """What one contestant took, round by round, in seconds."""

    name: str
    taken: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float:
        """Median in milliseconds."""
        return statistics.median(self.taken) * 1000

    @property
    def p95(self) -> float:
        """95th percentile in milliseconds."""
        return sorted(self.taken)[int(len(self.taken) * 0.95)] * 1000

    def ratio(self, other: Series) -> float:
        """How many times as long as `other` it took: median of the rounds' ratios."""
        return statistics.median(a / b for a, b in zip(self.taken, other.taken, strict=False))


def take_turns(
    contestants: Mapping[str, Action], rounds: int, *, warm_up: int = 2, pause: float = 0.05
) -> dict[str, Series]:
    """Run every contestant once a round, in an order that rotates; failures drop out, told.

    The pause lets what the last one left to do in the background come to its end.
    """
    series = {name: Series(name) for name in contestants}
    names = list(contestants)
    for number in range(-warm_up, rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            if series[name].failure:
                continue
            time.sleep(pause)
            try:
                taken = contestants[name]()
            except Failed as failure:
                series[name].failure = str(failure)
                continue
            if number >= 0:
                series[name].taken.append(taken)
    return series


def table(title: str, series: Mapping[str, Series], ours: str, goals: Mapping[str, float]) -> str:
    """A Markdown table: medians, and how `ours` compares with each; `goals` bound that ratio."""
    lines = [
        f"\n### {title}\n",
        "| | median ms | p95 ms | ours / theirs | goal |",
        "|---|--:|--:|--:|--:|",
    ]
    us = series[ours]
    for name, them in series.items():
        if them.failure or not them.taken:
            lines.append(f"| {name} | failed: {them.failure} | | | |")
            continue
        row = f"| {name} | {them.median:.1f} | {them.p95:.1f} |"
        if name == ours or us.failure:
            lines.append(f"{row} | |")
            continue
        ratio, goal = us.ratio(them), goals.get(name)
        verdict = f"≤ {goal:.2f} {'✓' if ratio <= goal else '✗'}" if goal else ""
        lines.append(f"{row} {ratio:.2f} | {verdict} |")
    return "\n".join(lines)
