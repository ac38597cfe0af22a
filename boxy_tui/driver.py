"""What the user types and sees, with no key and no sign lost: Textual's driver, mended here.

Constraint: panes pass keys on to programs, so `ESC` followed at once by another key has to arrive
as alt and that key, whatever the key.  Textual (up to 8.2 at least) keeps alt only for keys
whose name is one character: of `ESC :` it reports a bare `:`, and vim never leaves insert mode.
A terminal that cannot show our signs (Linux's own console has a font of 256; a locale that is not
UTF-8 has no code for them) gets others of the same width.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver


class Parser(XTermParser):
    """Textual's parser, which keeps alt for every key."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        for event in super()._sequence_to_key_events(sequence, alt=alt):
            if alt and "alt+" not in event.key:
                yield events.Key(f"alt+{event.key}", event.character)
            else:
                yield event


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


class PlainDriver(linux_driver.LinuxDriver):
    """Textual's driver, for a terminal that shows little beyond ASCII."""

    _table = plain_signs()

    def write(self, data: str) -> None:
        """Write with other signs; what has no code at all is a question mark."""
        encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
        shown = data.translate(self._table)
        super().write(shown.encode(encoding, "replace").decode(encoding))


def install(environ: Mapping[str, str], encoding: str) -> type[linux_driver.LinuxDriver]:
    """Have Textual's driver for Linux use `Parser`; the driver that suits the terminal."""
    module: Any = linux_driver
    module.XTermParser = Parser
    return PlainDriver if poor_in_signs(environ, encoding) else linux_driver.LinuxDriver
