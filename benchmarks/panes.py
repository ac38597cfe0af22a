"""Terminals from the box to the screen: latency, floods, many panes, throughput beside the peers.

    python -m benchmarks.panes [latency] [flood] [many] [throughput] [--docker]

`latency`, `flood` and `many` drive the real console on a terminal, with a real box behind it: a key
goes through console, socket, shim and terminal, and its echo back through emulator and Textual.
`throughput` measures `boxy run -t` beside `docker run -t` and `podman run -t`, taking turns, and
what one client that never reads costs the others. Other load on the machine shows in all of it.
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
from boxy_core import protocol
from boxy_core.client.blocking import Upgraded, box_path
from tests.support.daemon import Daemon

PAYLOAD = 50_000_000
LINE = "0123456789" * 7 + "abcdefgh"
FLOOD = f"yes {LINE} | head -c {PAYLOAD}"
SPURT = 10_000_000
DRAWN = 3.0
"""seconds that are watched"""


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


def flood(daemon: Daemon) -> None:
    """A pane under a flood: what is seen, what a key waits, what it costs, whether ctrl-c works."""
    daemon.run("run", "-d", "-it", "--name", "shell", "alpine", "sh")
    alone = _flood_seconds(daemon)
    with Console(daemon) as console:
        console.enter("shell")
        watched = _flood_seconds(daemon, console)
        say("a box's speed beside a console that shows it", f"{alone / watched:.0%} of alone")
        for command in ("yes", "seq 1 1000000000"):
            console.type(command.encode() + b"\r")
            console.watch(1.0, lambda: 0)
            cpu = console.cpu
            frames = console.watch(DRAWN, lambda: console.read_bytes) / DRAWN
            say(f"{command}: frames", f"{frames:.0f} a second", "≥ 30" if "seq" in command else "")
            say(f"{command}: console", f"{(console.cpu - cpu) / DRAWN:.0%} of a core", "≤ 100 %")
            keys = [_menu(console) for _ in range(20)]
            say(f"{command}: console's key, median", f"{statistics.median(keys) * 1000:.0f} ms")
            say(f"{command}: console's key, p95", f"{_percentile(keys, 0.95) * 1000:.0f} ms",
                "≤ 50 ms")  # fmt: skip
            console.type(b"\x03")
            stopped = console.until(lambda: _prompted(console))
            say(f"{command}: ctrl-c to the prompt", f"{stopped * 1000:.0f} ms")
            console.settle()
    daemon.run("rm", "-f", "shell")


def _prompted(console: Console) -> bool:
    rows = [row.rstrip() for row in console.screen.display[:-1]]
    last = next((row for row in reversed(rows) if row), "")
    return last.endswith("#")


def _menu(console: Console) -> float:
    """ctrl+] until its menu is there; and away again."""
    console.type(b"\x1d")
    taken = console.until(lambda: "zoom" in console.screen.display[-1])
    console.type(b"\x1b")
    console.until(lambda: "zoom" not in console.screen.display[-1])
    return taken


def _flood_seconds(daemon: Daemon, console: Console | None = None) -> float:
    """How long the box takes to write to its terminal."""
    now = "cut -d' ' -f1 /proc/uptime >> /tmp/took"
    script = f"{now}; yes {LINE} | head -c {SPURT}; {now}"
    client = daemon.client()
    upgraded = client.upgrade(box_path("shell", "attach"), query={"stdin": 1, "replay": 0})
    daemon.boxy("exec", "shell", "rm", "-f", "/tmp/took")
    upgraded.socket.sendall(protocol.frame(protocol.STDIN, script.encode() + b"\r"))
    upgraded.socket.close()
    while len(times := daemon.boxy("exec", "shell", "cat", "/tmp/took").stdout.split()) < 2:
        if console is not None:
            console.watch(0.2, lambda: 0)
        else:
            time.sleep(0.2)
    return float(times[1]) - float(times[0])


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
    daemon.run("run", "-d", "-it", "--name", "shell", "alpine", "sh")
    print("\n| | | goal |\n|---|---|---|")
    alone = min(_flood_seconds(daemon) for _ in range(3))
    stalled = _stalled(daemon)
    beside = min(_flood_seconds(daemon) for _ in range(3))
    stalled.socket.close()
    say("a box's speed with a client that never reads", f"{alone / beside:.0%} of alone", "100 %")
    say("a box writes to its terminal", f"{SPURT / alone / 1e6:.0f} MB/s")
    daemon.run("rm", "-f", "shell")


def _stalled(daemon: Daemon) -> Upgraded:
    return daemon.client().upgrade(box_path("shell", "attach"), query={"stdin": 0, "replay": 1})


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
    parser.add_argument("what", nargs="*", default=["latency", "flood", "many", "throughput"])
    parser.add_argument(
        "--docker", action="store_true", help="by the daemon that DOCKER_HOST names"
    )
    options = parser.parse_args()
    with _boxy.own_daemon() as (daemon, _):
        for name in options.what:
            if name == "throughput":
                throughput(daemon, options.docker)
                continue
            print(f"\n### {name}\n\n| | | goal |\n|---|---|---|", flush=True)
            {"latency": latency, "flood": flood, "many": many}[name](daemon)


if __name__ == "__main__":
    main()
