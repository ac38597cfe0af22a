"""The papers on images tell the truth: their examples are read, their tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boxy_core.image.folder import Config, RootFs, parse
from boxy_core.image.sources import SUFFIXES
from boxy_core.image.streams import DEFAULT_LIMITS

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = DOCS / "reference/image-json.md"
HOW_TO = DOCS / "how-to/own-images.md"


def examples() -> list[str]:
    found: list[str] = []
    for page in (REFERENCE, HOW_TO):
        text = page.read_text()
        found += re.findall(r"```json\n(.*?)```", text, re.DOTALL)
        found += re.findall(r"<<'END'\n(.*?)\nEND", text, re.DOTALL)
    return found


@pytest.mark.parametrize("example", examples())
def test_every_example_is_a_valid_image_json(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boxy_core.image.folder.trusted", lambda path: True)
    assert parse(example.encode(), "/registry/example").command


@pytest.mark.parametrize("field", [*Config.__struct_fields__, *RootFs.__struct_fields__])
def test_every_field_is_described(field: str) -> None:
    assert f"\n| `{field}` |" in REFERENCE.read_text()


def test_every_ending_and_limit_is_described() -> None:
    text = REFERENCE.read_text()
    assert all(f"{suffix}" in text for suffix in SUFFIXES)
    assert f"{DEFAULT_LIMITS.size >> 30} GiB" in text
    assert f"{DEFAULT_LIMITS.ratio} times" in text
    assert f"from {DEFAULT_LIMITS.ratio_from >> 20} MiB" in text
