"""Headers of a tar stream: ustar, with pax records for what does not fit (POSIX.1-2017, pax).

Constraint: names and attribute values are bytes and go out as they are.  What can be said in
plain ustar is, so that the oldest reader understands the common case.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

BLOCK = 512
END = bytes(2 * BLOCK)
FILE, LINK, SYMLINK, CHARACTER, DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_PAX = b"x"
_OCTAL_SIZE = 1 << 33
_OCTAL_ID = 1 << 21


class Told(NamedTuple):
    """What a header tells of an entry besides its name and kind."""

    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    """bytes that follow; of a sparse file the sum of its parts"""
    mtime_ns: int = 0
    target: bytes = b""
    xattrs: Mapping[bytes, bytes] = {}
    sparse: tuple[int, Sequence[tuple[int, int]]] | None = None
    """the whole size, and (start, end) of the parts that are stored"""


def header(name: bytes, kind: bytes, told: Told) -> bytes:
    """The blocks before an entry's data; of a sparse file with its map (GNU's format 1.0)."""
    size = told.size
    records: dict[bytes, bytes] = {}
    first = b""
    if told.sparse is not None:
        whole, parts = told.sparse
        first = _map(parts)
        records[b"GNU.sparse.major"] = b"1"
        records[b"GNU.sparse.minor"] = b"0"
        records[b"GNU.sparse.name"] = name
        records[b"GNU.sparse.realsize"] = b"%d" % whole
        size += len(first)
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2]
    short, prefix = _split(name)
    if short is None:
        records[b"path"] = name
        short, prefix = name[-100:], b""
    if len(told.target) > 100:
        records[b"linkpath"] = told.target
    if size >= _OCTAL_SIZE:
        records[b"size"] = b"%d" % size
    for key, number in ((b"uid", told.uid), (b"gid", told.gid)):
        if number >= _OCTAL_ID:
            records[key] = b"%d" % number
    seconds, rest = divmod(told.mtime_ns, 10**9)
    if rest or not 0 <= seconds < _OCTAL_SIZE:
        records[b"mtime"] = _decimal(told.mtime_ns)
    for attribute, value in told.xattrs.items():
        records[b"SCHILY.xattr." + attribute] = value
    plain = _ustar(
        short, kind,
        told._replace(
            uid=told.uid if told.uid < _OCTAL_ID else 0,
            gid=told.gid if told.gid < _OCTAL_ID else 0,
            size=size if size < _OCTAL_SIZE else 0,
            mtime_ns=seconds if 0 <= seconds < _OCTAL_SIZE else 0,
        ),
        prefix,
    )  # fmt: skip
    return (_extended(records) if records else b"") + plain + first


def padding(size: int) -> bytes:
    """What fills an entry's data up to a whole block."""
    return bytes(-size % BLOCK)


def _split(name: bytes) -> tuple[bytes | None, bytes]:
    """The name in ustar's two fields, None if it does not fit."""
    if len(name) <= 100:
        return name, b""
    cut = name.rfind(b"/", 0, 156)
    if cut > 0 and 0 < len(name) - cut - 1 <= 100:
        return name[cut + 1 :], name[:cut]
    return None, b""


def _ustar(name: bytes, kind: bytes, told: Told, prefix: bytes = b"") -> bytes:
    """One block; `told.mtime_ns` is in whole seconds here."""
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0%07o\0%07o\0" % (told.mode & 0o7777, told.uid, told.gid),
        b"%011o\0%011o\0" % (told.size, told.mtime_ns),
        b" " * 8 + kind + told.target[:100].ljust(100, b"\0"),
        b"ustar\x0000" + bytes(64) + b"0000000\0" * 2,
        prefix.ljust(155, b"\0") + bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _extended(records: Mapping[bytes, bytes]) -> bytes:
    content = b"".join(_record(key, value) for key, value in records.items())
    head = _ustar(b"././@PaxHeader", _PAX, Told(0o644, size=len(content)))
    return head + content + padding(len(content))


def _record(key: bytes, value: bytes) -> bytes:
    """A record, `LENGTH KEY=VALUE` and a newline; the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _decimal(ns: int) -> bytes:
    sign = b"-" if ns < 0 else b""
    whole, rest = divmod(abs(ns), 10**9)
    return sign + (b"%d.%09d" % (whole, rest)).rstrip(b"0").rstrip(b".")


def _map(parts: Sequence[tuple[int, int]]) -> bytes:
    numbers = [len(parts)]
    for start, end in parts:
        numbers += (start, end - start)
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + padding(len(text))
