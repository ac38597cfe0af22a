"""A row of the screen: two strings of equal length, and the edits that keep them so.

A row may be shorter than the screen: what lies beyond its end is blank in the default style.  The
one thing an edit must look after is a wide character cut in two: the half that is left becomes a
blank, in its own style when it was erased (as in xterm), in the default one when it was drawn over
(as in tmux).
"""

from __future__ import annotations

from boxy_tui.terminal.cells import TAIL


class Row:
    """One line of cells; `wrapped` when its text goes on in the next row.

    `runs` caches what it looks like; whoever changes `text` or `style` sets it to None.
    """

    __slots__ = ("runs", "style", "text", "wrapped")

    def __init__(self, text: str = "", style: str = "", wrapped: bool = False) -> None:
        self.text = text
        self.style = style
        self.wrapped = wrapped
        self.runs: object = None

    def __repr__(self) -> str:
        return f"Row({self.text!r}{' wrapped' if self.wrapped else ''})"

    def pad(self, width: int) -> None:
        """Make at least `width` cells explicit."""
        missing = width - len(self.text)
        if missing > 0:
            self.text += " " * missing
            self.style += "\0" * missing

    def unlink(self, x: int) -> None:
        """If a wide character lies across the boundary left of cell x, blank both its halves."""
        text = self.text
        if 0 < x < len(text) and text[x] == TAIL:
            self.text = f"{text[: x - 1]}  {text[x + 1 :]}"

    def _drop_half(self, x: int) -> None:
        """The same for what is drawn over: the half that is left gets the default style."""
        if 0 < x < len(self.text) and self.text[x] == TAIL:
            self.unlink(x)
            self.style = f"{self.style[: x - 1]}\0\0{self.style[x + 1 :]}"

    def put(self, x: int, text: str, style: str) -> None:
        """Overwrite the cells from x on."""
        end = x + len(text)
        self.pad(x)
        if not self.text.isascii():
            self._drop_half(x)
            self._drop_half(end)
        old = self.text
        self.text = f"{old[:x]}{text}{old[end:]}"
        old = self.style
        self.style = f"{old[:x]}{style}{old[end:]}"
        self.runs = None

    def erase(self, x: int, end: int, columns: int, blank: str) -> None:
        """Blank the cells x..end-1; `blank` is the unit they get, empty for the default style."""
        if blank or end < len(self.text):
            self.unlink(x)
            self.unlink(end)
            self.put(x, " " * (end - x), (blank or "\0") * (end - x))
        elif x < len(self.text):
            self.unlink(x)
            self.text = self.text[:x]
            self.style = self.style[:x]
            self.runs = None
        if end >= columns:
            self.wrapped = False

    def insert(self, x: int, count: int, columns: int, blank: str) -> None:
        """Shift the cells from x on right by `count` blanks; what passes the edge is lost."""
        if x >= len(self.text) and not blank:
            return
        self.pad(x)
        self.unlink(x)
        self.text = f"{self.text[:x]}{' ' * count}{self.text[x:]}"
        self.style = f"{self.style[:x]}{(blank or chr(0)) * count}{self.style[x:]}"
        self.clip(columns)
        self.runs = None

    def delete(self, x: int, count: int, columns: int, blank: str) -> None:
        """Shift the cells right of x+count to the left; blanks come in at the edge."""
        if x >= len(self.text) and not blank:
            return
        self.unlink(x)
        self.unlink(x + count)
        if blank:
            self.pad(columns)
        fill = count if blank else 0
        self.text = f"{self.text[:x]}{self.text[x + count :]}{' ' * fill}"
        self.style = f"{self.style[:x]}{self.style[x + count :]}{blank * fill}"
        self.runs = None

    def clip(self, columns: int) -> None:
        """Cut the row at the screen's edge; a wide character that straddles it becomes a blank."""
        if len(self.text) > columns:
            cut = self.text[columns] == TAIL
            self.text = self.text[:columns]
            self.style = self.style[:columns]
            if cut:
                self.text = self.text[:-1] + " "
            self.runs = None


def blank_row(columns: int, blank: str) -> Row:
    """A fresh row in the background that `blank` stands for."""
    return Row(" " * columns, blank * columns) if blank else Row()
