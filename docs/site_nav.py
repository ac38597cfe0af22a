"""The navigation of the documentation site, by purpose; MkDocs calls `on_config`.

Made from the folders, so that a new page is in it without anybody's doing: first those that
are named here, in this order, then the others by name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

SECTIONS = {
    "Tutorial": "tutorial",
    "How to": "how-to",
    "Reference": "reference",
    "Explanation": "explanation",
    "Decisions": "decisions",
    "For pyte": "upstream",
}
MARK = "<!-- every error -->"
FIRST = (
    "tutorial/first-box.md", "how-to/moving-from-docker.md", "how-to/limits.md",
    "how-to/networks.md", "how-to/volumes.md", "how-to/own-images.md", "reference/cli.md",
    "reference/keys.md", "explanation/architecture.md", "decisions/README.md",
)  # fmt: skip


def navigation(docs: Path) -> list[dict[str, Any]]:
    """What MkDocs takes as `nav`."""
    nav: list[dict[str, Any]] = [{"Boxy": "index.md"}]
    for title, folder in SECTIONS.items():
        nav.append({title: _pages(docs, docs / folder)})
    return nav


def _pages(docs: Path, folder: Path) -> list[Any]:
    """The pages of a folder, then the folders in it, whose title is that of their README."""
    names = sorted((str(path.relative_to(docs)) for path in folder.glob("*.md")), key=_place)
    below = sorted(path for path in folder.iterdir() if (path / "README.md").exists())
    return [*names, *({_title(path / "README.md"): _pages(docs, path)} for path in below)]


def _place(name: str) -> tuple[int, bool, str]:
    first = FIRST.index(name) if name in FIRST else len(FIRST)
    return first, not name.endswith("README.md"), name


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """MkDocs's hook: the list of all errors takes the place of its mark."""
    if MARK not in markdown:
        return markdown
    sys.path.insert(0, str(Path(__file__).parent))
    from errors_of import as_markdown

    return markdown.replace(MARK, as_markdown())


def on_config(config: Any) -> Any:
    """MkDocs's hook: the navigation, before the pages are read."""
    config["nav"] = navigation(Path(config["docs_dir"]))
    return config
