"""Which bytes of a blob are asked for, and which bytes a chunk is (pure)."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*\Z")
_CHUNK = re.compile(r"(?:bytes )?(\d{1,19})-(\d{1,19})(?:/.*)?\Z")


class NotSatisfiable(ValueError):
    """The range begins past the end, of the blob or its own (416)."""


def asked(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and count that a Range header asks of `size` bytes; None: all of it.

    What is malformed or asks for several ranges is ignored, as a server may (RFC 9110, 14.2).
    Raises NotSatisfiable, for a range that ends before it begins as well: no client means that.
    """
    match = _ONE_RANGE.match(header) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last so many
        count = min(int(match[2]), size)
        if count == 0:
            raise NotSatisfiable
        return size - count, count
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if first >= size or (match[2] and int(match[2]) < first):
        raise NotSatisfiable
    return first, last - first + 1


def chunk(header: str) -> tuple[int, int] | None:
    """First byte and count of a chunk by its Content-Range; None if it is malformed.

    The specification writes `0-1023`, without the unit that HTTP puts before it.
    """
    match = _CHUNK.match(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        return None
    return int(match[1]), int(match[2]) - int(match[1]) + 1
