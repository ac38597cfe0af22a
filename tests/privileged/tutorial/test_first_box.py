"""The tutorial of the first box, replayed against a real daemon."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.support.console import Shell, steps
from tests.support.daemon import Daemon

PAGE = Path(__file__).parents[3] / "docs" / "tutorial" / "first-box.md"
SETTLES_WITHIN = 30.0
MAKES = ("run", "stop", "rm", "update", "restart")


def test_every_command_of_the_first_box_answers_as_the_page_says(
    daemon: Daemon, tmp_path: Path
) -> None:
    boxy = tmp_path / "boxy"
    boxy.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m boxy_cli "$@"\n')
    boxy.chmod(0o755)
    env = {**daemon.env, "PATH": f"{tmp_path}:{daemon.env['PATH']}", "LC_ALL": "C.UTF-8"}
    shell = Shell(["bash", "--norc", "--noprofile"], env, tmp_path)
    try:
        for step in steps(PAGE):
            deadline = time.monotonic() + SETTLES_WITHIN
            while not step.matches(seen := shell.run(step.command)):
                makes = step.command.split()[1] in MAKES
                over = makes or time.monotonic() > deadline  # a server may need a moment
                assert not over, f"$ {step.command}\nexpected:\n{step.expected}\nseen:\n{seen}"
                time.sleep(0.2)
    finally:
        shell.close()
