"""How many cells a character takes, and the classes of characters that need no thought.

Nearly all text is made of characters that take one cell or two and never join their neighbours; one
regular expression tells in C.  Everything else is looked at one by one (`screen.py`).  The classes
below hold only assigned characters whose width `wcwidth` confirms (a test compares them all).
"""

from __future__ import annotations

import re

from wcwidth import wcwidth

from boxy_tui.terminal.cells import TAIL

# Latin without the soft hyphen, Greek, Cyrillic without its combining marks, general punctuation,
# arrows and mathematics, box drawing and blocks, braille, private use (icons of status bars).
NARROW = (
    " -~\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0377\u037a-\u037f\u0384-\u038a\u038e-\u03a1"
    "\u03a3-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u2190-\u2319\u231c-\u2328"
    "\u232b-\u23e8\u2460-\u25fc\u2654-\u267e\u2758-\u2794\u27c0-\u2b1a\ue000-\uf8ff\ufffd"
)
# Kana, bopomofo, ideographs, Hangul syllables, full-width forms, pictographs that do not modify.
WIDE = (
    "\u3000-\u3029\u3041-\u3096\u309b-\u30ff\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uff01-\uff60\U0001f300-\U0001f320\U0001f337-\U0001f37c"
    "\U0001f37e-\U0001f393\U0001f3a0-\U0001f3ca\U0001f3e0-\U0001f3f0\U0001f400-\U0001f43e"
    "\U0001f442-\U0001f4fc\U0001f4ff-\U0001f53d\U0001f5fb-\U0001f64f\U0001f680-\U0001f6c5"
    "\U0001f90c-\U0001f93a\U0001f947-\U0001f9ff\U00020000-\U0002a6df"
)

is_narrow = re.compile(f"[{NARROW}]*+").fullmatch
is_simple = re.compile(f"[{NARROW}{WIDE}]*+").fullmatch
pieces = re.compile(f"[{NARROW}{WIDE}]++|.", re.DOTALL).findall
_split_wide = re.compile(f"([{WIDE}]++)").split

ZWJ = "\u200d"
HANGUL_FILLER = "\u3164"
NARROW_BASES = frozenset(
    "\u261d\u26f9\u270c\u270d\U0001f3cb\U0001f3cc\U0001f574\U0001f575\U0001f590"
)
VS16 = "\ufe0f"
FIRST_JOINING = "\U0001f1e6"
"""Under this only characters of no width join the cell before them."""


class _Widths(dict[str, int]):
    """Cells per character, as wcwidth has it; -1 for what is never drawn.

    Half a flag is one cell wide, as in tmux; the whole flag is two. So are the pictographs that
    take a skin tone, which Unicode has as narrow. The Hangul filler is nothing.
    """

    def __missing__(self, char: str) -> int:
        if len(self) > 20_000:
            self.clear()
        if is_regional(char):
            width = 1
        elif char == HANGUL_FILLER:
            width = -1
        else:
            width = 2 if char in NARROW_BASES else wcwidth(char)
        self[char] = width
        return width


WIDTH = _Widths()


def widen(text: str) -> str:
    """Simple text with a `TAIL` after every wide character."""
    parts = _split_wide(text)
    for i in range(1, len(parts), 2):
        parts[i] = TAIL.join(parts[i]) + TAIL
    return "".join(parts)


def is_regional(char: str) -> bool:
    """Half of a flag."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def is_modifier(char: str) -> bool:
    """A skin tone, which joins the emoji before it if that takes one."""
    return "\U0001f3fb" <= char <= "\U0001f3ff"


takes_skin_tone = re.compile(
    "[\U0001f44b-\U0001f450\U0001f466-\U0001f469\U0001f46e\U0001f470-\U0001f478\U0001f47c"
    "\U0001f481-\U0001f483\U0001f485-\U0001f487\U0001f4aa\U0001f575\U0001f57a\U0001f590\U0001f595"
    "\U0001f596\U0001f645-\U0001f647\U0001f64b-\U0001f64f\U0001f6b4-\U0001f6b6\U0001f926"
    "\U0001f937-\U0001f939\U0001f93d\U0001f93e\U0001f9b5\U0001f9b6\U0001f9b8\U0001f9b9"
    "\U0001f9cd-\U0001f9cf\U0001f9d1-\U0001f9df]"
).match
"""Whether a cell's first character is one that a skin tone joins (tmux's list)."""
