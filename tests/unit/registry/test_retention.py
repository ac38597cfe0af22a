"""Which tags a rule keeps."""

from __future__ import annotations

from boxy_registry.retention import not_kept
from boxy_registry.sections import Retention
from boxy_registry.store import Tag

DAY = 86400.0
NOW = 100 * DAY
TAGS = [
    Tag(name, f"sha256:{name}", "", "", 0, NOW - age * DAY)
    for name, age in (("v1", 90), ("v2", 60), ("nightly-1", 3), ("nightly-2", 2), ("latest", 1))
]


def gone(**rule: object) -> list[str]:
    return [tag.name for tag in not_kept(TAGS, Retention(**rule), NOW)]  # type: ignore[arg-type]


def test_the_newest_are_kept_and_the_oldest_are_named_first() -> None:
    assert gone(keep_last=2) == ["v1", "v2", "nightly-1"]
    assert gone(keep_last=9) == []


def test_what_any_line_of_a_rule_keeps_stays() -> None:
    assert gone(keep=("v*",)) == ["nightly-1", "nightly-2", "latest"]
    assert gone(keep=("v*",), keep_last=1) == ["nightly-1", "nightly-2"]
    assert gone(keep=("v*",), keep_younger="60h") == ["nightly-1"]


def test_a_rule_that_keeps_nothing_removes_nothing() -> None:
    assert gone() == []
