"""What is offered to pyte: each change applies, and mends what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyte
import pytest

OFFERED = Path(__file__).parents[3] / "docs" / "upstream"

SHOWN = """
import json, sys, pyte
def holds(columns, text, claim):
    screen, said = pyte.Screen(columns, 3), []
    screen.write_process_input = said.append
    try:
        pyte.Stream(screen).feed(text)
    except Exception:
        return False
    return bool(eval(claim))
print([holds(*case) for case in json.load(sys.stdin)])
"""

CASES = {
    "private-sequences": [
        (9, "\x1b[>4;1mx", "not screen.buffer[0][0].underscore"),
        (9, "\x1b[>c", "not said"),
        (9, "\x1b[?1mx\x1b[?6ny", "screen.display[0].startswith('xy')"),
    ],
    "ascii-digits": [(9, "\x1b[\xb2ab", "'b' in screen.display[0]")],
    "origin-report": [(9, "\x1b[?6h\x1b[6n", "said == ['\\x1b[1;1R']")],
    "wide-at-the-margin": [
        (5, "abcd\u65e5", "screen.display[:2] == ['abcd ', '\u65e5   ']"),
        (5, "abcde\u0301", "screen.cursor.y == 0 and screen.display[0] == 'abcd\xe9'"),
    ],
    "zero-width": [(9, "a\ufe0fb", "screen.display[0].startswith('ab')")],
}


def _holds(folder: Path, name: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN],
        env={"PYTHONPATH": str(folder)},
        input=json.dumps(CASES[name]).encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def test_every_change_that_is_offered_is_tested() -> None:
    assert {path.stem for path in OFFERED.glob("*.diff")} == set(CASES)


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs patch(1)")
@pytest.mark.parametrize("name", CASES)
def test_pyte_fails_without_it_and_passes_with_it(name: str, tmp_path: Path) -> None:
    assert pyte.__file__ is not None
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pyte.__file__).parent, tmp_path / "pyte", ignore=ignored)
    assert _holds(tmp_path, name) == str([False] * len(CASES[name]))
    change = (OFFERED / f"{name}.diff").read_bytes()
    subprocess.run(["patch", "-p1", "-s"], input=change, cwd=tmp_path, check=True)
    assert _holds(tmp_path, name) == str([True] * len(CASES[name]))
