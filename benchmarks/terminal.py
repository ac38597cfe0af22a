"""How fast the terminal emulator parses, beside stock pyte and tmux, in the same run.

    python -m benchmarks.terminal [--size KIB] [--chunk KIB] [--rounds N] [--only KIND] [--no-tmux]

Each kind of stream is fed in chunks to all, taking turns; the ratio is made within each round and
its median taken, then the geometric mean over the kinds. tmux reads through a terminal from `cat`,
so its figure includes that; the emulators are handed bytes. Nothing is drawn.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyte

from benchmarks._streams import COLUMNS, KINDS, LINES, stream
from boxy_tui.terminal.emulator import make_screen

Feed = Callable[[bytes], object]


def ours() -> Feed:
    """Our emulator."""
    return make_screen(COLUMNS, LINES).feed


def stock() -> Feed:
    """pyte as it comes."""
    return pyte.ByteStream(pyte.Screen(COLUMNS, LINES)).feed


def seconds(make: Callable[[], Feed], data: bytes, chunk: int) -> float:
    """CPU time to feed `data`: what else the machine does is not counted."""
    feed = make()
    start = time.process_time()
    for at in range(0, len(data), chunk):
        feed(data[at : at + chunk])
    return time.process_time() - start


def tmux_seconds(data: bytes) -> float:
    """Time for a tmux pane to show `data`, less that for showing nothing."""
    return max(_tmux(data) - _tmux(b""), 1e-4)


def _tmux(data: bytes) -> float:
    with tempfile.TemporaryDirectory() as folder:
        socket, file = Path(folder, "socket"), Path(folder, "data")
        file.write_bytes(data)
        call = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        shell = f"sleep 0.2; cat {file}; tmux -S {socket} wait-for -S shown; sleep 1000"
        env = {**os.environ, "TERM": "xterm-256color", "TMUX": ""}
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        subprocess.run([*call, "new-session", "-d", *size, shell], env=env, check=True)
        try:
            start = time.perf_counter()
            subprocess.run([*call, "wait-for", "shown"], env=env, check=True, timeout=120)
            return time.perf_counter() - start
        finally:
            subprocess.run([*call, "kill-server"], env=env, check=False)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, default=512, help="KiB of each stream (512)")
    parser.add_argument("--chunk", type=int, default=64, help="KiB fed at once (64)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--no-tmux", action="store_true")
    options = parser.parse_args()
    with_tmux = not options.no_tmux and shutil.which("tmux") is not None
    print(f"{'MB/s':16s} {'boxy':>8s} {'pyte':>8s} {'tmux':>8s}   boxy : pyte")
    ratios, speeds = [], []
    for kind in KINDS:
        if options.only in kind:
            ratio, speed = _measure(kind, options, with_tmux)
            ratios.append(ratio)
            speeds.append(speed)
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    speed = math.exp(statistics.fmean(map(math.log, speeds)))
    print(f"geometric mean: {speed:.1f} MB/s, {mean:.1f} times pyte")


def _measure(kind: str, options: argparse.Namespace, with_tmux: bool) -> tuple[float, float]:
    data = stream(kind, options.size << 10)
    chunk = options.chunk << 10
    rounds = [
        (seconds(ours, data, chunk), seconds(stock, data, chunk)) for _ in range(options.rounds)
    ]
    mine, theirs = (statistics.median(times) for times in zip(*rounds, strict=True))
    ratio = statistics.median(b / a for a, b in rounds)
    beside = f"{len(data) / tmux_seconds(data) / 1e6:8.1f}" if with_tmux else f"{'-':>8s}"
    size = len(data) / 1e6
    print(f"{kind:16s} {size / mine:8.1f} {size / theirs:8.2f} {beside}   {ratio:6.1f}", flush=True)
    return ratio, size / mine


if __name__ == "__main__":
    main()
