"""What each part of starting a box costs, in milliseconds: the parts tell it themselves.

    python -m benchmarks.parts [--rounds 30] [--json FILE]

Each start leaves `trace.json` in the box's folder: the daemon's steps, and within the launch what
the shim and the box's first process measured.  This starts `--rounds` boxes one after another and
prints the median of each part.  Loading and compiling the filter are measured by themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks._boxy import own_daemon
from boxyd.runtime import capabilities, seccomp
from boxyd.runtime import syscalls as sys_

ABOUT = {
    "cgroup": "make the cgroup with its limits and device rules",
    "plan": "work out the steps",
    "launch": "zygote, shim, box: until execve has succeeded",
    "prepare": "the shim: user namespace, layers id-mapped, overlay, /dev, files",
    "clone": "clone3 into new namespaces, id maps, process limits",
    "inside": "the new process: all steps below, until execve",
    "overlay": "attach the root, seen by nobody else",
    "proc": "a /proc of its own",
    "sysfs": "a /sys of its own",
    "mask": "hide what tells of the host",
    "readonly": "make parts of /proc read-only",
    "cgroupfs": "the view of its own cgroup",
    "pivot": "the tree becomes /",
    "capabilities": "drop powers, bounding set included",
    "user": "look the user up in the box's own files",
    "noted": "write the state, tell the event",
}


def measure(rounds: int) -> tuple[dict[str, list[float]], list[float]]:
    """The milliseconds of each part, and of the whole, by round."""
    parts: dict[str, list[float]] = defaultdict(list)
    totals = []
    with own_daemon() as (daemon, _):
        daemon.run("run", "--rm", "alpine", "true")  # unpacks the image, compiles the filter
        for _ in range(rounds):
            box = daemon.run("run", "-d", "alpine", "sleep", "100")
            trace = json.loads(Path(daemon.paths.box(box), "trace.json").read_text())
            totals.append(trace["total_ms"])
            for step in trace["steps"]:
                parts[step["step"]].append(step["ms"])
                for name, ms in step.get("inner", {}).items():
                    parts[f"launch/{name}"].append(ms)
            daemon.run("rm", "-f", box)
    return parts, totals


def filter_costs(rounds: int) -> dict[str, float]:
    """Median milliseconds to compile the default filter, and to load it into a process."""
    with open(seccomp.DEFAULT_PROFILE, "rb") as file:
        profile = json.load(file)
    compiled, loaded, code = [], [], b""
    for _ in range(rounds):
        began = time.perf_counter()
        code = seccomp.compile_profile(profile, capabilities.DEFAULT, sys_.ARCH)
        compiled.append(time.perf_counter() - began)
        loaded.append(_load(code))
    return {
        "compile (once for each profile and set of capabilities)": 1e3
        * statistics.median(compiled),
        "load (each process)": 1e3 * statistics.median(loaded),
        "instructions": len(code) // 8,
    }


def _load(code: bytes) -> float:
    """Seconds that seccomp(2) takes, in a child that keeps the filter to itself."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
        began = time.perf_counter()
        sys_.seccomp_load(code)
        os.write(write, repr(time.perf_counter() - began).encode())
        os._exit(0)
    os.close(write)
    text = os.read(read, 64)
    os.close(read)
    os.waitpid(pid, 0)
    return float(text)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    parts, totals = measure(options.rounds)
    medians = {name: statistics.median(values) for name, values in parts.items()}
    print(f"Starting a box {options.rounds} times, milliseconds: median and least; in the daemon "
          f"{statistics.median(totals):.2f} and {min(totals):.2f}")  # fmt: skip
    for name, ms in medians.items():
        part = name.rpartition("/")[2]
        indent = "    " if "/" in name else "  "
        print(f"{indent + part:<16}{ms:9.3f}{min(parts[name]):9.3f}  {ABOUT.get(part, '')}")
    costs = filter_costs(options.rounds)
    print("The filter:")
    for name, value in costs.items():
        print(f"  {name:<56}{value:8.3f}")
    if options.json:
        Path(options.json).write_text(
            json.dumps({"total": totals, "parts": medians, "filter": costs}, indent=1)
        )


if __name__ == "__main__":
    main()
