"""What the command line's tests share: a scripted daemon on a socket, and `boxy` in a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_daemon import FakeDaemon

ROOT = Path(__file__).parents[3]
Boxy = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., FakeDaemon]]:
    """Makes daemons that say what a script says."""
    made: list[FakeDaemon] = []

    def make(script: dict[str, Any] | None = None) -> FakeDaemon:
        made.append(FakeDaemon(tmp_path_factory.mktemp("d"), script or {}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def boxy() -> Boxy:
    """Runs `boxy` as a process against a daemon."""

    def run(
        daemon: FakeDaemon | str, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        path = daemon if isinstance(daemon, str) else str(daemon.path)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("BOXY_")}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "boxy_cli.main", *words],
            cwd="/",
            env={**clean, "PYTHONPATH": str(ROOT), "BOXY_SOCKET": path, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=30,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run
