"""What one second of statistics costs the daemon, for a hundred boxes, idle and busy.

    sudo python -m benchmarks.stats [--boxes 100] [--rounds 20] [--json FILE]

Each box is a cgroup with one process, in a network namespace of its own.  "Busy" are boxes
whose CPU counter moved since the last sample, which are read in full; most boxes are idle at
most times.  "With a reader" adds the making of models and of the line of JSON that all readers
of the stream share.  The goal is 5 ms of CPU a second for a hundred boxes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from boxy_core.models import Limits
from boxyd.cgroup import Cgroup, detect
from boxyd.runtime import syscalls
from boxyd.stats import Sampler

GOAL_MS = 5.0


class Member:
    """A process in a cgroup and a network of its own, that uses CPU when it is told to."""

    def __init__(self, group: Cgroup) -> None:
        self.group = group
        self._end, end = os.pipe()
        told, self._tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(told, end)
        os.close(end)
        os.close(told)
        os.read(self._end, 1)

    def _live(self, told: int, end: int) -> None:
        """The child: never returns."""
        try:
            for path in self.group.plan().procs:
                with open(path, "w", encoding="ascii") as file:
                    file.write("0")
            syscalls.unshare(syscalls.CLONE_NEWNET)
            os.write(end, b"!")
            while os.read(told, 1):
                sum(range(1000))
                os.write(end, b"!")
        finally:
            os._exit(0)

    def use_cpu(self) -> None:
        """Make it run for a moment, and wait until it has."""
        os.write(self._tell, b"!")
        os.read(self._end, 1)

    def close(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._end)
        os.close(self._tell)


@contextmanager
def members(number: int) -> Iterator[list[Member]]:
    """That many boxes' worth of cgroups, taken away again."""
    parent = f"boxy/bench-{secrets.token_hex(4)}"
    driver = detect(parent=parent)
    if driver.kind == "null":
        sys.exit(f"boxy: {driver.notices[0]}")
    with ExitStack() as undo:
        undo.callback(_remove_parent, driver.open(parent))
        made = []
        for index in range(number):
            group = driver.create(f"{parent}/{index}", Limits(memory=64 << 20))
            undo.callback(group.remove)
            made.append(Member(group))
            undo.callback(made[-1].close)
        yield made


def _remove_parent(parent: Cgroup) -> None:
    parent.remove()


def cost(rounds: int, prepare: Callable[[], None], work: Callable[[], object]) -> list[float]:
    """CPU milliseconds of `work` in each round, `prepare` left out."""
    spent = []
    for _ in range(rounds):
        prepare()
        before = time.process_time()
        work()
        spent.append((time.process_time() - before) * 1000)
    return spent


def measure(number: int, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of a round of samples, for each case."""
    loop = asyncio.new_event_loop()
    with members(number) as made:
        sampler = Sampler()
        for index, member in enumerate(made):
            sampler.add(f"{index:064x}", member.group, net_pid=member.pid)

        def everyone_runs() -> None:
            for member in made:
                member.use_cpu()

        def tick() -> object:
            return loop.run_until_complete(sampler.tick())

        def tick_read() -> object:
            return loop.run_until_complete(sampler.tick()).encoded

        def idle() -> None:
            time.sleep(0.01)

        for _ in range(5):
            tick()
        cases = {
            "idle": (idle, tick),
            "busy": (everyone_runs, tick),
            "busy, with a reader": (everyone_runs, tick_read),
        }
        found = {name: cost(rounds, *case) for name, case in cases.items()}
        sampler.close()
    loop.close()
    return {name: statistics.median(spent) for name, spent in found.items()}


def main() -> int:
    """Measure, print, and tell by the status whether the goal was met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    found = measure(options.boxes, options.rounds)
    print(f"CPU of one round of samples of {options.boxes} boxes (goal: {GOAL_MS} ms a second)")
    for name, milliseconds in found.items():
        print(f"  {name:<22}{milliseconds:6.2f} ms")
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(found, file)
    return 0 if max(found.values()) < GOAL_MS * options.boxes / 100 else 1


if __name__ == "__main__":
    sys.exit(main())
