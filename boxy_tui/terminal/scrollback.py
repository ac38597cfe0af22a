"""The rows that have left the top of the screen: bounded, cheap, and parsed only when looked at.

The newest rows lie in a deque.  Before them may stand *deferred* pieces (see `flood.py`): raw bytes
that scrolled past unseen, with the state they began in.  They become rows when somebody scrolls
back, searches or resizes, and are dropped unparsed when enough newer lines have come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from boxy_tui.terminal.rows import Row

MOST_PER_LINE = 2000
"""Bytes of unparsed history per line of the limit: lines longer than that make many rows."""


class Deferred(Protocol):
    """A piece of history not parsed yet."""

    at_least: int
    """Rows that it surely holds."""
    bytes: int
    """Its size."""

    def rows(self) -> list[Row]:
        """Parse it."""

    def held(self) -> list[Row]:
        """The rows it holds already, for those who count what styles are in use."""


class Scrollback:
    """At most `limit` rows, oldest first.

    `total` counts every row that ever came in (so that a scrolled-back view can stay where it is
    while rows arrive); `floor` is the total at the last clear: rows from before it never come back
    to the screen when it grows.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self.floor = 0
        self.recent: deque[Row] = deque(maxlen=limit)
        self._older: deque[tuple[list[Row], Deferred]] = deque()

    def push(self, row: Row) -> None:
        """A row leaves the screen by its top."""
        self.recent.append(row)
        self.total += 1

    def defer(self, piece: Deferred) -> None:
        """Put an unparsed piece behind the rows that are here."""
        self._older.append((list(self.recent), piece))
        self.recent.clear()
        self.total += piece.at_least
        room, memory = self.limit, self.limit * MOST_PER_LINE
        keep = 0
        for rows, old in reversed(self._older):
            if room <= 0 or memory <= 0:
                break
            keep += 1
            room -= len(rows) + old.at_least
            memory -= old.bytes
        while len(self._older) > keep:
            self._older.popleft()

    def _settle(self) -> deque[Row]:
        """Every row, parsed."""
        if self._older:
            older, self._older = self._older, deque()
            recent = list(self.recent)
            self.recent.clear()
            for rows, piece in older:
                self.recent.extend(rows)
                parsed = piece.rows()
                self.total += len(parsed) - piece.at_least
                self.recent.extend(parsed)
            self.recent.extend(recent)
        return self.recent

    def __len__(self) -> int:
        return len(self._settle())

    def __getitem__(self, index: int) -> Row:
        return self._settle()[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._settle())

    def known(self) -> Iterator[Row]:
        """The rows that exist already, in no order; parses nothing."""
        for rows, piece in self._older:
            yield from rows
            yield from piece.held()
        yield from self.recent

    def pop(self, count: int) -> list[Row]:
        """Take back up to `count` of the newest rows that came in since the last clear."""
        rows = self._settle()
        count = max(0, min(count, len(rows), self.total - self.floor))
        taken = [rows.pop() for _ in range(count)]
        self.total -= count
        return taken[::-1]

    @property
    def returning(self) -> int:
        """How many rows may go back to the screen."""
        return min(len(self._settle()), self.total - self.floor)

    def replace(self, rows: list[Row], returning: int) -> None:
        """Other rows instead, as after a reflow, of which so many may go back to the screen."""
        self._settle()
        self.total += len(rows) - len(self.recent)
        self.floor = self.total - min(returning, len(rows))
        self.recent.clear()
        self.recent.extend(rows)

    def seal(self) -> None:
        """What is here stays here when the screen grows."""
        self.floor = self.total

    def clear(self) -> None:
        """Forget everything."""
        self._older.clear()
        self.recent.clear()
        self.seal()
