"""Garbage collection while everything goes on.

Constraint: it never breaks a push in progress.  A push is a conversation: "do you have this
layer?" now, the manifest that names it minutes later.  So nothing goes that a client asked for
within the grace time; asking is noted before it is answered (`Store.use_blob`).  What is decided
(nothing refers to this, its time has passed) and what is done about it happen in one turn of the
database, in which no manifest can appear; a turn is short, so pushes hardly notice.

In this order, since each step may let go of what the next one takes:

    uploads      that rested too long
    manifests    that no tag, index or subject leads to (only if asked)
    links        of blobs that no manifest of the repository names
    blobs        that no repository links: row and file
    files        that no row knows: a process was killed between the two
    names        of repositories that hold nothing
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice

from boxy_core.errors import Conflict
from boxy_registry.errors import DigestInvalid
from boxy_registry.names import check_digest
from boxy_registry.store import Store
from boxy_registry.store.database import connect, turn

LOCK = "collector"
_TURN = 200
"""rows that one turn takes"""
_PAUSE = 0.002
"""seconds between turns, for others"""


@dataclass
class Swept:
    """What a collection removed, or would remove."""

    uploads: int = 0
    manifests: int = 0
    links: int = 0
    blobs: int = 0
    files: int = 0
    repositories: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Rules:
    """What may go. Times in seconds."""

    grace: float = 3600
    uploads: float = 86400
    untagged: bool = False


# A manifest goes if no tag leads to it, no index names it, its subject is gone too, and nobody
# asked for it lately. A chain (index, manifest, signature) goes link by link, in several rounds.
_UNTAGGED = """
SELECT m.id, m.repo, m.digest FROM manifests m WHERE m.used < :before
AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repo = m.repo AND t.digest = m.digest)
AND NOT EXISTS (SELECT 1 FROM refs r WHERE r.repo = m.repo AND r.digest = m.digest
                AND r.kind = 'm')
AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.repo = m.repo AND s.digest = m.subject)
LIMIT :most"""
_UNNAMED = """
SELECT l.repo, l.digest FROM links l WHERE l.used < :before
AND NOT EXISTS (SELECT 1 FROM refs r WHERE r.repo = l.repo AND r.digest = l.digest
                AND r.kind IN ('b', 'o'))
LIMIT :most"""
_UNLINKED = """
SELECT b.digest, b.size FROM blobs b WHERE b.created < :before
AND NOT EXISTS (SELECT 1 FROM links l WHERE l.digest = b.digest) LIMIT :most"""
_EMPTY = """
DELETE FROM repositories WHERE quota IS NULL AND created < :before AND id IN (
    SELECT r.id FROM repositories r
    WHERE NOT EXISTS (SELECT 1 FROM links WHERE repo = r.id)
    AND NOT EXISTS (SELECT 1 FROM manifests WHERE repo = r.id)
    AND NOT EXISTS (SELECT 1 FROM tags WHERE repo = r.id))"""


def collect(store: Store, rules: Rules, stop: Callable[[], bool] = lambda: False) -> Swept:
    """Remove what nothing refers to; blocks for as long as that takes.

    `stop` is asked between turns.  Raises Conflict if another process collects.
    """
    with store.lock(LOCK) as lock:
        if not lock.take_now():
            raise Conflict("another process collects in this store", hint="wait until it is done")
        with closing(connect(store.database, writing=True)) as database:
            return _Collection(store, database, rules, stop).run()


class _Collection:
    """One collection under way."""

    def __init__(
        self, store: Store, database: sqlite3.Connection, rules: Rules, stop: Callable[[], bool]
    ) -> None:
        self._store = store
        self._db = database
        self._rules = rules
        self._stop = stop
        self._before = time.time() - rules.grace
        self.swept = Swept()

    def run(self) -> Swept:
        """All steps."""
        self._sweep_uploads()
        if self._rules.untagged:
            self._in_turns(self._sweep_manifests)
        self._in_turns(self._sweep_links)
        self._in_turns(self._sweep_blobs)
        self._sweep_files()
        with turn(self._db):
            self.swept.repositories = self._db.execute(_EMPTY, {"before": self._before}).rowcount
        return self.swept

    def _in_turns(self, step: Callable[[], int]) -> None:
        """Repeat a step, in a turn each time, until it finds nothing."""
        while not self._stop():
            with turn(self._db):
                found = step()
            if not found:
                return
            time.sleep(_PAUSE)

    def _some(self, question: str) -> list[tuple[object, ...]]:
        return self._db.execute(question, {"before": self._before, "most": _TURN}).fetchall()

    def _sweep_manifests(self) -> int:
        rows = self._some(_UNTAGGED)
        self._db.executemany("DELETE FROM manifests WHERE id = ?", [(row[0],) for row in rows])
        self.swept.manifests += len(rows)
        return len(rows)

    def _sweep_links(self) -> int:
        rows = self._some(_UNNAMED)
        self._db.executemany("DELETE FROM links WHERE repo = ? AND digest = ?", rows)
        self.swept.links += len(rows)
        return len(rows)

    def _sweep_blobs(self) -> int:
        """Row and file in one turn: whoever links the blob has had or will have theirs."""
        rows = self._some(_UNLINKED)
        for digest, _ in rows:
            self._db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            self.swept.bytes += self._store.blobs.remove(str(digest))
            self.swept.blobs += 1
        return len(rows)

    def _sweep_files(self) -> None:
        """Files without a row, which a killed process left between placing and linking."""
        for batch in _batches(self._store.blobs.walk()):
            if self._stop():
                return
            strays = [item for item in batch if self._is_stray(*item)]
            if not strays:
                continue
            with turn(self._db):
                for digest, entry in strays:
                    if not self._known(digest):
                        with suppress(FileNotFoundError):
                            self.swept.bytes += entry.stat().st_size
                            os.unlink(entry.path)
                            self.swept.files += 1

    def _is_stray(self, digest: str, entry: os.DirEntry[str]) -> bool:
        try:
            check_digest(digest)
            return entry.stat().st_mtime < self._before and not self._known(digest)
        except (DigestInvalid, FileNotFoundError):
            return False  # not ours to judge, or gone

    def _known(self, digest: str) -> bool:
        row = self._db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone()
        return row is not None

    def _sweep_uploads(self) -> None:
        """Uploads that rested too long; a lock tells that somebody writes."""
        for path in list(self._store.uploads.rested(self._rules.uploads)):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
                self.swept.uploads += 1
            except (BlockingIOError, FileNotFoundError):
                pass
            finally:
                os.close(fd)


Item = tuple[str, os.DirEntry[str]]


def _batches(items: Iterator[Item]) -> Iterator[list[Item]]:
    while batch := list(islice(items, _TURN)):
        yield batch
