"""The reference page is what the tables say today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from boxy_cli import table
from boxy_core.flags import options

DOCS = Path(__file__).parents[3] / "docs"


def test_the_reference_of_the_command_line_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate_cli.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_every_boxy_command_for_docker_s_users_is_one_that_is_understood() -> None:
    text = (DOCS / "how-to" / "moving-from-docker.md").read_text()
    examples = [part for part in text.split("`") if part.startswith("boxy ") and "|" not in part]
    assert len(examples) > 15
    for example in examples:
        _, name, *words = example.split()
        if words or name in ("ps", "images", "info", "version"):
            command = table.find(name)
            if isinstance(command, options.Group):
                options.parse(*command.select(words))
            else:
                options.parse(command, words)
