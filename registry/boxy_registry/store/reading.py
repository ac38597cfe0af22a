"""Questions to the database: one function each, on a connection that only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from boxy_registry.errors import BlobUnknown, ManifestUnknown, NameUnknown
from boxy_registry.names import is_digest, shown
from boxy_registry.store.records import Repository, StoredManifest, Tag

_BY_TAG = """
SELECT m.digest, m.media_type, m.body, m.used FROM repositories r
JOIN tags t ON t.repo = r.id JOIN manifests m ON m.repo = t.repo AND m.digest = t.digest
WHERE r.name = ? AND t.name = ?"""
_BY_DIGEST = """
SELECT m.digest, m.media_type, m.body, m.used FROM repositories r
JOIN manifests m ON m.repo = r.id WHERE r.name = ? AND m.digest = ?"""
_REPOSITORIES = """
SELECT name FROM repositories r WHERE name > ?
AND EXISTS (SELECT 1 FROM manifests WHERE repo = r.id) ORDER BY name LIMIT ?"""
_KNOWN = """
SELECT id FROM repositories r WHERE name = ? AND (
    EXISTS (SELECT 1 FROM manifests WHERE repo = r.id)
    OR EXISTS (SELECT 1 FROM links WHERE repo = r.id))"""
_ABOUT = """
SELECT name, bytes, quota, (SELECT count(*) FROM manifests WHERE repo = r.id),
    (SELECT count(*) FROM tags WHERE repo = r.id), pushed
FROM repositories r WHERE name = ?"""
_TAGS = """
SELECT t.name, t.digest, m.media_type, m.artifact_type, m.content, t.pushed FROM tags t
JOIN manifests m ON m.repo = t.repo AND m.digest = t.digest
WHERE t.repo = ? AND t.name > ? ORDER BY t.name LIMIT ?"""
_LINK = """
SELECT l.size, l.used FROM repositories r JOIN links l ON l.repo = r.id
WHERE r.name = ? AND l.digest = ?"""
_REFERRERS = """
SELECT id, media_type, digest, length(body), artifact_type, annotations FROM manifests
WHERE repo = ? AND subject = ? AND id > ? ORDER BY id LIMIT ?"""
_OF_TYPE = _REFERRERS.replace("id > ?", "id > ? AND artifact_type = ?")


def manifest(db: sqlite3.Connection, repository: str, reference: str) -> StoredManifest:
    """By tag or digest.  Raises ManifestUnknown."""
    question = _BY_DIGEST if is_digest(reference) else _BY_TAG
    row = db.execute(question, (repository, reference)).fetchone()
    if row is None:
        raise ManifestUnknown(
            f"{repository} has no manifest {shown(reference)}",
            detail={"reference": shown(reference)},
        )
    return StoredManifest(*row)


def link(db: sqlite3.Connection, repository: str, digest: str) -> tuple[int, float]:
    """Size and last use of a blob in a repository.  Raises BlobUnknown."""
    row: tuple[int, float] | None = db.execute(_LINK, (repository, digest)).fetchone()
    if row is None:
        raise BlobUnknown(f"{repository} has no blob {digest}", detail={"digest": digest})
    return row


def holders(db: sqlite3.Connection, digest: str) -> list[str]:
    """The repositories that hold a blob."""
    rows = db.execute(
        "SELECT r.name FROM links l JOIN repositories r ON r.id = l.repo WHERE l.digest = ?",
        (digest,),
    )
    return [name for (name,) in rows]


def repositories(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """Names in order; those that hold nothing are not listed."""
    return [name for (name,) in db.execute(_REPOSITORIES, (after, limit))]


def repository(db: sqlite3.Connection, name: str, even_empty: bool) -> Repository:
    """A repository in numbers.  Raises NameUnknown."""
    if not even_empty:
        known_id(db, name)
    return Repository(*db.execute(_ABOUT, (name,)).fetchone())


def known_id(db: sqlite3.Connection, name: str) -> int:
    """The id of a repository that holds something.  Raises NameUnknown."""
    row = db.execute(_KNOWN, (name,)).fetchone()
    if row is None:
        raise NameUnknown(f"there is no repository {name}", detail={"name": name})
    return int(row[0])


def tag_names(db: sqlite3.Connection, name: str, after: str, limit: int) -> list[str]:
    """Tags in (byte) order after one.  Raises NameUnknown."""
    rows = db.execute(
        "SELECT name FROM tags WHERE repo = ? AND name > ? ORDER BY name LIMIT ?",
        (known_id(db, name), after, limit),
    )
    return [tag for (tag,) in rows]


def tags(db: sqlite3.Connection, name: str, after: str, limit: int) -> list[Tag]:
    """Tags with what they lead to.  Raises NameUnknown."""
    return [Tag(*row) for row in db.execute(_TAGS, (known_id(db, name), after, limit))]


def referrers(
    db: sqlite3.Connection, name: str, subject: str, artifact_type: str, after: int, limit: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Manifests whose subject is this digest, oldest first: a place in the list, a descriptor."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        return
    if artifact_type:
        rows = db.execute(_OF_TYPE, (row[0], subject, after, artifact_type, limit))
    else:
        rows = db.execute(_REFERRERS, (row[0], subject, after, limit))
    for place, media_type, digest, size, kind, notes in rows:
        descriptor = {"mediaType": media_type, "digest": digest, "size": size}
        if kind:
            descriptor["artifactType"] = kind
        if notes != "{}":
            descriptor["annotations"] = msgspec.json.decode(notes)
        yield place, descriptor


def refers(db: sqlite3.Connection, name: str, digest: str, subject: str) -> bool:
    """Whether a manifest of the repository has this subject."""
    question = (
        "SELECT 1 FROM manifests m JOIN repositories r ON r.id = m.repo"
        " WHERE r.name = ? AND m.digest = ? AND m.subject = ?"
    )
    return db.execute(question, (name, digest, subject)).fetchone() is not None
