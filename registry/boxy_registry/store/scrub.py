"""Scrub: does the store hold what it says it holds?  While everything goes on.

Every blob's file is read and its digest compared, every manifest's bytes too, and what the
tables say of one another.  What vanishes while we look was deleted, and is no damage.  A repair
moves a damaged file to `quarantine/` and forgets the blob: clients are told that it is not
there, and the next push brings it back whole.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from boxy_core.errors import Conflict
from boxy_registry.names import digest_of
from boxy_registry.store import Store
from boxy_registry.store.collector import LOCK
from boxy_registry.store.database import connect, turn

_READ = 1 << 20
_ROWS = 1000

Kind = Literal["corrupt", "missing", "incomplete", "database"]


class Finding(NamedTuple):
    """Something wrong.

    `corrupt`: content that its digest belies; `missing`: a blob without its file; `incomplete`:
    an image with a layer that was deleted (the store is sound, the image is not); `database`:
    tables that contradict each other.
    """

    kind: Kind
    what: str
    sentence: str


@dataclass
class Scrubbed:
    """What a scrub saw. `bytes` were read, `repaired` counts blobs put aside."""

    blobs: int = 0
    manifests: int = 0
    bytes: int = 0
    repaired: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the store is sound."""
        return all(finding.kind == "incomplete" for finding in self.findings)


def scrub(
    store: Store,
    *,
    repair: bool = False,
    rate: int = 0,
    progress: Callable[[Scrubbed], None] = lambda _: None,
) -> Scrubbed:
    """Verify everything; blocks for as long as that takes.

    `rate` bounds the reading in bytes a second (0: as fast as the disk).  Raises Conflict if a
    collection or another scrub is under way.
    """
    with store.lock(LOCK) as lock:
        if not lock.take_now():
            raise Conflict(
                "a collection or another scrub is under way in this store",
                hint="wait until it is done",
            )
        with closing(connect(store.database, writing=repair)) as database:
            return _Scrub(store, database, repair, rate, progress).run()


class _Scrub:
    """One scrub under way."""

    def __init__(
        self,
        store: Store,
        database: sqlite3.Connection,
        repair: bool,
        rate: int,
        progress: Callable[[Scrubbed], None],
    ) -> None:
        self._store = store
        self._db = database
        self._repair = repair
        self._rate = rate
        self._progress = progress
        self._began = time.monotonic()
        self._result = Scrubbed()

    def run(self) -> Scrubbed:
        """All checks."""
        for digest, size in self._rows("SELECT digest, size FROM blobs", "digest"):
            self._check_blob(digest, size)
            self._result.blobs += 1
            self._progress(self._result)
        self._check_manifests()
        self._check_tables()
        return self._result

    def _rows(self, question: str, key: str) -> Iterator[tuple[str, int]]:
        """Rows in the order of a key, some at a time: no long transaction holds the log."""
        last = ""
        while True:
            rows = self._db.execute(
                f"{question} WHERE {key} > ? ORDER BY {key} LIMIT ?", (last, _ROWS)
            ).fetchall()
            yield from rows
            if len(rows) < _ROWS:
                return
            last = rows[-1][0]

    def _check_blob(self, digest: str, size: int) -> None:
        path = self._store.blobs.path(digest)
        try:
            found, length = self._digest_of_file(path, digest.partition(":")[0])
        except FileNotFoundError:
            if self._still_there("SELECT 1 FROM blobs WHERE digest = ?", digest):
                self._damaged("missing", digest, f"the file of blob {digest} is missing")
            return
        except OSError as error:
            self._damaged("corrupt", digest, f"blob {digest} cannot be read: {error.strerror}")
            return
        if found != digest:
            self._damaged("corrupt", digest, f"the content of blob {digest} is that of {found}")
        elif length != size:
            self._note("database", digest, f"blob {digest} has {length} bytes, listed are {size}")

    def _digest_of_file(self, path: str, algorithm: str) -> tuple[str, int]:
        digest, length, buffer = hashlib.new(algorithm), 0, bytearray(_READ)
        view = memoryview(buffer)
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(view[:count])
                length += count
                self._result.bytes += count
                self._keep_to_rate()
            # what was read only to be checked must not push out what clients pull
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return f"{algorithm}:{digest.hexdigest()}", length

    def _keep_to_rate(self) -> None:
        if self._rate:
            ahead = self._result.bytes / self._rate - (time.monotonic() - self._began)
            if ahead > 0:
                time.sleep(ahead)

    def _still_there(self, question: str, *arguments: object) -> bool:
        return self._db.execute(question, arguments).fetchone() is not None

    def _damaged(self, kind: Kind, digest: str, sentence: str) -> None:
        holders = self._db.execute(
            "SELECT r.name FROM links l JOIN repositories r ON r.id = l.repo WHERE l.digest = ?",
            (digest,),
        ).fetchall()
        names = ", ".join(name for (name,) in holders[:5]) or "no repository"
        self._note(kind, digest, f"{sentence} (held by {names})")
        if self._repair:
            self._put_aside(digest)

    def _put_aside(self, digest: str) -> None:
        folder = f"{self._store.root}/quarantine"
        os.makedirs(folder, mode=0o750, exist_ok=True)
        with turn(self._db):
            with suppress(FileNotFoundError):
                os.rename(self._store.blobs.path(digest), f"{folder}/{digest.replace(':', '-')}")
            self._db.execute("DELETE FROM links WHERE digest = ?", (digest,))
            self._db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
        self._result.repaired += 1

    def _check_manifests(self) -> None:
        last = 0
        while True:
            rows = self._db.execute(
                "SELECT m.id, r.name, m.digest, m.body FROM manifests m"
                " JOIN repositories r ON r.id = m.repo WHERE m.id > ? ORDER BY m.id LIMIT 100",
                (last,),
            ).fetchall()
            if not rows:
                return
            for _, name, digest, body in rows:
                self._result.manifests += 1
                self._result.bytes += len(body)
                if digest_of(body, digest.partition(":")[0]) != digest:
                    sentence = f"manifest {digest} of {name} has other bytes than its digest says"
                    self._note("corrupt", digest, sentence)
            last = rows[-1][0]

    def _check_tables(self) -> None:
        """What a sound store's tables say of one another; in one reading, so that all is of now."""
        self._db.execute("BEGIN")
        try:
            for kind, question, sentence in _CONTRADICTIONS:
                for row in self._db.execute(question):
                    self._note(kind, str(row[0]), sentence.format(*row))
            for (problem,) in self._db.execute("PRAGMA integrity_check"):
                if problem != "ok":
                    self._note("database", "registry.db", f"SQLite says: {problem}")
        finally:
            self._db.execute("COMMIT")

    def _note(self, kind: Kind, what: str, sentence: str) -> None:
        self._result.findings.append(Finding(kind, what, sentence))


_CONTRADICTIONS: tuple[tuple[Kind, str, str], ...] = (
    (
        "database",
        (
            "SELECT l.digest, r.name FROM links l JOIN repositories r ON r.id = l.repo"
            " WHERE NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = l.digest)"
        ),
        "{1} lists blob {0}, which the store does not hold",
    ),
    (
        "database",
        (
            "SELECT t.name, r.name, t.digest FROM tags t JOIN repositories r ON r.id = t.repo"
            " WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.repo = t.repo"
            " AND m.digest = t.digest)"
        ),
        "tag {1}:{0} leads to {2}, which is not there",
    ),
    (
        "database",
        (
            "SELECT r.name, r.bytes, (SELECT coalesce(sum(size), 0) FROM links WHERE repo = r.id)"
            " + (SELECT coalesce(sum(length(body)), 0) FROM manifests WHERE repo = r.id) AS real"
            " FROM repositories r WHERE r.bytes != real"
        ),
        "{0} is counted as {1} bytes, and has {2}",
    ),
    (
        "incomplete",
        (
            "SELECT m.digest, n.name, r.digest FROM refs r JOIN manifests m ON m.id = r.manifest"
            " JOIN repositories n ON n.id = r.repo WHERE r.kind = 'b' AND NOT EXISTS"
            " (SELECT 1 FROM links l WHERE l.repo = r.repo AND l.digest = r.digest)"
        ),
        "manifest {0} of {1} names blob {2}, which the repository does not hold",
    ),
)
