"""A Docker daemon of a benchmark's own, where none is given: in this network namespace.

It has its files, sockets and mounts for itself, so that nothing of a Docker that is installed is
used or changed; its bridge and rules are in the network namespace that the benchmark made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN = 30.0


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """`DOCKER_HOST` leads to it within; where it does not start, that is told."""
    if os.environ.get("DOCKER_HOST") or shutil.which("dockerd") is None:
        yield
        return
    folder.mkdir(parents=True)
    socket = f"unix://{folder}/s"
    words = [
        "dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run",
        "--pidfile", f"{folder}/pid", "--host", socket, "--storage-driver", "overlay2",
        "--exec-opt", "native.cgroupdriver=cgroupfs",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        os.environ["DOCKER_HOST"] = socket
        if not _answers(process):
            text = (folder / "log").read_text(errors="replace").strip().splitlines()
            print("dockerd does not start: " + " | ".join(text[-3:]))
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        process.terminate()
        process.wait(30)


def _answers(process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        done = subprocess.run(["docker", "version"], capture_output=True, check=False)
        if done.returncode == 0:
            return True
        time.sleep(0.2)
    return False
