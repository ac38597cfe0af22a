"""What a box's life costs, beside runc, Podman and Docker: same root, no network, same run.

    python -m benchmarks.lifecycle [--rounds 20] [--boxes 100] [--peers runc,podman,docker]
                                   [--json FILE]

Time: a whole `run --rm`, a detached start, an exec, a list, and in-process from the request to
the running command. Cost of what stands idle: private memory of the process beside each box, and
the daemon's share of a core. A peer that cannot run here is named with the reason. Peers list one
container while Boxy lists all of `--boxes`, which favours them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import _boxy, _peers
from benchmarks._timing import Failed, Series, table, take_turns
from boxy_core.errors import BoxyError
from tests.support.daemon import Daemon

IDLE_SECONDS = 20.0
SHIM_GOAL = 2 << 20  # bytes
CPU_GOAL = 3.0  # per cent of a core
LAUNCH_GOAL = 20.0  # milliseconds


@dataclass
class Bench:
    """One run: our daemon, the peers that work here, and what was found."""

    daemon: Daemon
    tools: dict[str, _peers.Peer]
    rounds: int
    boxes: int
    names: Iterator[int] = field(default_factory=count)
    times: dict[str, dict[str, Series]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    failures: int = 0

    def name(self) -> str:
        """A container's name that was not used before."""
        return f"bench-{next(self.names)}"

    def compare(
        self, title: str, action: Callable[[_peers.Peer], float], goals: dict[str, float]
    ) -> None:
        """Time `action` for every tool in turns and print the table."""
        actions = {name: lambda tool=tool: action(tool) for name, tool in self.tools.items()}
        series = take_turns(actions, self.rounds)
        self.times[title] = series
        by_name = {
            name: goal
            for name in series
            for peer, goal in goals.items()
            if name.split(" ")[0] == peer
        }
        print(table(title, series, "boxy", by_name), flush=True)

    def attempt(self, experiment: Callable[[], None]) -> None:
        """Run one experiment; its failure is told with our daemon's last words, and counted."""
        try:
            experiment()
        except (BoxyError, Failed) as error:
            self.failures += 1
            said = self.daemon.log_text().splitlines()[-12:]
            print(f"- FAILED: {experiment.__name__}: {error}", *said, sep="\n    ", flush=True)

    # ------------------------------------------------------------ experiments

    def whole_run(self) -> None:
        """`run --rm IMAGE true`, end to end."""
        self.compare(
            "run --rm IMAGE true",
            lambda tool: tool.do("run", self.name()),
            {"runc": 1.5, "podman": 1 / 3},
        )

    def detached_start(self) -> None:
        """`run -d`; the removal is not timed."""

        def start(tool: _peers.Peer) -> float:
            name = self.name()
            taken = tool.do("start", name)
            tool.do("remove", name)
            return taken

        self.compare("run -d IMAGE sleep", start, {"runc": 1.0})

    def exec_and_list(self) -> None:
        """`exec BOX true` and `ps`, with one container of each tool running."""
        running: dict[str, str] = {}
        try:
            for key, tool in self.tools.items():
                name = self.name()
                before = _boxy.processes_named(tool.helper) if tool.helper else set()
                tool.do("start", name)
                running[key] = name
                self._note_helper(key, tool, before)
            by_tool = {id(tool): running[key] for key, tool in self.tools.items()}
            self.compare(
                "exec BOX true", lambda tool: tool.do("exec", by_tool[id(tool)]), {"runc": 1.2}
            )
            with self._many_boxes() as ids:
                self.compare(
                    f"ps (ours with {len(ids) + 1} boxes)",
                    lambda tool: tool.do("ps"),
                    {"podman": 1.0},
                )
                self._idle_cost(ids)
        finally:
            for key, name in running.items():
                self.tools[key].do("remove", name)

    def launch(self) -> None:
        """From the request to the running command, by a client that runs already.

        One request makes the box and starts it, as for `boxy run`.
        """
        client = self.daemon.client()
        taken = []
        for _ in range(self.rounds + 2):
            time.sleep(0.05)
            spec = {"image": "alpine", "command": list(_peers.SLEEP)}
            start = time.perf_counter()
            box = client.request("POST", "/boxes", body=spec, query={"start": "1"})
            taken.append((time.perf_counter() - start) * 1000)
            client.request("DELETE", f"/boxes/{box['id']}", query={"force": "1"})
        self._fact("request to running command, ms", statistics.median(taken[2:]), LAUNCH_GOAL)

    # ------------------------------------------------------------ idle boxes

    @contextmanager
    def _many_boxes(self) -> Iterator[list[str]]:
        client = self.daemon.client()
        ids: list[str] = []
        try:
            start = time.perf_counter()
            for _ in range(self.boxes):
                spec = {"image": "alpine", "command": list(_peers.SLEEP)}
                ids.append(client.request("POST", "/boxes", body=spec)["id"])
                client.request("POST", f"/boxes/{ids[-1]}/start", body={})
            self._fact(
                "ms a box, one after another", (time.perf_counter() - start) * 1000 / len(ids)
            )
            yield ids
        finally:
            start = time.perf_counter()
            for box in ids:
                client.request("DELETE", f"/boxes/{box}", query={"force": "1"})
            self._fact("ms a removal", (time.perf_counter() - start) * 1000 / max(1, len(ids)))

    def _idle_cost(self, ids: list[str]) -> None:
        client = self.daemon.client()
        shims = [client.request("GET", f"/boxes/{box}")["shim_pid"] for box in ids]
        memory = [_boxy.private_memory(pid) for pid in shims]
        self._fact("shim private memory, KiB", statistics.median(memory) / 1024, SHIM_GOAL / 1024)
        self._fact("daemon private memory, MiB", _boxy.private_memory(self.daemon.pid) / (1 << 20))
        watched = [self.daemon.pid, *shims]
        before = [_boxy.cpu_seconds(pid) for pid in watched]
        time.sleep(IDLE_SECONDS)
        used = [_boxy.cpu_seconds(pid) - cpu for pid, cpu in zip(watched, before, strict=True)]
        share = 100 / IDLE_SECONDS
        self._fact(f"daemon, {len(ids)} idle boxes, % of a core", used[0] * share, CPU_GOAL)
        self._fact(f"all {len(ids)} shims, % of a core", sum(used[1:]) * share)

    def _note_helper(self, key: str, tool: _peers.Peer, before: set[int]) -> None:
        new = _boxy.processes_named(tool.helper) - before if tool.helper else set()
        if new:
            memory = statistics.median(map(_boxy.private_memory, new)) / 1024
            self._fact(f"{key}: {tool.helper} private memory, KiB", memory)

    def _fact(self, name: str, value: float, goal: float | None = None) -> None:
        self.facts[name] = value
        verdict = f"  (goal ≤ {goal:g} {'✓' if value <= goal else '✗'})" if goal else ""
        print(f"- {name}: {value:.1f}{verdict}", flush=True)


def ours(daemon: Daemon) -> _peers.Peer:
    """Boxy as one of the tools."""
    boxy = _boxy.program("boxy")
    return _peers.Peer(
        "boxy",
        daemon.env,
        run=[*boxy, "run", "--rm", "alpine", "true"],
        start=[*boxy, "run", "-d", "--name", "{}", "alpine", *_peers.SLEEP],
        exec=[*boxy, "exec", "{}", "true"],
        ps=[*boxy, "ps"],
        remove=[*boxy, "rm", "-f", "{}"],
        helper="",
    )


def main() -> int:
    """Set everything up, measure, take everything down; 1 when Boxy itself failed."""
    options = _options()
    with _boxy.own_daemon() as (daemon, registry):
        tools = {"boxy": ours(daemon)}
        folder = daemon.folder / "peers"
        try:
            for name in filter(None, options.peers.split(",")):
                try:
                    cgroup = daemon.env["BOXY_CGROUP"]
                    peer = _peers.KNOWN[name](folder / name, registry.archive, cgroup)
                except Failed as failure:
                    print(f"- left out: {name}: {failure}", flush=True)
                    continue
                tools[peer.name] = peer
            bench = Bench(daemon, tools, options.rounds, options.boxes)
            daemon.run("run", "--rm", "alpine", "true")  # unpacks the image
            for experiment in (
                bench.whole_run, bench.detached_start, bench.exec_and_list, bench.launch,
            ):  # fmt: skip
                bench.attempt(experiment)
        finally:
            _peers.clean(folder)
    if options.json:
        times = {t: {n: s.taken for n, s in series.items()} for t, series in bench.times.items()}
        options.json.write_text(json.dumps({"times": times, "facts": bench.facts}, indent=1))
    broken = any(series["boxy"].failure for series in bench.times.values())
    return int(broken or bench.failures > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument(
        "--peers", default=",".join(_peers.KNOWN), help="comma-separated; may be empty"
    )
    parser.add_argument("--json", type=Path, help="also write every single time here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
