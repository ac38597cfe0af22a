"""The reference page of the registry is what the program says today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_reference_of_the_registry_is_current_and_leaves_no_setting_unexplained() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "generate_registry.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    page = (DOCS / "reference" / "registry.md").read_text()
    assert [line for line in page.splitlines() if line.endswith("|  |")] == []
