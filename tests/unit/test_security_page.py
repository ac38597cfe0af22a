"""The page about isolation answers each known attack, and names a test that there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.images import REPOSITORY

PAGE = REPOSITORY / "docs/explanation/security.md"
CLASSES = (
    "/proc/self/exe", "CVE-2019-5736", "CVE-2024-21626", "CVE-2025-31133", "CVE-2025-52565",
    "CVE-2025-52881", "CVE-2021-30465", "CVE-2022-0492", "core_pattern", "sysrq", "kcore", "kmsg",
    "modules", "open_by_handle_at", "mknod", "raw devices", "nested user namespaces", "io_uring",
    "keyctl", "bpf", "vsock", "TIOCSTI", "shared terminals", "abstract sockets", "host loopback",
    "set-uid files", "ptrace", "signals", "CVE-2016-9962", "names", "labels", "ps", "logs",
    "notices",
)  # fmt: skip


def table(title: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    text = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def known_tests(folder: str) -> set[str]:
    """The names of all test functions below a folder."""
    found = set()
    for path in Path(REPOSITORY / folder).rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return found


@pytest.mark.parametrize("word", CLASSES)
def test_each_class_of_attack_has_its_line(word: str) -> None:
    rows = table("Known attacks, one by one")
    assert any(re.search(rf"(?<![\w-]){re.escape(word)}(?!\w)", row[0]) for row in rows)


def test_each_line_tells_what_stops_it_and_names_a_test_that_exists() -> None:
    there, real = known_tests("tests"), known_tests("tests/privileged")
    for attack, stopped_by, tried_by in table("Known attacks, one by one"):
        assert len(stopped_by) > 5, attack
        named = re.findall(r"`(test_\w+)`", tried_by)
        assert set(named) & real, f"{attack}: no test of real boxes"
        assert not set(named) - there, attack


def test_every_flag_that_weakens_a_box_says_what_it_gives_away() -> None:
    from boxy_core.flags import isolation

    text = " ".join(row[0] for row in table("What weakens it, and how far"))
    for option in (*isolation.SPACES, *isolation.CONFINEMENT, isolation.SECURITY):
        flag = option.flags[-1]
        assert flag in text or flag == "--time", flag
