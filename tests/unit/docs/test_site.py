"""The documentation as a whole: navigation, links, man pages, the list of errors."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from boxy_cli import table
from boxy_core import errors as tree

DOCS = Path(__file__).parents[3] / "docs"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def _anchors(page: Path) -> set[str]:
    """The anchors that headings give, as both MkDocs and code hosts make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip()
        found.add(re.sub(r"[\s]", "-", words))
    return found


def _flat(entries: object) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    parts = entries.values() if isinstance(entries, dict) else entries
    assert not isinstance(parts, (int, bytes))
    return [page for part in parts for page in _flat(part)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(DOCS)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link}"
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation_once() -> None:
    names = _flat(_module("site_nav").navigation(DOCS))
    assert sorted(names) == sorted(str(page.relative_to(DOCS)) for page in _pages())


def test_the_pages_that_come_first_exist_or_are_being_written() -> None:
    known = [name for name in _module("site_nav").FIRST if (DOCS / name).exists()]
    assert len(known) >= 7


def test_every_command_and_program_has_a_man_page(tmp_path: Path) -> None:
    written = {path.name for path in _module("generate_man").write(tmp_path)}
    assert {"boxy.1", "boxyd.8", "boxy-tui.1", "boxy-registry.1"} <= written
    for command in table.every():
        assert f"boxy-{command.name.replace(' ', '-')}.1" in written


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is missing: apt install groff")
def test_every_man_page_is_well_formed(tmp_path: Path) -> None:
    pages = _module("generate_man").write(tmp_path)
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", *pages]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stderr == ""


def test_the_list_of_errors_knows_every_kind_and_the_page_their_codes() -> None:
    kinds, classes = _module("errors_of").KINDS, [
        found for found in vars(tree).values()
        if isinstance(found, type) and issubclass(found, tree.BoxyError)
        and found is not tree.BoxyError
    ]  # fmt: skip
    assert sorted(kinds) == sorted(found.__name__ for found in classes)
    page = (DOCS / "reference" / "errors.md").read_text()
    for found in classes:
        row = rf"\| `{found.code}` \| {found.http_status} \| {found.exit_status} \|"
        assert re.search(row, page), f"{found.code} is not in errors.md as it is in the code"


BETWEEN_PROGRAMS = ("boxyd/runtime/", "boxy_registry/http/", "boxy_registry/access/authorizer.py")
"""errors that one program of Boxy's tells another, or a client of the registry's protocol"""


def test_every_error_that_a_user_may_see_names_a_next_step() -> None:
    """Where a sentence gives the system's own words about a path (strerror), they are enough."""
    usual = {name for name in _module("errors_of").KINDS if getattr(tree, name).usual_hint}
    lacking = [
        f"{error.path}:{error.line} {error.kind}: {error.sentence}"
        for error in _module("errors_of").errors()
        if not error.hint and error.kind not in usual and "strerror" not in error.sentence
        and not error.path.startswith(BETWEEN_PROGRAMS)
    ]  # fmt: skip
    assert lacking == [], "give each a hint: what should the user do next?\n" + "\n".join(lacking)


def test_an_error_without_a_hint_of_its_own_has_its_kinds() -> None:
    assert tree.Internal("x").hint == tree.Internal.usual_hint != ""
    assert tree.Internal("x", hint="y").hint == "y"
