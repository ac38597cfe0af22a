"""Events that others are still to be told, in the database: a kill loses none of them.

One row each, `hook` being the receiver's key; the order of the rows is the order of events.
Functions with `db` first are for `Store.write`, within a turn of the writer.
"""

from __future__ import annotations

import sqlite3
import time
from typing import NamedTuple

_TABLE = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, event BLOB NOT NULL,
    at REAL NOT NULL
)"""
_INDEX = "CREATE INDEX IF NOT EXISTS outbox_hook ON outbox(hook, id)"
_ADD = "INSERT INTO outbox (hook, event, at) VALUES (?, ?, ?)"
_FIRST = "SELECT id, event FROM outbox WHERE hook = ? ORDER BY id LIMIT ?"
_OVER = """
DELETE FROM outbox WHERE id IN (
    SELECT id FROM outbox WHERE hook = ? ORDER BY id DESC LIMIT -1 OFFSET ?)"""


class Waiting(NamedTuple):
    """An event in the queue."""

    id: int
    event: bytes


def prepare(db: sqlite3.Connection) -> None:
    """Make the table, if it is not there."""
    db.execute(_TABLE)
    db.execute(_INDEX)


def add(db: sqlite3.Connection, hook: str, event: bytes, most: int) -> int:
    """Queue an event for a receiver; how many of the oldest had to go, past `most`."""
    db.execute(_ADD, (hook, event, time.time()))
    return db.execute(_OVER, (hook, most)).rowcount


def first(reader: sqlite3.Connection, hook: str, limit: int) -> list[Waiting]:
    """The oldest events of a receiver."""
    return [Waiting(*row) for row in reader.execute(_FIRST, (hook, limit))]


def remove(db: sqlite3.Connection, events: list[Waiting]) -> None:
    """They were taken, or are given up."""
    db.executemany("DELETE FROM outbox WHERE id = ?", [(one.id,) for one in events])


def forget_others(db: sqlite3.Connection, hooks: tuple[str, ...], before: float) -> int:
    """Remove old events of receivers that are not in the settings any more."""
    marks = ",".join("?" * len(hooks))
    question = f"DELETE FROM outbox WHERE at < ? AND hook NOT IN ({marks})"  # noqa: S608 - marks
    return db.execute(question, (before, *hooks)).rowcount
