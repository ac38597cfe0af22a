"""Changes to the database: one function each, within a transaction of the writer's thread."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable

import msgspec

from boxy_registry.errors import (
    BlobUnknown,
    ManifestBlobUnknown,
    ManifestUnknown,
    NameUnknown,
    QuotaExceeded,
)
from boxy_registry.manifests import Descriptor, Manifest
from boxy_registry.names import digest_of, is_digest, shown
from boxy_registry.store.records import Put

_NEW_LINK = """
INSERT INTO links (repo, digest, size, used) VALUES (?, ?, ?, ?)
ON CONFLICT (repo, digest) DO UPDATE SET used = excluded.used"""
_NEW_MANIFEST = """
INSERT INTO manifests
    (repo, digest, media_type, body, subject, artifact_type, annotations, content, created, used)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (repo, digest) DO UPDATE SET used = excluded.used, media_type = excluded.media_type
RETURNING id, created = used"""
_NEW_TAG = """
INSERT INTO tags (repo, name, digest, pushed) VALUES (?, ?, ?, ?)
ON CONFLICT (repo, name) DO UPDATE SET digest = excluded.digest, pushed = excluded.pushed"""
_SHOWN_MISSING = 50


def repository_id(db: sqlite3.Connection, name: str) -> int:
    """The id of the repository, which is made if it is new."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = db.execute(
            "INSERT INTO repositories (name, created) VALUES (?, ?) RETURNING id",
            (name, time.time()),
        ).fetchone()
    return int(row[0])


def link_blob(
    db: sqlite3.Connection, name: str, digest: str, size: int, default_quota: int = 0
) -> None:
    """Say that the blob's file is in the store and may be read through this repository.

    Raises QuotaExceeded.
    """
    repo = repository_id(db, name)
    now = time.time()
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (digest, size, now))
    db.execute(_NEW_LINK, (repo, digest, size, now))
    _check_quota(db, repo, name, default_quota)


def mount_blob(
    db: sqlite3.Connection,
    name: str,
    digest: str,
    may_read: Callable[[str], bool],
    default_quota: int = 0,
) -> bool:
    """Link a blob from another repository which the caller may read; False: there is none."""
    rows = db.execute(
        "SELECT r.name, l.size FROM links l JOIN repositories r ON r.id = l.repo"
        " WHERE l.digest = ?",
        (digest,),
    ).fetchall()
    for source, size in rows:
        if may_read(source):
            link_blob(db, name, digest, size, default_quota)
            return True
    return False


def touch_blob(db: sqlite3.Connection, name: str, digest: str) -> bool:
    """Note that a client counts on the blob; False if the collector was quicker."""
    done = db.execute(
        "UPDATE links SET used = ? WHERE digest = ?"
        " AND repo = (SELECT id FROM repositories WHERE name = ?)",
        (time.time(), digest, name),
    )
    return done.rowcount > 0


def touch_manifest(db: sqlite3.Connection, name: str, digest: str) -> bool:
    """The same for a manifest."""
    done = db.execute(
        "UPDATE manifests SET used = ? WHERE digest = ?"
        " AND repo = (SELECT id FROM repositories WHERE name = ?)",
        (time.time(), digest, name),
    )
    return done.rowcount > 0


def put_manifest(
    db: sqlite3.Connection,
    name: str,
    reference: str,
    manifest: Manifest,
    tags: Iterable[str] = (),
    *,
    blobs_needed: bool = True,
    children_needed: bool = False,
    default_quota: int = 0,
) -> Put:
    """Keep a manifest and move the tags to it, at once.

    `reference` is a tag, or the digest that was verified.  Raises ManifestBlobUnknown naming
    what is missing, QuotaExceeded.
    """
    repo = repository_id(db, name)
    now = time.time()
    if blobs_needed:
        _require(db, "links", repo, [blob for blob in manifest.blobs if not blob.optional])
    if children_needed:
        _require(db, "manifests", repo, manifest.children)
    tagged = is_digest(reference)
    digest = reference if tagged else digest_of(manifest.body)
    row, new = db.execute(
        _NEW_MANIFEST,
        (
            repo, digest, manifest.media_type, manifest.body, manifest.subject,
            manifest.artifact_type, msgspec.json.encode(manifest.annotations).decode(),
            _content(db, repo, manifest), now, now,
        ),
    ).fetchone()  # fmt: skip
    if new:
        named = [(row, repo, blob.digest, "o" if blob.optional else "b") for blob in manifest.blobs]
        named += [(row, repo, child.digest, "m") for child in manifest.children]
        db.executemany("INSERT OR IGNORE INTO refs VALUES (?, ?, ?, ?)", named)
    moved = tuple(dict.fromkeys(tags if tagged else (reference, *tags)))
    db.executemany(_NEW_TAG, [(repo, tag, digest, now) for tag in moved])
    db.execute("UPDATE repositories SET pushed = ? WHERE id = ?", (now, repo))
    _check_quota(db, repo, name, default_quota)
    return Put(digest, bool(new), manifest.subject, moved)


def _content(db: sqlite3.Connection, repo: int, manifest: Manifest) -> int:
    """Bytes of the blobs of a manifest and of its children, as far as they are here."""
    total = manifest.content_size
    for child in manifest.children:
        row = db.execute(
            "SELECT content FROM manifests WHERE repo = ? AND digest = ?", (repo, child.digest)
        ).fetchone()
        total += row[0] if row else 0
    return total


def delete_tag(db: sqlite3.Connection, name: str, tag: str) -> str:
    """Remove a tag; the digest that it led to.  Raises ManifestUnknown."""
    row = db.execute(
        "DELETE FROM tags WHERE repo = (SELECT id FROM repositories WHERE name = ?) AND name = ?"
        " RETURNING digest",
        (name, tag),
    ).fetchone()
    if row is None:
        raise ManifestUnknown(f"{name} has no tag {shown(tag)}", detail={"reference": shown(tag)})
    return str(row[0])


def delete_manifest(db: sqlite3.Connection, name: str, digest: str) -> tuple[str, ...]:
    """Remove a manifest and the tags that lead to it; those tags.  Raises ManifestUnknown."""
    row = db.execute(
        "SELECT m.id, m.repo FROM manifests m JOIN repositories r ON r.id = m.repo"
        " WHERE r.name = ? AND m.digest = ?",
        (name, digest),
    ).fetchone()
    if row is None:
        raise ManifestUnknown(f"{name} has no manifest {digest}", detail={"reference": digest})
    manifest, repo = row
    tags = db.execute(
        "DELETE FROM tags WHERE repo = ? AND digest = ? RETURNING name", (repo, digest)
    ).fetchall()
    db.execute("DELETE FROM manifests WHERE id = ?", (manifest,))
    return tuple(tag for (tag,) in tags)


def delete_blob(db: sqlite3.Connection, name: str, digest: str) -> None:
    """Take a blob out of a repository; the collector removes the file.  Raises BlobUnknown."""
    done = db.execute(
        "DELETE FROM links WHERE repo = (SELECT id FROM repositories WHERE name = ?)"
        " AND digest = ?",
        (name, digest),
    )
    if done.rowcount == 0:
        raise BlobUnknown(f"{name} has no blob {digest}", detail={"digest": digest})


def delete_repository(db: sqlite3.Connection, name: str) -> None:
    """Remove a repository with all that it lists.  Raises NameUnknown."""
    row = db.execute("SELECT id FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NameUnknown(f"there is no repository {name}", detail={"name": name})
    for statement in (
        "DELETE FROM tags WHERE repo = ?",
        "DELETE FROM manifests WHERE repo = ?",
        "DELETE FROM links WHERE repo = ?",
        "DELETE FROM repositories WHERE id = ?",
    ):
        db.execute(statement, row)


def set_quota(db: sqlite3.Connection, name: str, quota: int | None) -> None:
    """Bound a repository's size in bytes; 0: without bound, None: the registry's default."""
    repo = repository_id(db, name)
    db.execute("UPDATE repositories SET quota = ? WHERE id = ?", (quota, repo))


def _require(
    db: sqlite3.Connection, table: str, repo: int, descriptors: Iterable[Descriptor]
) -> None:
    question = f"SELECT 1 FROM {table} WHERE repo = ? AND digest = ?"  # noqa: S608 - our own words
    missing = [
        descriptor.digest
        for descriptor in descriptors
        if db.execute(question, (repo, descriptor.digest)).fetchone() is None
    ]
    if missing:
        raise ManifestBlobUnknown(
            f"the repository does not hold {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            detail=[{"digest": digest} for digest in missing[:_SHOWN_MISSING]],
        )


def _check_quota(db: sqlite3.Connection, repo: int, name: str, default: int) -> None:
    size, own = db.execute("SELECT bytes, quota FROM repositories WHERE id = ?", (repo,)).fetchone()
    quota = default if own is None else own
    if quota and size > quota:
        raise QuotaExceeded(
            f"{name} would hold {size} bytes, its quota is {quota}",
            detail={"bytes": size, "quota": quota},
        )
