"""Terminals from the box to the screen: latency, many panes, throughput beside the peers.

    python -m benchmarks.panes [latency] [many] [throughput] [--docker]

`latency` and `many` drive the real console on a terminal, with a real box behind it: a key goes
through console, socket, shim and terminal, and its echo back through emulator and Textual.
`throughput` measures `boxy run -t` beside `docker run -t` and `podman run -t`, taking turns. Other
load on the machine shows in all of it. Floods are in `benchmarks.floods`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import _boxy, _peers
from benchmarks._console import Console
from benchmarks._timing import Failed, table, take_turns
from tests.support.daemon import Daemon

PAYLOAD = 20_000_000
LINE = "0123456789" * 7 + "abcdefgh"
FLOOD = f"yes {LINE} | head -c {PAYLOAD}"


def say(name: str, value: str, goal: str = "") -> None:
    """A row of the report."""
    print(f"| {name} | {value} | {goal} |", flush=True)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def latency(daemon: Daemon) -> None:
    """A key typed at a shell, until it is on the screen; and what an idle pane costs."""
    daemon.run("run", "-d", "-it", "--name", "shell", "alpine", "sh")
    with Console(daemon) as console:
        console.enter("shell")
        taken = [_typed(console, number) for number in range(200)]
        say("key to screen, median", f"{statistics.median(taken) * 1000:.1f} ms", "≤ 20 ms")
        say("key to screen, p99", f"{_percentile(taken, 0.99) * 1000:.1f} ms", "≤ 50 ms")
        console.settle(1.0)
        before = console.cpu
        console.watch(5.0, lambda: 0)
        say("idle pane", f"{(console.cpu - before) / 5:.1%} of a core", "0 %")
    daemon.run("rm", "-f", "shell")


def _typed(console: Console, number: int) -> float:
    """One key, at a typist's pace; the line is given up after 40."""
    time.sleep(0.02)
    char = chr(97 + number % 26)
    if number % 40 == 0:
        console.type(b"\x15")
        console.settle(0.15)
    before = _count(console, char)
    console.type(char.encode())
    return console.until(lambda: _count(console, char) > before)


def _count(console: Console, char: str) -> int:
    return sum(row.count(char) for row in console.screen.display[:-1])


def many(daemon: Daemon) -> None:
    """Twelve panes side by side, a full-screen program in each that draws twice a second."""
    program = "htop -d 5" if shutil.which("htop") else "top -d 0.5"
    daemon.run("run", "-d", "-it", "--name", "shell", "host", "bash", "--norc")
    with Console(daemon) as console:
        console.enter("shell")
        for number in range(12):
            if number:
                console.type(b"\x1dc")
                console.shows(f"{number + 1} shell")
            console.type(program.encode() + b"\r")
            console.settle(0.2)
        console.type(b"\x1dz")
        console.watch(5.0, lambda: 0)
        before, start = console.cpu, time.perf_counter()
        console.watch(10.0, lambda: 0)
        share = (console.cpu - before) / (time.perf_counter() - start)
        say(f"12 panes of {program}", f"{share:.0%} of a core", "< 20 %")
    daemon.run("rm", "-f", "shell")


def throughput(daemon: Daemon, with_docker: bool) -> None:
    """A flood through `run -t`, beside the peers; and past a client that does not read."""
    archive = next(Path(daemon.env["BOXY_REGISTRY_PATH"]).glob("alpine/rootfs.tar.gz"))
    folder = Path(tempfile.mkdtemp(prefix="bx-peers-"))
    boxy = _boxy.program("boxy")
    contestants: dict[str, Callable[[], float]] = {
        "boxy": lambda: _timed(
            [*boxy, "run", "-t", "--rm", "alpine", "sh", "-c", FLOOD], daemon.env
        )
    }
    try:
        for name in ("podman", "docker"):
            if name == "docker" and not with_docker:
                continue
            try:
                peer = _peers.KNOWN[name](folder / name, archive, "boxy/bench-peers")
            except Failed as failure:
                print(f"{name} is left out: {failure}")
                continue
            base = [word for word in peer.run if word not in (_peers.IMAGE, "true")]
            command = [*base, "-t", _peers.IMAGE, "sh", "-c", FLOOD]
            contestants[peer.name] = lambda command=command, peer=peer: _timed(  # type: ignore[misc]
                command, peer.env
            )
        series = take_turns(contestants, 5, warm_up=1)
        print(table(f"{PAYLOAD / 1e6:.0f} MB through run -t", series, "boxy", {}))
    finally:
        _peers.clean(folder)


def _timed(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    taken = time.perf_counter() - start
    if done.returncode or len(done.stdout) < PAYLOAD:
        said = re.sub(rb"\s+", b" ", done.stderr[-300:]).decode(errors="replace")
        raise Failed(f"{' '.join(command[:3])}: status {done.returncode}: {said}")
    return taken


def main() -> None:
    """Measure what is asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", nargs="*", default=["latency", "many", "throughput"])
    parser.add_argument(
        "--docker", action="store_true", help="by the daemon that DOCKER_HOST names"
    )
    options = parser.parse_args()
    if unknown := set(options.what) - {"latency", "many", "throughput"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with _boxy.own_daemon() as (daemon, _):
        for name in options.what:
            if name == "throughput":
                throughput(daemon, options.docker)
                continue
            print(f"\n### {name}\n\n| | | goal |\n|---|---|---|", flush=True)
            {"latency": latency, "many": many}[name](daemon)


if __name__ == "__main__":
    main()
