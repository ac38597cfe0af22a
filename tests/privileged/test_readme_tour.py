"""The README's tour, replayed: every `$` line is run by a shell, its output compared.

`...` in the README stands for any text.  A line may need a moment (a server that starts), so a
command whose answer differs is asked again for a few seconds, unless it makes something.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

README = Path(__file__).parents[2] / "README.md"
SETTLES_WITHIN = 30.0
MAKES = re.compile(r"boxy (run|stop|rm|update)\b")


def _steps() -> list[tuple[str, str]]:
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            steps.append((command, answer.strip()))
    return steps


def _matches(expected: str, seen: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in expected.split("..."))
    return re.fullmatch(pattern, seen.strip(), re.DOTALL) is not None


def _run(command: str, bin_folder: Path, env: dict[str, str]) -> str:
    env = {**env, "PATH": f"{bin_folder}:{env['PATH']}", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-c", command], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with `boxy` in it, run by this very interpreter."""
    script = tmp_path / "boxy"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m boxy_cli "$@"\n')
    script.chmod(0o755)
    return tmp_path


def test_the_tour_has_steps() -> None:
    assert len(_steps()) >= 12


def test_every_step_of_the_tour_answers_as_the_readme_says(daemon: Daemon, commands: Path) -> None:
    for command, expected in _steps():
        deadline = time.monotonic() + SETTLES_WITHIN
        while True:
            seen = _run(command, commands, daemon.env)
            if _matches(expected, seen):
                break
            over = MAKES.search(command) or time.monotonic() > deadline
            assert not over, f"$ {command}\nexpected:\n{expected}\nseen:\n{seen}"
            time.sleep(0.2)
