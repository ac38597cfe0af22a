"""A backup: another folder that is a store too, made while everything goes on.

Blobs never change, so a second backup to the same folder copies only what is new (and on one
file system nothing at all: a second name is enough).  The database is copied by SQLite itself,
as it was at one moment; the blobs that it lists are held from the collector until they are there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple

from boxy_core.errors import Conflict, InvalidRequest
from boxy_registry.store import Store, make_folders
from boxy_registry.store.blobs import BlobFiles
from boxy_registry.store.collector import LOCK
from boxy_registry.store.database import connect


class Saved(NamedTuple):
    """What a backup did: blobs in it, of which copied, their bytes; old ones removed."""

    blobs: int
    copied: int
    bytes: int
    removed: int


def back_up(store: Store, target: str, *, link: bool = False) -> Saved:
    """Make `target` a copy of the store; blocks.  `link`: second names instead of copies.

    Raises Conflict if a collection is under way, InvalidRequest for a target that is the store
    itself or a folder of something else.
    """
    target = os.path.abspath(target)
    if os.path.realpath(target) == os.path.realpath(store.root):
        raise InvalidRequest(
            "a store cannot be its own backup", hint="name a folder outside of the store"
        )
    if os.path.isdir(target) and os.listdir(target) and not os.path.exists(f"{target}/registry.db"):
        raise InvalidRequest(
            f"{target} holds something else than a backup", hint="give an empty folder"
        )
    with store.lock(LOCK) as lock:
        if not lock.take_now():
            raise Conflict(
                "a collection or a scrub is under way in this store",
                hint="wait until it is done",
            )
        make_folders(target)
        _copy_database(store.database, f"{target}/registry.db.new")
        saved = _copy_blobs(store.blobs, BlobFiles(f"{target}/blobs"), target, link=link)
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{target}/registry.db{suffix}")
        os.rename(f"{target}/registry.db.new", f"{target}/registry.db")
    return saved


def _copy_database(source: str, target: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(target)
    with closing(connect(source)) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy)


def _copy_blobs(source: BlobFiles, copies: BlobFiles, target: str, *, link: bool) -> Saved:
    with closing(sqlite3.connect(f"{target}/registry.db.new")) as database:
        listed = dict(database.execute("SELECT digest, size FROM blobs"))
    copied = size = 0
    for digest, length in listed.items():
        place = copies.path(digest)
        with suppress(FileNotFoundError):
            if os.stat(place).st_size == length:
                continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        _copy(source.path(digest), place, link=link)
        copied, size = copied + 1, size + length
    return Saved(len(listed), copied, size, _remove_old(copies, listed))


def _copy(source: str, target: str, *, link: bool) -> None:
    if link:
        os.link(source, target)
        return
    aside = target + ".new"
    shutil.copyfile(source, aside)
    with open(aside, "rb") as file:
        os.fsync(file.fileno())
    os.rename(aside, target)


def _remove_old(copies: BlobFiles, listed: dict[str, int]) -> int:
    removed = 0
    for digest, entry in copies.walk():
        if digest not in listed:
            os.unlink(entry.path)
            removed += 1
    return removed
