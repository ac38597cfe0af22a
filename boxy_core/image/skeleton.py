"""Small trees that code makes, written as a tar archive so that they are layers like others.

Constraint: the same tree must give the same bytes, hence the same digest, on every run: all
times are 0, all owners root, entries in the order given.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from typing import NamedTuple


class Item(NamedTuple):
    """One entry: a folder, a file with `content`, or (if `target`) a symlink."""

    path: str
    mode: int
    content: bytes | None = None
    target: str = ""
    uid: int = 0


def folder(path: str, mode: int = 0o755, uid: int = 0) -> Item:
    """A folder."""
    return Item(path, mode, uid=uid)


def file(path: str, content: str | bytes = b"", mode: int = 0o644) -> Item:
    """A file."""
    return Item(path, mode, content.encode() if isinstance(content, str) else content)


def link(path: str, target: str) -> Item:
    """A symlink."""
    return Item(path, 0o777, target=target)


def digest(items: Iterable[Item]) -> str:
    """A hash of a tree, without writing it."""
    return hashlib.sha256(repr(list(items)).encode()).hexdigest()


def archive(items: Iterable[Item]) -> bytes:
    """The tree as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in items:
            entry = tarfile.TarInfo(item.path)
            entry.mode, entry.uid, entry.gid = item.mode, item.uid, item.uid
            if item.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, item.target
            elif item.content is None:
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(item.content)
            tar.addfile(entry, io.BytesIO(item.content or b""))
    return buffer.getvalue()
