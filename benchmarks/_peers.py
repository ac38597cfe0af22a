"""The peers, each set up in a folder of its own: nothing of the user's is used or changed.

A peer that is not installed, or that cannot run here, is told by name with the reason and left
out. `DOCKER_HOST` says where Docker's daemon is; Boxy starts none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._timing import Failed, run

IMAGE = "localhost/boxy-benchmark"
SLEEP = ("sleep", "1000000")


@dataclass
class Peer:
    """A container tool as command lines; `{}` in one stands for a container's name."""

    name: str
    env: dict[str, str]
    run: Sequence[str]
    start: Sequence[str]
    exec: Sequence[str]
    ps: Sequence[str]
    remove: Sequence[str]
    helper: str  # name of the process that stays beside each container; "" for none

    def do(self, operation: str, name: str = "") -> float:
        """Run `run`, `start`, `exec`, `ps` or `remove` once; seconds. Raises `Failed`."""
        arguments: Sequence[str] = getattr(self, operation)
        return run([argument.replace("{}", name) for argument in arguments], self.env)


def _call(arguments: Sequence[str], env: dict[str, str], cwd: Path | None = None) -> str:
    done = subprocess.run(arguments, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(arguments)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def runc(folder: Path, archive: Path, cgroup: str) -> Peer:
    """runc on a bundle with `runc spec`'s defaults and the archive as its root."""
    if shutil.which("runc") is None:
        raise Failed("runc is not installed; say: apt install runc")
    env = dict(os.environ)
    root = folder / "root"
    root.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", root], check=True)
    for purpose, command in {"true": ["/bin/true"], "sleep": list(SLEEP)}.items():
        bundle = folder / purpose
        bundle.mkdir()
        _call(["runc", "spec"], env, cwd=bundle)
        config = json.loads((bundle / "config.json").read_text())
        config["root"]["path"] = str(root)
        config["process"].update(terminal=False, args=command)
        config["linux"]["cgroupsPath"] = f"/{cgroup}/runc-{purpose}"
        (bundle / "config.json").write_text(json.dumps(config))
    base = ["runc", "--root", str(folder / "state")]
    return Peer(
        "runc",
        env,
        run=[*base, "run", "--bundle", str(folder / "true"), "{}"],
        start=[*base, "run", "--detach", "--bundle", str(folder / "sleep"), "{}"],
        exec=[*base, "exec", "{}", "true"],
        ps=[*base, "list"],
        remove=[*base, "delete", "--force", "{}"],
        helper="",
    )


def _engine(name: str, env: dict[str, str], base: list[str], helper: str, cgroup: str) -> Peer:
    """Docker and Podman share their command line."""
    apart = ["--network=none", f"--cgroup-parent=/{cgroup}"]
    return Peer(
        name,
        env,
        run=[*base, "run", "--rm", *apart, IMAGE, "true"],
        start=[*base, "run", "-d", "--name", "{}", *apart, IMAGE, *SLEEP],
        exec=[*base, "exec", "{}", "true"],
        ps=[*base, "ps"],
        remove=[*base, "rm", "-f", "{}"],
        helper=helper,
    )


def podman(folder: Path, archive: Path, cgroup: str) -> Peer:
    """Podman with a storage of its own and the first runtime that works here."""
    if shutil.which("podman") is None:
        raise Failed("podman is not installed; say: apt install podman")
    folder.mkdir(parents=True)
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
    )
    env = {
        **os.environ,
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
    }
    _write_podman_conf(folder, "runc")
    _call(["podman", "import", "-q", str(archive), IMAGE], env)
    reasons = []
    for runtime in ("crun", "runc"):  # crun is quicker, and refuses hybrid cgroups
        _write_podman_conf(folder, runtime)
        try:
            peer = _engine(f"podman ({runtime})", env, ["podman"], "conmon", cgroup)
            peer.do("run")
        except Failed as failure:
            reasons.append(str(failure))
            continue
        return peer
    raise Failed("; ".join(reasons))


def _write_podman_conf(folder: Path, runtime: str) -> None:
    # No default ulimits: where root may not raise limits, no container would start.
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\n'
        f'events_logger = "file"\nruntime = "{runtime}"\ntmp_dir = "{folder}/tmp"\n'
    )


def docker(folder: Path, archive: Path, cgroup: str) -> Peer:
    """Docker by the daemon that answers; a user's own containers are left alone."""
    if shutil.which("docker") is None:
        raise Failed("docker is not installed; say: apt install docker.io")
    env = dict(os.environ)
    try:
        _call(["docker", "version"], env)
    except Failed as failure:
        raise Failed(f"no Docker daemon answers (set DOCKER_HOST): {failure}") from failure
    _call(["docker", "import", str(archive), IMAGE], env)
    return _engine("docker", env, ["docker"], "containerd-shim", cgroup)


def clean(folder: Path) -> None:
    """Take away the images and storages of all peers, and what podman mounted."""
    if shutil.which("docker") is not None:
        subprocess.run(["docker", "rmi", "-f", IMAGE], capture_output=True, check=False)
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if str(folder) in point), reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)


KNOWN = {"runc": runc, "podman": podman, "docker": docker}
