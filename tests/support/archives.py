"""Tar archives byte by byte, for what no honest program would write."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)


def header(
    name: bytes,
    kind: bytes = b"0",
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 1_700_000_000,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    extra: bytes = b"",
) -> bytes:
    """One header block with a right checksum. Numbers may be given as raw fields.

    What is too long for its field is told by GNU's headers in front.
    `extra` is what stands from byte 329 on (device numbers, prefix, GNU's fields).
    """
    before = long_name(name) if len(name) > 100 else b""
    before += long_name(link, b"K") if len(link) > 100 else b""
    name, link = name[:100], link[:100]
    fields = [
        name.ljust(100, b"\0"),
        _field(mode, 8),
        _field(uid, 8),
        _field(gid, 8),
        _field(size, 12),
        _field(mtime, 12),
        b" " * 8,
        kind,
        link.ljust(100, b"\0"),
        magic.ljust(8, b"\0"),
        bytes(64),
        extra,
    ]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    assert len(block) == BLOCK
    return before + block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _field(value: int | bytes, width: int) -> bytes:
    if isinstance(value, bytes):
        return value.ljust(width, b"\0")
    return b"%0*o\0" % (width - 1, value)


def padded(data: bytes) -> bytes:
    """`data` filled up to whole blocks."""
    return data + bytes(-len(data) % BLOCK)


def file(name: bytes, data: bytes = b"", *, mode: int = 0o644, uid: int = 0) -> bytes:
    """A file and its data."""
    return header(name, size=len(data), mode=mode, uid=uid) + padded(data)


def folder(name: bytes, *, mode: int = 0o755) -> bytes:
    """A folder."""
    return header(name, b"5", mode=mode)


def symlink(name: bytes, target: bytes) -> bytes:
    """A symbolic link."""
    return header(name, b"2", link=target, mode=0o777)


def link(name: bytes, target: bytes) -> bytes:
    """A hard link."""
    return header(name, b"1", link=target)


def record(key: bytes, value: bytes) -> bytes:
    """One line of a pax header, its own length in front."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def pax(*lines: bytes, kind: bytes = b"x") -> bytes:
    """An extended header with these lines (right or wrong)."""
    data = b"".join(lines)
    return header(b"PaxHeaders/x", kind, size=len(data)) + padded(data)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """GNU's header for a long name (`L`) or link target (`K`)."""
    return header(b"././@LongLink", kind, size=len(name) + 1) + padded(name + b"\0")
