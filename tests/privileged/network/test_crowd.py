"""A hundred boxes come and go, and the host is as it was before them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.privileged.network.ground import Ground
from tests.support import leaks
from tests.support.daemon import Daemon

MANY = 100
AT_ONCE = 8


def holdings(ground: Ground) -> dict[str, object]:
    """All that boxes can leave on a host."""
    daemon, host = ground.daemon, ground.host
    cgroup, run = daemon.env["BOXY_CGROUP"], Path(daemon.paths.run)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "links": host.links(),
        "addresses": _ours(host.run("ip", "-o", "address")),
        "routes": _ours(host.run("ip", "route", "show", "table", "all")),
        "rules": host.run("nft", "list", "ruleset"),
        "flows to boxes": host.call(_flows),
        "mounts": sorted(line for line in mounts if str(daemon.folder) in line),
        "cgroups": sorted(str(path) for root in leaks.cgroup_roots()
                          for path in (root / cgroup).glob("*/")),
        "folders": sorted(path.name for place in (run / "boxes", Path(daemon.paths.boxes))
                          for path in place.iterdir()),
        "names": ground.inside("stays", "cat /etc/hosts"),
        "on the network": [b["name"] for b in daemon.request("GET", "/networks/bridge")["boxes"]],
    }  # fmt: skip


def _ours(told: str) -> list[str]:
    """Link-local ones come by themselves, and after a while."""
    lines = told.splitlines()
    return [line for line in lines if " bx" in line and not re.search("fe80:|multicast", line)]


def _ours_of(links: set[str]) -> set[str]:
    return {link for link in links if link.startswith("bx")}


def _descriptors(pid: int) -> Counter[str]:
    """How many of each kind; a network namespace that is kept is one of them."""
    kinds: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kind = os.readlink(fd)
        except OSError:
            continue
        if "/cgroup/" not in kind and not kind.startswith("/proc/"):  # the sampler's, of `stays`
            kinds[re.sub(r"\d+", "N", kind)] += 1
    return kinds


def _sampled(pid: int, boxes: list[str]) -> Iterator[str]:
    """Open files of a daemon that belong to one of the boxes."""
    short = {box[:12] for box in boxes}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield from (path for path in [os.readlink(fd)] if short.intersection(path.split("/")))


def _flows() -> list[str]:
    """What the kernel remembers of UDP that came by published ports."""
    told = Path("/proc/thread-self/net/nf_conntrack").read_text().splitlines()
    return [line for line in told if " udp " in line and "dst=127.0.0.1" in line]


def _start(daemon: Daemon, number: int) -> dict[str, object]:
    spec = {
        "name": f"b{number}", "image": "alpine", "command": ["sleep", "1000"],
        "network": "bridge",
        "ports": [{"box": 80, "protocol": ("tcp", "udp")[number % 2]}] if number % 3 else [],
    }  # fmt: skip
    box: dict[str, object] = daemon.request("POST", "/boxes", body=spec, query={"start": "1"})
    return box


def test_a_hundred_boxes_start_and_stop_without_leaving_anything(ground: Ground) -> None:
    daemon = ground.daemon
    ground.server("stays")
    daemon.run("run", "--rm", "-p", "80/udp", "alpine", "true")  # what is made once is made
    ground.until(lambda: len(daemon.request("GET", "/boxes", query={"all": "1"})) == 1)
    # The kernel takes down a network namespace, and with it a link, after its last process.
    ground.until(lambda: len(_ours_of(ground.host.links())) == 2)  # a bridge, a veth
    before, open_before = holdings(ground), _descriptors(daemon.pid)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ids = [str(box["id"]) for box in pool.map(lambda n: _start(daemon, n), range(MANY))]
    boxes = [ground.inspect(box) for box in ids]
    assert all(box["status"] == "running" for box in boxes)
    assert len({box["networks"][0]["address"] for box in boxes}) == MANY
    ports = [port for box in boxes for port in box["ports"]]
    assert len({(port["protocol"], port["host"]) for port in ports}) == len(ports) == 66
    assert "Address: " in ground.inside("stays", "nslookup -type=a b99.")
    ground.until(lambda: f"\tb{MANY - 1} " in ground.inside("stays", "cat /etc/hosts"))

    def knock() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in ports:
                if port["protocol"] == "udp":
                    sock.sendto(b"x", ("127.0.0.1", port["host"]))

    ground.host.call(knock)
    assert ground.host.call(_flows)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda box: daemon.request("DELETE", f"/boxes/{box}", query={"force": "1"}),
                      ids))  # fmt: skip
    assert "NXDOMAIN" in ground.inside("stays", "nslookup -type=a b99.")
    ground.until(lambda: not list(_sampled(daemon.pid, ids)))
    deadline = time.monotonic() + 30
    while (now := holdings(ground)) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {key: (before[key], now[key]) for key in now if now[key] != before[key]} == {}
    ground.until(lambda: not _descriptors(daemon.pid) - open_before)

    daemon.run("rm", "-f", "stays")
    ground.until(ground.is_clean)
    assert daemon.request("GET", "/networks/bridge")["up"] is False
    assert daemon.request("GET", "/boxes", query={"all": "1"}) == []
