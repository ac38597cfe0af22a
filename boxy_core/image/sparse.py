"""The maps of sparse files in tar archives: GNU's old form and pax forms 0.0, 0.1 and 1.0.

Source: the GNU tar manual, "Storing Sparse Files". Constraint: the map is a stranger's word;
its extents must be in order, apart and inside the file, their number is bounded.
"""

from __future__ import annotations

from collections.abc import Callable

from boxy_core.image.streams import BLOCK, BadArchive, Stream

Extents = list[tuple[int, int]]
"""(offset, length) of the stored parts, in order; between them are holes."""

_MAX_EXTENTS = 1 << 16
_MAX_SIZE = 1 << 50
_PAIR = 24


def old_gnu_map(
    header: bytes, stream: Stream, number: Callable[[bytes, str], int]
) -> tuple[int, Extents]:
    """Full size and map from a header of type S and the blocks that follow it."""
    fields = header[386 : 386 + 4 * _PAIR]
    more, size = header[482], number(header[483:495], "sparse size")
    extents: Extents = []
    while True:
        for at in range(0, len(fields) - _PAIR + 1, _PAIR):
            if fields[at] == 0:
                break
            offset = number(fields[at : at + 12], "sparse offset")
            extents.append((offset, number(fields[at + 12 : at + 24], "sparse length")))
        if not more:
            return size, _checked(size, extents)
        if len(extents) > _MAX_EXTENTS:
            raise BadArchive("a sparse file's map is too long")
        block = stream.take(BLOCK)
        fields, more = block[: 21 * _PAIR], block[504]


def pax_map(pax: dict[bytes, bytes], stream: Stream, stored: int) -> tuple[int, Extents, int]:
    """Full size, map, and how many of the stored bytes the map itself took."""
    if pax.get(b"GNU.sparse.major") == b"1":
        size = _whole(pax.get(b"GNU.sparse.realsize", b""))
        extents, used = _leading_map(stream, stored)
        return size, _checked(size, extents), used
    if b"GNU.sparse.map" in pax:
        numbers = _numbers(pax[b"GNU.sparse.map"])
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
        odd = len(numbers) % 2
    else:
        offsets = _numbers(pax.get(b"GNU.sparse.offset", b""))
        lengths = _numbers(pax.get(b"GNU.sparse.numbytes", b""))
        pairs = list(zip(offsets, lengths, strict=False))
        odd = len(offsets) - len(lengths)
    if odd:
        raise BadArchive("a sparse file's map has an offset without a length")
    size = _whole(pax.get(b"GNU.sparse.size", b""))
    return size, _checked(size, pairs), 0


def _leading_map(stream: Stream, stored: int) -> tuple[Extents, int]:
    """The map of form 1.0: decimal lines before the data, filled up to a whole block."""
    text = bytearray()
    lines, needed = 0, 1
    while lines < needed:
        if len(text) + BLOCK > stored:
            raise BadArchive("a sparse file's map is cut off")
        block = stream.take(BLOCK)
        text += block
        lines += block.count(b"\n")
        if needed == 1 and lines:
            needed = 1 + 2 * _whole(bytes(text[: text.index(b"\n")]))
        if needed > 2 * _MAX_EXTENTS or len(text) > 64 * _MAX_EXTENTS:
            raise BadArchive("a sparse file's map is too long")
    values = [_whole(line) for line in bytes(text).split(b"\n")[1:needed]]
    return list(zip(values[::2], values[1::2], strict=True)), len(text)


def _numbers(value: bytes) -> list[int]:
    if value.count(b",") > 2 * _MAX_EXTENTS:
        raise BadArchive("a sparse file's map is too long")
    return [_whole(part) for part in value.split(b",")] if value else []


def _whole(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise BadArchive(f"a sparse file's map has no number where one belongs: {value[:40]!r}")
    return int(value)


def _checked(size: int, extents: Extents) -> Extents:
    if not 0 <= size <= _MAX_SIZE:
        raise BadArchive(f"a sparse file's size is impossible: {size}")
    end = 0
    for offset, length in extents:
        if offset < end or length < 0 or offset + length > size:
            raise BadArchive("a sparse file's map is out of order or leaves the file")
        end = offset + length
    return extents
