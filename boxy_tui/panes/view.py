"""Looking back in a pane: scrolling, searching, selecting.  Pure, over an emulator's lines.

Constraint: lines are numbered for good (see the emulator), so a view that is scrolled back stands
still while output goes on below it.
"""

from __future__ import annotations

import re

from boxy_tui.terminal.emulator import Emulator
from boxy_tui.terminal.find import Match, Point


class View:
    """Where a pane looks: `top` is the first line shown, None while it follows the screen."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.top: int | None = None
        self.needle = ""
        self.matches: list[Match] = []
        self.at = -1
        self.anchor: Point | None = None
        self.head: Point | None = None
        self.caret: Point | None = None
        """where the keyboard selects; None when it does not"""

    @property
    def live(self) -> bool:
        """Whether the screen itself is shown."""
        return self.top is None

    @property
    def looks(self) -> bool:
        """Whether something may be highlighted."""
        return bool(self.matches) or self.anchor is not None or self.caret is not None

    def scroll(self, rows: int) -> bool:
        """Go back (negative) or forward; reaching the screen follows it again.  True: it moved."""
        term = self.emulator
        base = term.base_line
        top = base if self.top is None else self.top
        new = max(term.first_line, min(base, top + rows))
        moved = new != top
        self._set_top(None if new >= base and rows > 0 else new)
        return moved

    def hold(self) -> None:
        """Stand still here, on the screen as it is."""
        if self.top is None:
            self._set_top(self.emulator.base_line)

    def to_start(self) -> None:
        """The oldest line."""
        self._set_top(self.emulator.first_line)

    def follow(self) -> None:
        """Show the screen again, and forget search and selection."""
        self._set_top(None)
        self.matches, self.at, self.needle = [], -1, ""
        self.anchor = self.head = self.caret = None

    def _set_top(self, top: int | None) -> None:
        self.top = top
        self.emulator.watching = top is not None or self.anchor is not None

    def first_shown(self) -> int:
        """The number of the first line on show."""
        return self.emulator.base_line if self.top is None else self.top

    def back(self) -> int:
        """How many lines lie between the view and the screen."""
        return self.emulator.base_line - self.first_shown()

    # ---------------------------------------------------------------- searching

    def search(self, needle: str, height: int) -> int:
        """Find it (a regular expression, or plain text if it is none); go to the newest above.

        Returns the number of matches.
        """
        self.needle = needle
        self.hold()
        try:
            self.matches = self.emulator.search(needle, regex=True) if needle else []
        except re.error:
            self.matches = self.emulator.search(needle)
        self.at = len(self.matches)
        if self.matches:
            self.step(-1, height)
        return len(self.matches)

    def step(self, by: int, height: int) -> None:
        """Go to the next (1, newer) or the one before (-1, older); round at the ends."""
        if not self.matches:
            return
        self.at = (self.at + by) % len(self.matches)
        line = self.matches[self.at].start.line
        term = self.emulator
        shown = self.first_shown()
        if not shown <= line < shown + height:
            self._set_top(max(term.first_line, min(term.base_line, line - height // 2)))

    def matches_on(self, line: int) -> list[tuple[int, int, bool]]:
        """What to highlight on a line: (start, end, whether it is the present one)."""
        found = []
        for i, match in enumerate(self.matches):
            if match.start.line <= line <= match.end.line:
                start = match.start.column if match.start.line == line else 0
                end = match.end.column if match.end.line == line else self.emulator.columns
                found.append((start, end, i == self.at))
        return found

    # ---------------------------------------------------------------- selecting

    def select(self, point: Point) -> None:
        """Begin a selection."""
        self.anchor, self.head = point, None
        self.emulator.watching = True

    def extend(self, point: Point) -> None:
        """Draw the selection to here."""
        if self.anchor is not None:
            self.head = point

    def move_caret(self, lines: int, columns: int, height: int) -> None:
        """Move the caret, which begins on the last line shown, and look where it is."""
        term = self.emulator
        self.hold()
        at = self.caret or Point(self.first_shown() + height - 1, 0)
        line = max(term.first_line, min(term.end_line - 1, at.line + lines))
        column = max(0, min(term.columns - 1, at.column + columns))
        self.caret = Point(line, column)
        if not self.first_shown() <= line < self.first_shown() + height:
            top = line if line < self.first_shown() else line - height + 1
            self._set_top(max(term.first_line, min(term.base_line, top)))
        self.extend(self.caret)

    def selected(self) -> str:
        """The selected text, and the selection is over."""
        text = ""
        if self.anchor is not None and self.head is not None:
            text = self.emulator.selection(self.anchor, self.head)
        self.anchor = self.head = self.caret = None
        self._set_top(self.top)
        return text

    def selection_on(self, line: int) -> tuple[int, int] | None:
        """The selected columns of a line, end excluded."""
        if self.anchor is None or self.head is None:
            return None
        start, end = sorted((self.anchor, self.head))
        if not start.line <= line <= end.line:
            return None
        left = start.column if line == start.line else 0
        right = end.column + 1 if line == end.line else self.emulator.columns
        return left, right
