"""Signs that a poor terminal has not, and what it is shown instead, of the same width.

Linux's own console has a font of 256 signs, and a locale that is not UTF-8 has no code for most.
Constraint: only what is drawn is translated, on its way out; programs in panes keep their letters
where the terminal has them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from boxy_tui.driver import Driver

_SIGNS = {
    "●": "*", "○": "o", "□": "-", "■": "#", "‖": "=", "◌": "~", "◍": "~", "×": "x", "✖": "!",
    "▌": "|", "▐": "|", "…": "~", "·": ".", "–": "-", "—": "-", "✔": "x", "⇥": "T", "↵": "E",
    "␣": "_", "↑": "^", "↓": "v", "←": "<", "→": ">", "▁": "_", "▂": "_", "▃": ".", "▄": ":",
    "▅": ":", "▆": "|", "▇": "#", "█": "#", "▊": "|", "▔": "-", "▎": "|", "▏": "|", "▕": "|",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+",
    "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+", "╸": "-",
    "╺": "-", "❯": ">", "•": "*", "▶": ">", "▼": "v", "◆": "*",
}  # fmt: skip
"""Our signs and Textual's, in ASCII."""
_LEVELS = " ..::||##"
"""Braille by its number of dots."""


def plain_signs() -> dict[int, str]:
    """What to show instead of signs that a terminal has not, for str.translate."""
    signs = {ord(sign): other for sign, other in _SIGNS.items()}
    for dots in range(256):
        signs[0x2800 + dots] = _LEVELS[dots.bit_count()]
    return signs


def poor_in_signs(environ: Mapping[str, str], encoding: str) -> bool:
    """Whether the terminal shows little beyond ASCII."""
    unicode = encoding.lower().replace("-", "").replace("_", "") == "utf8"
    return not unicode or environ.get("TERM", "") in ("linux", "vt100", "vt220", "ansi")


class PlainDriver(Driver):
    """Textual's driver, for a terminal that shows little beyond ASCII."""

    _table = plain_signs()

    def write(self, data: str) -> None:
        """Write with other signs; what has no code at all is a question mark."""
        encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
        shown = data.translate(self._table)
        super().write(shown.encode(encoding, "replace").decode(encoding))


def driver_for(environ: Mapping[str, str], encoding: str) -> type[Driver]:
    """The driver that suits the terminal."""
    return PlainDriver if poor_in_signs(environ, encoding) else Driver
