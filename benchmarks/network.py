"""What a network costs a box's start, and how fast bytes reach a box, beside Podman and Docker.

    python -m benchmarks.network                in a network namespace made for it
    python -m benchmarks.network --here         in this one (where a Docker daemon lives, say)
    python -m benchmarks.network --only traffic     start, traffic or crowd alone

Each tool's container is started without a network, on its default bridge and with a published
port, taking turns; the difference is what the network costs.  Then a server in each is asked by the
same client: from the host straight at its address and by a port published on 127.0.0.1, and from
another container of the same network.  Docker's daemon is one of our own, unless DOCKER_HOST names
one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import _dockerd, _peers, _traffic
from benchmarks._boxy import own_daemon, program
from benchmarks._timing import Failed, run, tidy
from tests.support.daemon import Daemon
from tests.support.images import find_archive

ROUNDS = 8
REQUESTS = 50
TRAFFIC_ROUNDS = 5
CROWD = 100
HOST_PORT = 18080
Figures = dict[str, float]


class Tool:
    """A container tool by its command line, which all of them share with Docker."""

    def __init__(self, name: str, base: Sequence[str], env: dict[str, str], image: str,
                 extra: Sequence[str] = ()) -> None:  # fmt: skip
        self.name, self._base, self._env, self._image = name, list(base), env, image
        self._extra = list(extra)
        self.port = 0
        """of the host, that leads to its server"""

    def start(self, *flags: str, command: Sequence[str] = _peers.SLEEP) -> float:
        """Start a container `bench` in the background; seconds.  Raises Failed."""
        words = ["run", "-d", "--name", "bench", *self._extra, *flags, self._image, *command]
        return run([*self._base, *words], self._env)

    def said(self, *flags: str, command: Sequence[str]) -> str:
        """What a container prints that is run for it."""
        words = ["run", "--rm", *self._extra, *flags, self._image, *command]
        done = subprocess.run(
            [*self._base, *words], env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failed(f"{self.name}: {done.stderr[-300:]}")
        return done.stdout

    def remove(self) -> None:
        """Take it away, killed at once as all but Podman do."""
        at_once = ["-t", "0"] if self.name.startswith("podman") else []
        run([*self._base, "rm", "-f", *at_once, "bench"], self._env)

    def address(self) -> str:
        """Its address on the bridge."""
        done = subprocess.run(
            [*self._base, "inspect", "bench"], env=self._env, capture_output=True, check=True
        )
        data = json.loads(done.stdout)[0]
        if "networks" in data:
            return str(data["networks"][0]["address"]).partition("/")[0]
        settings = data["NetworkSettings"]
        networks = settings.get("Networks") or {}
        found = [settings.get("IPAddress"), *(n.get("IPAddress") for n in networks.values())]
        return next(str(address) for address in found if address)


# ------------------------------------------------------------------------ starts


def costs(tools: list[Tool]) -> None:
    """Milliseconds of `run -d` without a network, with one, and with a published port."""
    ways = {"none": ("--network", "none"), "bridge": ("--network", "bridge"),
            "port": ("--network", "bridge", "-p", f"127.0.0.1:{HOST_PORT}:80")}  # fmt: skip

    def once(tool: Tool) -> Figures:
        taken = {}
        for way, flags in ways.items():
            taken[way] = 1e3 * tool.start(*flags)
            tool.remove()
        return taken

    print(f"`run -d` of each, ms, median of {ROUNDS}")
    show(tools, in_turns(tools, once, ROUNDS))


def in_turns(
    tools: list[Tool], measure: Callable[[Tool], Figures], rounds: int
) -> dict[str, list[Figures]]:
    """The figures of each tool by its name; each round begins with another tool."""
    found: dict[str, list[Figures]] = {tool.name: [] for tool in tools}
    for number in range(rounds):
        shift = number % len(tools)
        for tool in [*tools[shift:], *tools[:shift]]:
            found[tool.name].append(measure(tool))
    return found


def show(tools: list[Tool], found: dict[str, list[Figures]]) -> None:
    """Print the medians, and how many times ours each is (the median of the rounds' ratios)."""
    ours = found[tools[0].name]
    for tool in tools:
        cells = []
        for key in ours[0]:
            values = [figures[key] for figures in found[tool.name]]
            cell = f"{key} {statistics.median(values):.2f}"
            if tool is not tools[0]:
                ratios = [v / one[key] for v, one in zip(values, ours, strict=True)]
                cell += f" ({statistics.median(ratios):.2f}x ours)"
            cells.append(cell)
        print(f"  {tool.name:<16}" + "   ".join(cells))


# ------------------------------------------------------------------------ traffic


def traffic(tools: list[Tool]) -> None:
    """Throughput, connecting and round trips of each, by every way into a container."""
    for number, tool in enumerate(tools):
        tool.port = HOST_PORT + number
        tool.start("--network", "bridge", "-p", f"127.0.0.1:{tool.port}:{_traffic.PORT}",
                   *_traffic.SHOWN, command=_traffic.SERVER)  # fmt: skip
    ways: dict[str, Callable[[Tool], Figures]] = {
        "from the host to the container's address": lambda tool: _from_host(
            tool.address(), _traffic.PORT
        ),
        "from the host by a port published on 127.0.0.1": lambda tool: _from_host(
            "127.0.0.1", tool.port
        ),
        "from one container to another": _between,
    }
    try:
        for way, measure in ways.items():
            print(way)
            show(tools, in_turns(tools, measure, TRAFFIC_ROUNDS))
    finally:
        for tool in tools:
            tool.remove()


def _from_host(address: str, port: int) -> Figures:
    words = _traffic.client(address, port)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: Figures = json.loads(done.stdout)
    return found


def _between(tool: Tool) -> Figures:
    words = _traffic.client(tool.address(), _traffic.PORT)
    said = tool.said("--network", "bridge", *_traffic.SHOWN, command=words)
    found: Figures = json.loads(said)
    return found


# ------------------------------------------------------------------------ ours alone


def connecting(daemon: Daemon) -> tuple[float, float]:
    """Median milliseconds of the requests that connect and disconnect a running box."""
    client = daemon.client()
    daemon.run("network", "create", "other")
    daemon.run("run", "-d", "--name", "bench", "--network", "bridge", "alpine", *_peers.SLEEP)
    daemon.run("run", "-d", "--name", "stays", "--network", "other", "alpine", *_peers.SLEEP)
    taken: dict[str, list[float]] = {"connect": [], "disconnect": []}
    for _ in range(REQUESTS):
        for deed, times in taken.items():
            begun = time.perf_counter()
            client.request("POST", f"/networks/other/{deed}", body={"box": "bench"})
            times.append(1e3 * (time.perf_counter() - begun))
    daemon.remove_boxes()
    return statistics.median(taken["connect"]), statistics.median(taken["disconnect"])


def starting(daemon: Daemon) -> dict[str, float]:
    """Median milliseconds from the request to the running box, asked on one connection."""
    client = daemon.client()
    ways: dict[str, dict[str, object]] = {
        "none": {"network": "none"},
        "bridge": {"network": "bridge"},
        "port": {"network": "bridge", "ports": [{"box": 80}]},
    }
    daemon.run("run", "-d", "--name", "stays", "--network", "bridge", "alpine", *_peers.SLEEP)
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(REQUESTS):
        for way, fields in ways.items():
            spec = {"image": "alpine", "command": list(_peers.SLEEP), **fields}
            box = client.request("POST", "/boxes", body=spec)
            time.sleep(0.02)
            begun = time.perf_counter()
            client.request("POST", f"/boxes/{box['id']}/start", body={})
            taken[way].append(1e3 * (time.perf_counter() - begun))
            client.request("DELETE", f"/boxes/{box['id']}", query={"force": "1"})
    daemon.remove_boxes()
    return {way: statistics.median(times) for way, times in taken.items()}


def peers(folder: Path) -> list[Tool]:
    """Podman and Docker, as far as they can be had; each absence is told."""
    found = []
    archive = find_archive()
    assert archive is not None, "an Alpine archive is needed: BOXY_TEST_ALPINE names one"
    for name in ("podman", "docker"):
        try:
            peer = _peers.KNOWN[name](folder / name, Path(archive), "boxy/bench-peers")
            tool = Tool(peer.name, [name], peer.env, _peers.IMAGE,
                        ["--cgroup-parent=/boxy/bench-peers"])  # fmt: skip
            tool.start("--network", "bridge")
            tool.remove()
        except Failed as failure:
            print(f"{name} is left out: {failure}")
        else:
            found.append(tool)
    return found


def crowd(daemon: Daemon) -> None:
    """Many boxes at once: what each costs, and what the daemon keeps of them when they are gone."""
    client = daemon.client()
    spec = {"image": "alpine", "command": list(_peers.SLEEP), "network": "bridge",
            "ports": [{"box": 80}]}  # fmt: skip

    def make() -> list[str]:
        return [
            client.request("POST", "/boxes", body=spec, query={"start": "1"})["id"]
            for _ in range(CROWD)
        ]

    def remove(ids: list[str]) -> None:
        for box in ids:
            client.request("DELETE", f"/boxes/{box}", query={"force": "1"})
        time.sleep(3)  # the network goes a moment after its last box

    print(f"{CROWD} boxes with a network and a port, one after another, twice")
    print(f"  before: {_held(daemon)}")
    for _ in range(2):
        begun = time.perf_counter()
        ids = make()
        started = time.perf_counter()
        held = _held(daemon)
        begun_removing = time.perf_counter()
        remove(ids)
        print(f"  start {1e3 * (started - begun) / CROWD:.1f} ms each, "
              f"remove {1e3 * (time.perf_counter() - begun_removing - 3) / CROWD:.1f} ms each; "
              f"with them: {held}; after: {_held(daemon)}")  # fmt: skip


def _held(daemon: Daemon) -> str:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return f"{memory:.1f} MiB, {len(os.listdir(f'/proc/{daemon.pid}/fd'))} descriptors"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="in this network namespace")
    parser.add_argument("--only", choices=("start", "traffic", "crowd"), help="one part")
    args = parser.parse_args()
    if not args.here:
        words = [sys.executable, "-m", "benchmarks.network", "--here", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "-n", "sh", "-c",
                              'ip link set lo up && exec "$@"', "sh", *words])  # fmt: skip
    tidy()
    with tempfile.TemporaryDirectory(prefix="bx-peers-") as text, own_daemon() as (daemon, _):
        if args.only in (None, "start"):
            start = starting(daemon)
            print("request to running box, median of", REQUESTS)
            print("  " + "   ".join(f"{way} {ms:.1f} ms" for way, ms in start.items()))
            print(f"  a network costs {start['bridge'] - start['none']:.1f} ms, "
                  f"with a port {start['port'] - start['none']:.1f} ms")  # fmt: skip
            on, off = connecting(daemon)
            print(f"a running box: connect {on:.1f} ms, disconnect {off:.1f} ms")
        if args.only in (None, "crowd"):
            crowd(daemon)
        if args.only != "crowd":
            beside_peers(daemon, Path(text), args.only)


def beside_peers(daemon: Daemon, folder: Path, only: str | None) -> None:
    """What all tools are measured by."""
    boxy = Tool("boxy", program("boxy"), daemon.env, "alpine")
    try:
        with _dockerd.running(folder / "dockerd"):
            tools = [boxy, *peers(folder)]
            if only != "traffic":
                costs(tools)
            if only != "start":
                traffic(tools)
    finally:
        _peers.clean(folder)


if __name__ == "__main__":
    main()
