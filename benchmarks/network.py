"""What a network costs a box's start, and how fast bytes reach a box, beside Podman and Docker.

    python -m benchmarks.network                in a network namespace made for it
    python -m benchmarks.network --here         in this one (where a Docker daemon lives, say)

Each tool's container is started without a network and on its default bridge, taking turns; the
difference is what the network costs.  Then a server in each swallows what a client on the host
sends, straight to the container's address and through a published port on 127.0.0.1.  The
programs are this machine's own Python, shown inside, so that all run the same ones.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import _peers
from benchmarks._boxy import own_daemon, program
from benchmarks._timing import Failed, run
from tests.support.daemon import Daemon
from tests.support.images import find_archive

ROUNDS = 8
REQUESTS = 50
SECONDS = 2.0
PORT = 5000
SINK = (
    "import socket\n"
    f"s = socket.create_server(('0.0.0.0', {PORT}))\n"
    "b = bytearray(1 << 20)\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    while c.recv_into(b): pass\n"
)
SHOWN = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
SERVER = ("/usr/bin/python3", "-c", SINK)


class Tool:
    """A container tool by its command line, which all of them share with Docker."""

    def __init__(self, name: str, base: Sequence[str], env: dict[str, str], image: str,
                 extra: Sequence[str] = ()) -> None:  # fmt: skip
        self.name, self._base, self._env, self._image = name, list(base), env, image
        self._extra = list(extra)

    def start(self, *flags: str, command: Sequence[str] = _peers.SLEEP) -> float:
        """Start a container `bench` in the background; seconds.  Raises Failed."""
        words = ["run", "-d", "--name", "bench", *self._extra, *flags, self._image, *command]
        return run([*self._base, *words], self._env)

    def remove(self) -> None:
        """Take it away."""
        run([*self._base, "rm", "-f", "bench"], self._env)

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


def cost(tool: Tool) -> dict[str, float]:
    """Median milliseconds of a start without network, with one, and with a published port."""
    ways = {"none": ("--network", "none"), "bridge": ("--network", "bridge"),
            "port": ("--network", "bridge", "-p", f"127.0.0.1:18080:{PORT}")}  # fmt: skip
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, flags in ways.items():
            taken[way].append(1e3 * tool.start(*flags))
            tool.remove()
    return {way: statistics.median(times) for way, times in taken.items()}


def speed(address: str, port: int) -> float:
    """Gigabits a second that go through a connection."""
    data, sent = b"\0" * (256 << 10), 0
    with _connected(address, port) as sock:
        begun = time.perf_counter()
        while time.perf_counter() < begun + SECONDS:
            sent += sock.send(data)
        return 8 * sent / (time.perf_counter() - begun) / 1e9


def _connected(address: str, port: int) -> socket.socket:
    """A connection, as soon as the server listens."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((address, port), 2)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def speeds(tool: Tool) -> dict[str, float]:
    """Straight to the container, and through a published port."""
    tool.start("--network", "bridge", "-p", f"127.0.0.1:18080:{PORT}", *SHOWN, command=SERVER)
    try:
        address = tool.address()
        rounds = [(speed(address, PORT), speed("127.0.0.1", 18080)) for _ in range(3)]
    finally:
        tool.remove()
    return {
        "straight": statistics.median(one for one, _ in rounds),
        "port": statistics.median(other for _, other in rounds),
    }


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


def measured(tools: list[Tool], what: Callable[[Tool], dict[str, float]], unit: str) -> None:
    """Print what each tool took, and how many times ours."""
    ours = what(tools[0])
    for tool in tools:
        theirs = ours if tool is tools[0] else what(tool)
        cells = [
            f"{key} {value:.2f} {unit}"
            + ("" if tool is tools[0] else f" ({value / ours[key]:.2f}x ours)")
            for key, value in theirs.items()
        ]
        print(f"  {tool.name:<16}" + "   ".join(cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="in this network namespace")
    if not parser.parse_args().here:
        words = [sys.executable, "-m", "benchmarks.network", "--here"]
        os.execvp("unshare", ["unshare", "-n", "sh", "-c",
                              'ip link set lo up && exec "$@"', "sh", *words])  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bx-peers-") as text, own_daemon() as (daemon, _):
        folder = Path(text)
        start = starting(daemon)
        print("request to running box, median of", REQUESTS)
        print("  " + "   ".join(f"{way} {ms:.1f} ms" for way, ms in start.items()))
        print(f"  a network costs {start['bridge'] - start['none']:.1f} ms, "
              f"with a port {start['port'] - start['none']:.1f} ms")  # fmt: skip
        on, off = connecting(daemon)
        print(f"a running box: connect {on:.1f} ms, disconnect {off:.1f} ms")
        boxy = Tool("boxy", program("boxy"), daemon.env, "alpine")
        try:
            tools = [boxy, *peers(folder)]
            print(f"`run -d` of each, median of {ROUNDS}")
            measured(tools, cost, "ms")
            print("from the host into a container")
            measured(tools, speeds, "Gbit/s")
        finally:
            _peers.clean(folder)


if __name__ == "__main__":
    main()
