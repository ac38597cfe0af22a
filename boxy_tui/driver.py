"""What the user types, with no key lost: Textual's input parser, mended in one place.

Constraint: panes pass keys on to programs, so `ESC` followed at once by another key has to arrive
as alt and that key, whatever the key.  Textual (up to 8.2 at least) keeps alt only for keys
whose name is one character: of `ESC :` it reports a bare `:`, and vim never leaves insert mode.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message

SWITCH = 0.0005
"""Seconds that the thread which reads keys waits at most for the one that draws (the interpreter's
own 5 ms are paid several times a key)."""


_HELD = {1: "shift", 2: "alt", 4: "ctrl"}


class Parser(XTermParser):
    """Textual's parser, which keeps alt for every key, and F3 with a modifier."""

    def feed(self, data: str) -> Iterable[Message]:
        """What was typed.  CSI 1;2 R is shift+F3 and a report of the cursor's place; the console
        never asks for one, which only Textual's inline mode does."""
        for event in super().feed(data):
            if isinstance(event, events.CursorPosition):
                held = [name for bit, name in _HELD.items() if event.x & bit]
                yield events.Key("+".join([*held, "f3"]), None)
            else:
                yield event

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        for event in super()._sequence_to_key_events(sequence, alt=alt):
            if alt and "alt+" not in event.key:
                yield events.Key(f"alt+{event.key}", event.character)
            else:
                yield event


def install() -> None:
    """Have Textual's driver for Linux use `Parser`, and keys come through while it draws."""
    sys.setswitchinterval(SWITCH)
    module: Any = linux_driver
    module.XTermParser = Parser
