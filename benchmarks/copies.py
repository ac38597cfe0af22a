"""Files in and out of a box, and images of it, beside Podman and Docker.

    python -m benchmarks.copies

Each tool has a running container that wrote one large file and a tree of many small ones. Then
all take turns: the large file and the tree copied out and in, the container committed, exported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import _dockerd, _peers
from benchmarks._boxy import own_daemon, program
from benchmarks._timing import Action, Failed, run, table, take_turns, tidy
from tests.support.images import find_archive

ROUNDS = 3
BIG = 64
"""MiB"""
SMALL = 2000
"""files of 4 KiB, in 20 folders"""
FILL = (
    f"dd if=/dev/urandom of=/big bs=1M count={BIG} 2>/dev/null; mkdir /tree; cd /tree; "
    f"for d in $(seq 20); do mkdir $d; for f in $(seq {SMALL // 20}); do "
    "head -c 4096 /dev/urandom > $d/$f; done; done; touch /ready; sleep 1000000"
)


class Copier:
    """A container tool by its command line, with a container `bench`."""

    def __init__(self, name: str, base: Sequence[str], env: Mapping[str, str], image: str,
                 extra: Sequence[str] = ()) -> None:  # fmt: skip
        self.name, self._base, self._env = name, list(base), dict(env)
        words = ["run", "-d", "--name", "bench", "--network", "none", *extra, image]
        run([*self._base, *words, "sh", "-c", FILL], self._env)
        ready = "until test -e /ready; do sleep 0.1; done; sync"
        run([*self._base, "exec", "bench", "sh", "-c", ready], self._env)

    def do(self, *words: str) -> float:
        """Seconds of a command."""
        return run([*self._base, *words], self._env)

    def remove(self) -> None:
        """Take it away, killed at once as all but Podman do."""
        at_once = ["-t", "0"] if self.name.startswith("podman") else []
        words = [*self._base, "rm", "-f", *at_once, "bench"]
        subprocess.run(words, env=self._env, capture_output=True, check=False)

    def actions(self, folder: Path) -> dict[str, Action]:
        """What is measured, by what it is called."""
        out = folder / f"out-{self.name.split()[0]}"
        out.mkdir()
        count = iter(range(1_000_000))
        return {
            "commit": lambda: self.do("commit", "bench", f"boxy-bench-{os.getpid()}"),
            "export": lambda: self.do("export", "-o", f"{out}/x.tar", "bench"),
            f"cp {BIG} MiB out": lambda: self.do("cp", "bench:/big", f"{out}/big"),
            f"cp {SMALL} files out": lambda: self.do("cp", "bench:/tree", f"{out}/t{next(count)}"),
            f"cp {BIG} MiB in": lambda: self.do("cp", f"{folder}/big", "bench:/in"),
            f"cp {SMALL} files in": lambda: self.do("cp", f"{folder}/tree",
                                                    f"bench:/t{next(count)}"),
        }  # fmt: skip


def _copiers(folder: Path, boxy: Copier) -> list[Copier]:
    """Ours and the peers, as far as they can be had; each absence is told."""
    found = [boxy]
    archive = find_archive()
    assert archive is not None, "an Alpine archive is needed: BOXY_TEST_ALPINE names one"
    for name in ("podman", "docker"):
        try:
            peer = _peers.KNOWN[name](folder / name, Path(archive), "boxy/bench-peers")
            found.append(Copier(peer.name, [name], peer.env, _peers.IMAGE,
                                ["--cgroup-parent=/boxy/bench-peers"]))  # fmt: skip
        except Failed as failure:
            print(f"{name} is left out: {failure}")
    return found


def measure(copiers: list[Copier], folder: Path) -> None:
    """Print a table for each operation."""
    copiers[0].do("cp", "bench:/big", str(folder / "big"))
    copiers[0].do("cp", "bench:/tree", str(folder / "tree"))
    each = {copier.name: copier.actions(folder) for copier in copiers}
    for what in next(iter(each.values())):
        contestants = {name: actions[what] for name, actions in each.items()}
        series = take_turns(contestants, ROUNDS, warm_up=1)
        print(table(what, series, copiers[0].name, {}))


def main() -> None:
    """Measure and print."""
    if sys.argv[1:] != ["--here"]:
        words = [sys.executable, "-m", "benchmarks.copies", "--here"]
        os.execvp("unshare", ["unshare", "-n", "sh", "-c",
                              'ip link set lo up && exec "$@"', "sh", *words])  # fmt: skip
    tidy()
    with tempfile.TemporaryDirectory(prefix="bx-peers-") as text, own_daemon() as (daemon, _):
        folder = Path(text)
        try:
            with _dockerd.running(folder / "dockerd"):
                boxy = Copier("boxy", program("boxy"), daemon.env, "alpine")
                copiers = _copiers(folder, boxy)
                try:
                    measure(copiers, folder)
                finally:
                    for copier in copiers:
                        copier.remove()
        finally:
            _peers.clean(folder)


if __name__ == "__main__":
    main()
