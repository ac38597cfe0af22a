"""A daemon that is killed in the middle of a start: the box runs as it should, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.privileged.network.ground import Ground

SLOWEST = 20.0


def _run_folder(ground: Ground) -> Path | None:
    return next(Path(ground.daemon.paths.run, "boxes").iterdir(), None)


def _plan(ground: Ground) -> bool:
    folder = _run_folder(ground)
    return folder is not None and (folder / "plan.json").exists()


def _plugged(ground: Ground) -> bool:
    return any("v" in link[7:] for link in ground.ours())


def _command(ground: Ground) -> bool:
    """Whether some process of the box has become its command."""
    group = Path("/sys/fs/cgroup/unified", ground.daemon.env["BOXY_CGROUP"])
    for file in group.glob("*/cgroup.procs"):
        for pid in file.read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                    return True
    return False


def _after(seconds: float) -> Callable[[Ground], bool]:
    ends: list[float] = []

    def passed(_: Ground) -> bool:
        ends.append(time.monotonic())
        return ends[-1] - ends[0] > seconds

    return passed


def _start_and_kill(ground: Ground, name: str, when: Callable[[Ground], bool]) -> None:
    """Kill the daemon as soon as something is so, with a start under way."""

    def ask() -> None:
        with contextlib.suppress(Exception):  # the daemon is killed meanwhile
            ground.daemon.request("POST", f"/boxes/{name}/start", body={})

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + SLOWEST
    while not when(ground) and time.monotonic() < deadline:
        time.sleep(0.0002)
    ground.daemon.kill()
    thread.join()


def test_a_daemon_killed_at_any_point_of_a_start_loses_no_network_and_leaves_none(
    ground: Ground,
) -> None:
    daemon = ground.daemon
    points: list[Callable[[Ground], bool]] = [
        _after(0), _after(0.002), lambda g: _run_folder(g) is not None, _plan, _plugged, _command,
        _command,
    ]  # fmt: skip
    ran = 0
    for number, point in enumerate(points):
        name = f"k{number}"
        daemon.run("create", "--name", name, "-p", f"{7000 + number}:80", "alpine", "sleep", "300")
        _start_and_kill(ground, name, point)
        daemon.start("--default-network", "bridge")
        box = ground.inspect(name)
        if box["status"] == "running":
            ran += 1
            [endpoint], [port] = box["networks"], box["ports"]
            address = endpoint["address"].partition("/")[0]
            assert port["to"] == address
            assert port["host"] == 7000 + number
            assert endpoint["host_interface"] in ground.ours()
            assert f"{address}/24" in ground.inside(name, "ip -o address show dev eth0")
            assert address in ground.inside(name, f"nslookup -type=a {name}.")
            held = daemon.boxy("run", "--rm", "-p", f"{7000 + number}:80", "alpine", "true")
            assert f"box {name} publishes it" in held.stderr
        else:
            assert box["status"] == "created", json.dumps(box)
            daemon.run("start", name)  # nothing of it is left in the way
            assert ground.inside(name, "ls /sys/class/net").split() == ["eth0", "lo"]
        daemon.run("rm", "-f", name)
        assert not os.listdir(Path(daemon.paths.run, "boxes"))
        ground.until(lambda: not any("v" in link[7:] for link in ground.ours()))
    assert ran, "no start came through: the last points are too early"
