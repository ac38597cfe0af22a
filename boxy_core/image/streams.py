"""From an archive's bytes to the raw tar: decompression, bounds, digest.

Constraint: what is read here was made by a stranger. So the format is told by its first bytes,
never by a file name; output comes in bounded pieces; the total, and its ratio to the input, are
capped; a stream that ends early is an error even where the library would shrug.
Part of the unpacking child: everything is imported at the top, nothing after the chroot.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import zstandard

BLOCK = 512
_IN = 1 << 16
_IN_ZSTD = 1 << 13  # a zstd block of 4 bytes can mean 128 KiB, and its output has no bound
_OUT = 1 << 18
_MEMORY = 256 << 20  # what a decoder may use: xz -9 needs 65 MiB, zstd --ultra 128 MiB

Read = Callable[[int], bytes]


class BadArchive(Exception):
    """The archive is damaged, hostile or beyond the limits; the text says which."""


class Limits(NamedTuple):
    """What one archive may cost."""

    size: int = 64 << 30
    """bytes of raw tar, and of all files together"""
    entries: int = 2_000_000
    metadata: int = 1 << 20
    """bytes of one extended header (pax, GNU long name)"""
    all_metadata: int = 256 << 20
    """bytes of extended headers and names together"""
    ratio: int = 300
    """raw tar to archive, looked at once the tar is past `ratio_from`"""
    ratio_from: int = 512 << 20
    memory: int = 2 << 30
    """bytes of address space of the unpacking process"""


DEFAULT_LIMITS = Limits()


def opened(read: Read) -> Iterator[bytes]:
    """The raw tar behind `read`, in pieces. Raises BadArchive for what is no archive."""
    head = b""
    while len(head) < BLOCK and (more := read(BLOCK - len(head))):
        head += more
    source = _again(head, read)
    if head.startswith(b"\x1f\x8b"):
        return _gzip(source)
    if head.startswith(b"\xfd7zXZ\x00"):
        return _by_pieces(source, _xz_decoder)
    if head.startswith(b"BZh"):
        return _by_pieces(source, bz2.BZ2Decompressor)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(source)
    if not head:
        raise BadArchive("it is empty")
    if head[257:262] != b"ustar" and not _looks_like_tar(head):
        raise BadArchive(
            f"it is neither a tar archive nor one in gzip, xz, bzip2 or zstd "
            f"(it begins with {head[:4]!r})"
        )
    return iter(lambda: source(_IN), b"")


def _looks_like_tar(head: bytes) -> bool:
    """Whether the first block is an old header (no magic, but a checksum) or the end mark."""
    if len(head) < BLOCK:
        return False
    stored = head[148:156].strip(b"\0 ")
    found = 256 + sum(head[:148]) + sum(head[156:])
    return not any(head) or stored.lstrip(b"0") == b"%o" % found


def _again(head: bytes, read: Read) -> Read:
    """`read`, with `head` put back in front."""
    rest = head

    def source(n: int) -> bytes:
        nonlocal rest
        if not rest:
            return read(n)
        piece, rest = rest[:n], rest[n:]
        return piece

    return source


def _gzip(read: Read) -> Iterator[bytes]:
    """All members of a gzip file (RFC 1952); zlib checks each member's CRC and length."""
    data, out = read(_IN), b""
    while data:
        decoder = zlib.decompressobj(31)
        while not decoder.eof:
            if not data and len(out) < _OUT and not (data := read(_IN)):
                raise BadArchive("it is truncated (the gzip stream has no end)")
            try:
                out = decoder.decompress(data, _OUT)
            except zlib.error as error:
                raise BadArchive(f"its gzip stream is damaged ({error})") from None
            data = decoder.unconsumed_tail
            yield out
        out = b""
        data = (decoder.unused_data or read(_IN)).lstrip(b"\0")  # tapes pad with zeros


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)


def _by_pieces(
    read: Read, make: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]
) -> Iterator[bytes]:
    """All streams of an xz or bzip2 file."""
    data = read(_IN)
    while data:
        decoder = make()
        while not decoder.eof:
            if not data and decoder.needs_input and not (data := read(_IN)):
                raise BadArchive("it is truncated (the compressed stream has no end)")
            try:
                out = decoder.decompress(data, _OUT)
            except (lzma.LZMAError, OSError, ValueError) as error:
                raise BadArchive(f"its compressed stream is damaged ({error})") from None
            data = b""
            yield out
        data = (decoder.unused_data or read(_IN)).lstrip(b"\0")


def _zstd(read: Read) -> Iterator[bytes]:
    """All frames of a zstd file; its reader object would take a truncated frame for the end."""
    machine = zstandard.ZstdDecompressor(max_window_size=_MEMORY // 2)
    data = read(_IN_ZSTD)
    while data:
        decoder = machine.decompressobj()
        while not decoder.eof:
            if not data and not (data := read(_IN_ZSTD)):
                raise BadArchive("it is truncated (the zstd frame has no end)")
            try:
                out = decoder.decompress(data)
            except zstandard.ZstdError as error:
                raise BadArchive(f"its zstd stream is damaged ({error})") from None
            data = b""
            yield out
        data = decoder.unused_data or read(_IN_ZSTD)


class Stream:
    """The raw tar, read in order: counted, hashed, bounded.

    `read` gives the archive's bytes as os.read does; `tick` is called now and then with the
    number of them that have been read, for a progress bar.
    """

    def __init__(
        self, read: Read, limits: Limits, tick: Callable[[int], None] = lambda _: None
    ) -> None:
        self.limits = limits
        self.raw = 0
        self.packed = 0
        self.digest = hashlib.sha256()
        self._tick = tick
        self._left = memoryview(b"")

        def counted(n: int) -> bytes:
            piece = read(n)
            self.packed += len(piece)
            return piece

        self._pieces = opened(counted)

    def _more(self) -> bool:
        """Have at least one more byte; False at the end."""
        piece = next(self._pieces, None)
        while piece is not None and not piece:
            piece = next(self._pieces, None)
        if piece is None:
            return False
        self.raw += len(piece)
        if self.raw > self.limits.size:
            raise BadArchive(f"it unpacks to more than the limit of {self.limits.size} bytes")
        if self.raw > self.limits.ratio_from and self.raw > self.limits.ratio * self.packed:
            raise BadArchive(
                f"it unpacks to more than {self.limits.ratio} times its own size, as a bomb does"
            )
        self.digest.update(piece)
        self._left = memoryview(piece)
        self._tick(self.packed)
        return True

    def pieces(self, n: int) -> Iterator[memoryview]:
        """The next `n` bytes, in pieces. Raises BadArchive if there are fewer."""
        while n:
            if not self._left and not self._more():
                raise BadArchive("it is truncated (it ends in the middle of an entry)")
            piece = self._left[:n]
            self._left = self._left[len(piece) :]
            n -= len(piece)
            yield piece

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        if len(self._left) >= n:
            piece = bytes(self._left[:n])
            self._left = self._left[n:]
            return piece
        return b"".join(self.pieces(n))

    def skip(self, n: int) -> None:
        """Pass over `n` bytes."""
        for _ in self.pieces(n):
            pass

    def copy(self, n: int, fd: int) -> None:
        """Write the next `n` bytes to `fd`. Raises OSError, BadArchive."""
        for piece in self.pieces(n):
            rest = piece
            while rest:
                rest = rest[os.write(fd, rest) :]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._left and not self._more()

    def drain(self) -> None:
        """Read to the end, so that the digest covers all and the last checksum is checked."""
        self._left = memoryview(b"")
        while self._more():
            self._left = memoryview(b"")
