"""The tutorial, replayed: every command of every page on a real kernel, its output compared."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.privileged.tutorial.shells import PYTHON, STEPS, TUTORIAL, make_root, make_shells
from tests.support.console import replay, steps

PAGES = sorted(TUTORIAL.glob("[0-9][0-9]-*.md"))
EITHER_ROOT = ("01", "02", "03", "04", "05", "06", "09", "11")
"""pages whose # may be the root of a user namespace, as the overview says"""
CASES = [(page, "root") for page in [TUTORIAL / "README.md", *PAGES]]
CASES += [(page, "userns") for page in PAGES if page.name.startswith(EITHER_ROOT)]
NEEDS_LINE = re.compile(r"^\*Programs?: .* · (?:needs? )?(.*)\*$", re.MULTILINE)


@pytest.fixture(scope="module")
def root_file_system() -> Iterator[Path]:
    """What `make_root.py root` makes; each page has a copy."""
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON}, which an ordinary user can run, is missing: apt install python3")
    with tempfile.TemporaryDirectory(prefix="bx-tutorial-") as folder:
        made = os.environ.get("BOXY_TEST_TUTORIAL_ROOT")  # in a machine that is slow at it
        make_root(Path(folder) / "root", Path(made) if made else None)
        yield Path(folder) / "root"


@pytest.fixture(scope="module")
def folders() -> Iterator[dict[str, Path]]:
    """One folder for each kind of root: a learner does all pages in one, so they must agree."""
    with tempfile.TemporaryDirectory(prefix="bx-own-") as own:
        kinds = {root: Path(own, root) for _, root in CASES}
        Path(own).chmod(0o755)
        for folder in kinds.values():
            folder.mkdir()
        yield kinds


@pytest.mark.parametrize(
    ("page", "root"), CASES, ids=[f"{page.stem}-{root}" for page, root in CASES]
)
@pytest.mark.timeout(180)
def test_every_command_of_a_page_answers_as_the_page_says(
    page: Path, root: str, folders: dict[str, Path], root_file_system: Path
) -> None:
    try:
        _replay(page, root, folders[root], root_file_system)
    except AssertionError as error:  # the pauses of a page may be short where others work, too
        print("once more, with longer pauses:", error)
        again = folders[root].with_name(f"{root}-{page.stem}")
        again.mkdir()
        _replay(page, root, again, root_file_system, patience=4)


def _replay(page: Path, root: str, folder: Path, root_file_system: Path, patience: int = 1) -> None:
    shells = make_shells(folder, root, root_file_system, patience)
    try:
        replay(page, shells)
    finally:
        for shell in shells.values():
            shell.close()


def test_each_page_says_which_root_it_needs_and_is_tried_with_it() -> None:
    for page in PAGES:
        found = NEEDS_LINE.search(page.read_text())
        assert found, f"{page.name} does not say what it needs"
        either = found[1].endswith("`#` shell of either kind")
        assert either == page.name.startswith(EITHER_ROOT), page.name


def test_each_page_has_commands_and_their_output() -> None:
    assert len(PAGES) == 14
    for page in PAGES:
        assert sum(bool(step.expected.strip()) for step in steps(page)) >= 3, page.name
    assert STEPS.is_dir()
