"""What a pane has received and not parsed yet, in order: bytes and marks between them.  Pure.

Constraint: a mark (end of the replay, a new size, the exit) takes effect between the very bytes
where it came, however long those had to wait.  Bytes are never copied while they wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

HIGH = 1 << 20
"""Bytes above which no more are read from the connection."""
LOW = 256 << 10
"""Bytes under which reading goes on."""
PIECE = 64 << 10
"""Bytes taken at once unless the caller knows better."""

Mark = Callable[[], None]


class Backlog:
    """A queue of bytes and marks; `size` is the number of bytes."""

    __slots__ = ("_items", "full", "size")

    def __init__(self) -> None:
        self._items: deque[bytes | Mark] = deque()
        self.size = 0
        self.full = False

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, data: bytes) -> bool:
        """Queue bytes.  True when it has just become full: stop reading."""
        self._items.append(data)
        self.size += len(data)
        if self.size > HIGH and not self.full:
            self.full = True
            return True
        return False

    def mark(self, deed: Mark) -> None:
        """Do this when all bytes before it are parsed."""
        self._items.append(deed)

    def take(self, limit: int = PIECE) -> bytes | Mark | None:
        """The next mark, or the bytes before it, at most `limit`; None when empty."""
        items = self._items
        if not items:
            return None
        first = items.popleft()
        if not isinstance(first, bytes):
            return first
        parts, length = [first], len(first)
        while items and length < limit and isinstance(items[0], bytes):
            part = items.popleft()
            assert isinstance(part, bytes)
            parts.append(part)
            length += len(part)
        if length > limit:
            last = parts.pop()
            cut = len(last) - (length - limit)
            items.appendleft(last[cut:])
            parts.append(last[:cut])
            length = limit
        self.size -= length
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drained(self) -> bool:
        """True when it was full and has just become empty enough to read on."""
        if self.full and self.size < LOW:
            self.full = False
            return True
        return False

    def clear_bytes(self) -> None:
        """Drop the bytes that wait; the marks stay."""
        self._items = deque(item for item in self._items if not isinstance(item, bytes))
        self.size = 0
