"""What the tutorial promises about itself, and what it says about Boxy's source."""

from __future__ import annotations

import ast
import itertools
import os
import re
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
TUTORIAL = REPOSITORY / "docs" / "tutorial" / "build-your-own"
PROGRAMS = sorted((TUTORIAL / "steps").glob("*.py"))
PAGES = sorted(TUTORIAL.glob("*.md"))
SECTIONS = ("## The idea", "## What is new", "## Check your work", "## What still leaks",
            "## Read on")  # fmt: skip
LISTING = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SOURCE = re.compile(
    r"`((?:boxyd|boxy_core|boxy_cli|boxy_tui)/[\w/]+\.\w+)`(?::\s+((?:`\w+`(?:,\s+)?)+))?"
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_a_program_is_short_executable_and_of_the_standard_library(program: Path) -> None:
    text = program.read_text()
    assert len(text.splitlines()) <= 150
    assert os.access(program, os.X_OK)
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names, f"{program.name}: {name}"


def test_there_are_fourteen_steps_from_0_to_13() -> None:
    numbers = {program.name[:2] for program in PROGRAMS if program.name[:2].isdigit()}
    assert numbers == {f"{number:02}" for number in range(14)}


@pytest.mark.parametrize("page", PAGES[:-1], ids=lambda path: path.name)
def test_a_page_has_its_sections_and_shows_lines_that_are_in_its_program(page: Path) -> None:
    text = page.read_text()
    for section in SECTIONS:
        assert section in text, f"{page.name} lacks {section}"
    named = re.findall(r"\(steps/(\w+\.py)\)", text)
    sources = "\n".join((TUTORIAL / "steps" / name).read_text() for name in named)
    for listing in LISTING.findall(text):
        assert listing in sources, f"{page.name} shows what is not in {named}:\n{listing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_what_a_page_says_of_boxys_source_is_there(page: Path) -> None:
    for path, names in SOURCE.findall(page.read_text()):
        assert (REPOSITORY / path).is_file(), f"{page.name}: {path}"
        text = (REPOSITORY / path).read_text()
        for name in re.findall(r"\w+", names):
            defined = re.search(
                rf"^(?:class|def|async def) {name}\b|^{name}\b.*=", text, re.MULTILINE
            )
            assert defined, f"{page.name}: {path} defines no {name}"


def test_each_page_but_the_last_names_the_next() -> None:
    pages = [page for page in PAGES if page.name[0].isdigit()]
    for page, after in itertools.pairwise(pages):
        assert f"]({after.name})" in page.read_text(), page.name
