"""Retention: which tags are kept, and the removal of the others.

Constraint: what goes is worked out by a pure function, so that a dry run and the real one cannot
differ; a manifest goes with its last tag only if nothing else names it (an index, a subject).
"""

from __future__ import annotations

import functools
import logging
import sqlite3
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from boxy_registry.config import span
from boxy_registry.parts import Parts
from boxy_registry.sections import Retention
from boxy_registry.services import alone, repeated
from boxy_registry.store import Store, Tag

log = logging.getLogger("boxy_registry.retention")


class Doomed(NamedTuple):
    """A tag that is to go."""

    repository: str
    tag: Tag


def extend(parts: Parts) -> None:
    """Carry the rules out every so often, if the settings say so."""
    settings = parts.settings
    seconds = span(settings.retention_every, "retention_every")
    if seconds and settings.retention:

        async def work() -> None:
            for one in plan(parts.store, settings.retention):
                await remove(parts.store, one)
                log.info("%s:%s is removed by retention", one.repository, one.tag.name)

        parts.services.append(
            functools.partial(repeated, seconds, alone(parts.store, "retention", work))
        )


def plan(store: Store, rules: Iterable[Retention]) -> list[Doomed]:
    """Every tag that the rules do not keep."""
    rules, now = list(rules), time.time()
    found = []
    for name in store.repositories():
        rule = next((one for one in rules if fnmatchcase(name, one.repositories)), None)
        if rule is not None:
            found += [Doomed(name, tag) for tag in not_kept(store.tags(name), rule, now)]
    return found


def not_kept(tags: Iterable[Tag], rule: Retention, now: float) -> list[Tag]:
    """The tags that a rule lets go, oldest first.  Pure.

    A rule that keeps nothing at all would empty a repository by its being incomplete: it keeps
    everything.
    """
    younger = span(rule.keep_younger, "retention.keep_younger")
    if not (rule.keep_last or rule.keep or younger):
        return []
    newest_first = sorted(tags, key=lambda tag: (-tag.pushed, tag.name))
    last = {tag.name for tag in newest_first[: rule.keep_last]}
    return [
        tag
        for tag in reversed(newest_first)
        if tag.name not in last
        and not any(fnmatchcase(tag.name, pattern) for pattern in rule.keep)
        and not (younger and now - tag.pushed < younger)
    ]


async def remove(store: Store, doomed: Doomed) -> None:
    """Remove a tag, and what only it led to."""
    await store.write(_remove, doomed.repository, doomed.tag.name, doomed.tag.digest)


def _remove(db: sqlite3.Connection, repository: str, tag: str, digest: str) -> None:
    """In one transaction; a tag that was moved meanwhile stays."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (repository,)).fetchone()
    if row is None:
        return
    gone = db.execute(
        "DELETE FROM tags WHERE repo = ? AND name = ? AND digest = ?", (row[0], tag, digest)
    )
    if gone.rowcount:
        _remove_orphans(db, row[0], digest)


_HELD = """
SELECT EXISTS (SELECT 1 FROM tags WHERE repo = :repo AND digest = :digest)
OR EXISTS (SELECT 1 FROM refs WHERE repo = :repo AND digest = :digest AND kind = 'm')
OR EXISTS (SELECT 1 FROM manifests m WHERE m.repo = :repo AND m.digest = :digest
           AND m.subject != '')"""
_CHILDREN = """
SELECT r.digest FROM refs r JOIN manifests m ON m.id = r.manifest
WHERE m.repo = ? AND m.digest = ? AND r.kind = 'm'"""


def _remove_orphans(db: sqlite3.Connection, repo: int, digest: str) -> None:
    """A manifest without tags that nothing names, and then its children likewise.

    One with a subject (a signature) stays: it is found by way of that.
    """
    waiting = [digest]
    while waiting:
        one = waiting.pop()
        if db.execute(_HELD, {"repo": repo, "digest": one}).fetchone()[0]:
            continue
        children = [child for (child,) in db.execute(_CHILDREN, (repo, one))]
        done = db.execute("DELETE FROM manifests WHERE repo = ? AND digest = ?", (repo, one))
        if done.rowcount:
            waiting += children
