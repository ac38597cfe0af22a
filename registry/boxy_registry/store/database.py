"""The database: what is listed and counted, in SQLite with a write-ahead log.

Constraint: several processes share it.  Readers never wait.  Writers take turns by BEGIN
IMMEDIATE, each for a moment; what a writer decides in its turn (is this blob still referred to?)
stays true until its turn ends, and the collector removes files only in a turn of its own.
`synchronous=FULL`: what was answered with 201 survives a power cut.

Tables, one row each for
    repositories  a name; `bytes` is kept by triggers: its blobs' and manifests' sizes, each once
    blobs         a digest whose file is in the store
    links         a blob that may be read through a repository; `used`: last asked for
    manifests     a manifest in a repository, with its bytes; `content`: its blobs' bytes
    refs          what a manifest names: 'b' blob, 'o' blob that may lie elsewhere, 'm' manifest
    tags          a name for a manifest
Times are seconds since the epoch.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from boxy_core.errors import Conflict, Denied

SCHEMA_VERSION = 1
BUSY = 30.0
"""seconds that a writer waits for its turn"""

_SCHEMA = """
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL DEFAULT 0,
    quota INTEGER, created REAL NOT NULL, pushed REAL NOT NULL DEFAULT 0
);
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE links (
    repo INTEGER NOT NULL REFERENCES repositories(id), digest TEXT NOT NULL,
    size INTEGER NOT NULL, used REAL NOT NULL, PRIMARY KEY (repo, digest)
) WITHOUT ROWID;
CREATE INDEX links_digest ON links(digest);
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY, repo INTEGER NOT NULL REFERENCES repositories(id),
    digest TEXT NOT NULL, media_type TEXT NOT NULL, body BLOB NOT NULL,
    subject TEXT NOT NULL, artifact_type TEXT NOT NULL, annotations TEXT NOT NULL,
    content INTEGER NOT NULL, created REAL NOT NULL, used REAL NOT NULL, UNIQUE (repo, digest)
);
CREATE INDEX manifests_subject ON manifests(repo, subject) WHERE subject != '';
CREATE TABLE refs (
    manifest INTEGER NOT NULL REFERENCES manifests(id) ON DELETE CASCADE,
    repo INTEGER NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY (repo, digest, manifest, kind)
) WITHOUT ROWID;
CREATE INDEX refs_manifest ON refs(manifest);
CREATE TABLE tags (
    repo INTEGER NOT NULL REFERENCES repositories(id), name TEXT NOT NULL,
    digest TEXT NOT NULL, pushed REAL NOT NULL, PRIMARY KEY (repo, name)
) WITHOUT ROWID;
CREATE INDEX tags_digest ON tags(repo, digest);
CREATE TRIGGER link_in AFTER INSERT ON links BEGIN
    UPDATE repositories SET bytes = bytes + NEW.size WHERE id = NEW.repo; END;
CREATE TRIGGER link_out AFTER DELETE ON links BEGIN
    UPDATE repositories SET bytes = bytes - OLD.size WHERE id = OLD.repo; END;
CREATE TRIGGER manifest_in AFTER INSERT ON manifests BEGIN
    UPDATE repositories SET bytes = bytes + length(NEW.body) WHERE id = NEW.repo; END;
CREATE TRIGGER manifest_out AFTER DELETE ON manifests BEGIN
    UPDATE repositories SET bytes = bytes - length(OLD.body) WHERE id = OLD.repo; END;
"""


def connect(path: str, *, writing: bool = False) -> sqlite3.Connection:
    """A connection for one thread.  Transactions are begun by hand (`turn`)."""
    database = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA foreign_keys = ON")
    database.execute(f"PRAGMA synchronous = {'FULL' if writing else 'NORMAL'}")
    database.execute("PRAGMA cache_size = -256")  # KiB: the kernel has the pages anyway
    database.execute(f"PRAGMA query_only = {'OFF' if writing else 'ON'}")
    return database


@contextlib.contextmanager
def turn(database: sqlite3.Connection) -> Iterator[None]:
    """This process's turn to write; all of it or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:  # a full disk has ended it already
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def prepare(path: str) -> None:
    """Make the tables if they are not there.

    Raises Conflict for a database of another version, Denied for one that cannot be opened.
    """
    try:
        with contextlib.closing(connect(path, writing=True)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            with turn(database):
                _make_tables(database, path)
    except sqlite3.DatabaseError as error:
        raise Denied(
            f"the database {path} cannot be used: {error}",
            hint="is the folder writable, and on a local disk?",
        ) from None


def _make_tables(database: sqlite3.Connection, path: str) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version:
        raise Conflict(
            f"the store {path} has version {version}, this program knows {SCHEMA_VERSION}",
            hint="use the boxy-registry that made it, or a newer one",
        )
    statement = ""
    for line in _SCHEMA.splitlines(keepends=True):  # executescript would end our transaction
        statement += line
        if sqlite3.complete_statement(statement):
            database.execute(statement)
            statement = ""
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
