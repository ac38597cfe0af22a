"""The registry server beside Debian's docker-registry: same store, same client, same run.

    python -m benchmarks.registry [--rounds 3] [--size 256] [--seconds 3] [--json FILE]

Small requests by `wrk` on 8 connections: a manifest by its tag, a small blob, the base. Large
ones by a client that costs as little as can be: it sends from memory with sendfile(2) and throws
away what it pulls (MSG_TRUNC), so that the servers' work shows. Both servers sync what they
acknowledge. They take turns in each round, large blobs several times, and ratios are made within
a turn. What a server's processors spent on a large blob is told beside its speed: that hardly
depends on what else the machine does. Memory is the most that was resident (VmHWM) over the whole
run, of all of a server's processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

IMAGE = "application/vnd.oci.image.manifest.v1+json"
SMALL_GOAL, LARGE_GOAL, MEMORY_GOAL = 5.0, 1.5, 0.5
SMALL_BLOB = 10_240
LARGE_TURNS = 3
"""of large blobs in each round"""
_CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


class Failed(RuntimeError):
    """A server did not answer as it should."""


@dataclass
class Contestant:
    """A running server, and what was measured of it."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    rates: dict[str, list[float]] = field(default_factory=dict)
    pushed: int = 0

    def note(self, what: str, rate: float) -> None:
        """Keep a measurement: more is better."""
        self.rates.setdefault(what, []).append(rate)

    def processor_seconds(self) -> float:
        """What its processes have computed so far."""
        total = 0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """The most memory that was resident, in MiB."""
        return sum(_peak(pid) for pid in [self.process.pid, *_children(self.process.pid)]) / 1024


# ------------------------------------------------------------------ servers


@contextmanager
def serving(name: str, command: list[str], port: int) -> Iterator[Contestant]:
    """Start a server, wait until it answers, end it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                Client(port).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{name} does not answer: {' '.join(command)}") from None
                time.sleep(0.02)
        yield Contestant(name, port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def contestants(stack: ExitStack, folder: Path, workers: int) -> list[Contestant]:
    """Ours and theirs. Raises Failed if theirs is not installed."""
    if shutil.which("docker-registry") is None or shutil.which("wrk") is None:
        raise Failed("docker-registry or wrk is missing; say: apt install docker-registry wrk")
    ports = _free_ports(2)
    ours = [
        sys.executable, "-m", "boxy_registry", "serve", "--root", str(folder / "ours"),
        "--listen", f"127.0.0.1:{ports[0]}", "--access-log", "off", "--workers", str(workers),
    ]  # fmt: skip
    config = folder / "theirs.yml"
    config.write_text(_CONFIG.format(root=folder / "theirs", port=ports[1]))
    theirs = ["docker-registry", "serve", str(config)]
    return [
        stack.enter_context(serving("boxy-registry", ours, ports[0])),
        stack.enter_context(serving("docker-registry", theirs, ports[1])),
    ]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


# ------------------------------------------------------------------ a client that costs little


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(
        self, method: str, path: str, body: bytes = b"", *, media_type: str = ""
    ) -> dict[str, str]:
        """A small request; the answer's headers. Raises Failed unless it is 2xx."""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Content-Type: {media_type}\r\n" if media_type else ""
        self._socket.sendall(head.encode() + b"\r\n" + body)
        headers, rest = self._head()
        self._discard(int(headers.get("content-length", "0")) - rest)
        return headers

    def push(self, repository: str, path: Path, digest: str) -> None:
        """A large blob as podman and docker push it: POST, PATCH with all of it, PUT."""
        place = self.ask("POST", f"/v2/{repository}/blobs/uploads/")["location"]
        size = path.stat().st_size
        head = (
            f"PATCH {_path(place)} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        with path.open("rb") as file:
            self._socket.sendfile(file)
        place = self._head()[0]["location"]
        self.ask("PUT", _with_digest(_path(place), digest))

    def pull(self, repository: str, digest: str, size: int) -> None:
        """A large blob, thrown away."""
        request = f"GET /v2/{repository}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n"
        self._socket.sendall(request.encode())
        headers, rest = self._head()
        if int(headers["content-length"]) != size:
            raise Failed("a blob has another size")
        self._discard(size - rest)

    def _head(self) -> tuple[dict[str, str], int]:
        data = b""
        while b"\r\n\r\n" not in data:
            received = self._socket.recv(65536)
            if not received:
                raise Failed("the server hung up")
            data += received
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        if first.split()[1][0] != "2":
            raise Failed(f"{first}: {rest[:300]!r}")
        pairs = (line.partition(":") for line in lines)
        return {name.lower(): value.strip() for name, _, value in pairs}, len(rest)

    def _discard(self, size: int) -> None:
        buffer = bytearray(1 << 20)
        while size > 0:
            count = self._socket.recv_into(buffer, min(size, 1 << 20), socket.MSG_TRUNC)
            if count == 0:
                raise Failed("the server hung up in a body")
            size -= count


def _path(location: str) -> str:
    return re.sub(r"^https?://[^/]+", "", location)


def _with_digest(path: str, digest: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}digest={digest}"


# ------------------------------------------------------------------ experiments


def prepare(server: Contestant) -> str:
    """A small image with the tag `t`; the digest of its layer."""
    client, layer, config = Client(server.port), os.urandom(SMALL_BLOB), b"{}"
    described = []
    for data in (config, layer):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = client.ask("POST", "/v2/bench/small/blobs/uploads/")["location"]
        client.ask("PUT", _with_digest(_path(place), digest), data)
        described.append({"mediaType": "application/x", "digest": digest, "size": len(data)})
    body = {"schemaVersion": 2, "mediaType": IMAGE, "config": described[0], "layers": described[1:]}
    client.ask("PUT", "/v2/bench/small/manifests/t", json.dumps(body).encode(), media_type=IMAGE)
    client.close()
    return str(described[1]["digest"])


def small(server: Contestant, path: str, seconds: int) -> float:
    """Requests a second by wrk."""
    done = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds}s", "-H", f"Accept: {IMAGE}",
         f"http://127.0.0.1:{server.port}{path}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if "Non-2xx" in done.stdout:
        raise Failed(f"{server.name}: {path}: {done.stdout}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None
    return float(found[1])


def small_pushes(server: Contestant, count: int) -> float:
    """Small blobs a second, each by POST and PUT and synced, on 8 connections."""

    def push() -> None:
        client = Client(server.port)
        for _ in range(count // 8):
            data = os.urandom(SMALL_BLOB)
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            place = client.ask("POST", "/v2/bench/pushed/blobs/uploads/")["location"]
            client.ask("PUT", _with_digest(_path(place), digest), data)
        client.close()

    return count / _timed(lambda: _together([push] * 8))


def large(server: Contestant, folder: Path, size: int) -> None:
    """Push a blob nobody has, pull it, and by four at a time."""
    file = folder / "blob"
    digest = _new_blob(file, size)
    client = Client(server.port)
    server.pushed += 1
    repository = f"bench/large{server.pushed}"
    _note_large(server, "push", size, lambda: client.push(repository, file, digest))
    file.unlink()
    client.pull(repository, digest, size)
    _note_large(server, "pull", size, lambda: client.pull(repository, digest, size))

    def pull() -> None:
        one = Client(server.port)
        one.pull(repository, digest, size)
        one.close()

    server.note("large pull by four, MB/s", 4 * size / _timed(lambda: _together([pull] * 4)) / 1e6)
    client.close()


def _note_large(server: Contestant, what: str, size: int, action: Callable[[], None]) -> None:
    before = server.processor_seconds()
    seconds = _timed(action)
    spent = server.processor_seconds() - before
    server.note(f"large {what}, MB/s", size / seconds / 1e6)
    server.note(f"large {what}, CPU ms for a GB", max(spent, 0.01) * 1000 / (size / 1e9))


def _new_blob(file: Path, size: int) -> str:
    digest, block = hashlib.sha256(), os.urandom(1 << 20)
    with file.open("wb") as out:
        for number in range(size >> 20):
            data = number.to_bytes(8, "big") + block[8:]
            out.write(data)
            digest.update(data)
    return f"sha256:{digest.hexdigest()}"


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _together(actions: list[Callable[[], None]]) -> None:
    failures: list[Exception] = []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, Failed) as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ------------------------------------------------------------------ the table


def measure(options: argparse.Namespace, folder: Path, memory: Path) -> list[Contestant]:
    """All experiments, in turns."""
    with ExitStack() as stack:
        both = contestants(stack, folder, options.workers)
        layers = {server.name: prepare(server) for server in both}
        for number in range(options.rounds):
            for server in both if number % 2 == 0 else both[::-1]:
                blob = f"/v2/bench/small/blobs/{layers[server.name]}"
                for what, path in (
                    ("manifest by tag, requests/s", "/v2/bench/small/manifests/t"),
                    ("10 KiB blob, requests/s", blob),
                    ("base, requests/s", "/v2/"),
                ):
                    server.note(what, small(server, path, options.seconds))
                server.note("small pushes, blobs/s", small_pushes(server, 200))
            for turn in range(LARGE_TURNS):
                for server in both if turn % 2 == 0 else both[::-1]:
                    large(server, memory, options.size << 20)
        for server in both:
            server.note("peak memory, MiB", server.peak())
        return both


GOALS = {
    "manifest by tag, requests/s": SMALL_GOAL,
    "10 KiB blob, requests/s": SMALL_GOAL,
    "large push, MB/s": LARGE_GOAL,
    "large pull, MB/s": LARGE_GOAL,
}


def table(both: list[Contestant]) -> str:
    """Medians, and the median of the rounds' ratios, beside the goals."""
    ours, theirs = both
    lines = [
        "| | boxy-registry | docker-registry | ours / theirs | goal |",
        "|---|--:|--:|--:|--:|",
    ]
    for what, mine in ours.rates.items():
        other = theirs.rates[what]
        ratio = statistics.median(a / b for a, b in zip(mine, other, strict=True))
        goal = ""
        if what.startswith("peak"):
            goal = f"≤ {MEMORY_GOAL} {'✓' if ratio <= MEMORY_GOAL else '✗'}"
        elif what in GOALS:
            goal = f"≥ {GOALS[what]} {'✓' if ratio >= GOALS[what] else '✗'}"
        lines.append(
            f"| {what} | {statistics.median(mine):,.0f} | {statistics.median(other):,.0f}"
            f" | {ratio:.2f} | {goal} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="MiB of a large blob")
    parser.add_argument("--seconds", type=int, default=3, help="of each burst of small requests")
    parser.add_argument("--workers", type=int, default=1, help="processes of ours")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bx-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="bx-bench-", dir="/dev/shm") as memory,
    ):
        try:
            both = measure(options, Path(folder), Path(memory))
        except Failed as failure:
            print(f"FAILED: {failure}", file=sys.stderr)
            return 1
    print(table(both))
    if options.json:
        options.json.write_text(json.dumps({one.name: one.rates for one in both}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
