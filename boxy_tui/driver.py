"""What the user types, with no key lost: Textual's input parser and driver, mended in one place.

Constraint: while nobody types nothing is done.  Panes pass keys on to programs, so `ESC` that is
followed at once by another key has to arrive as alt and that key, whatever the key.  Textual (up to
8.2 at least) keeps alt only for keys whose name is one character: of `ESC :` it reports a bare `:`,
and vim never leaves insert mode.
"""

from __future__ import annotations

import codecs
import os
import selectors
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from textual import events
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

PIECE = 4096
"""Bytes read at once."""
SWITCH = 0.0005
"""Seconds that the thread which reads keys waits at most for the one that draws (the interpreter's
own 5 ms are paid several times a key)."""


_HELD = {1: "shift", 2: "alt", 4: "ctrl"}


class Parser(XTermParser):
    """Textual's parser, which keeps alt for every key, and F3 with a modifier."""

    def patience(self) -> float | None:
        """Seconds until an ESC stands alone unless something follows it; None: nothing waits."""
        until = self._timeout_time
        return None if until is None else max(0.0, until - time.time())

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


class Driver(LinuxDriver):
    """Textual's driver for Linux, with `Parser`, and a thread that sleeps while nothing is typed.

    Textual's own looks ten times a second whether it should end, and whether an ESC stands alone.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def disable_input(self) -> None:
        """Stop reading; the thread has ended afterwards."""
        open_still = self._waker >= 0
        if open_still:
            os.eventfd_write(self._waker, 1)
        super().disable_input()
        if open_still:
            os.eventfd_read(self._waker)

    def close(self) -> None:
        """The driver is not used any more."""
        super().close()
        if self._waker >= 0:
            os.close(self._waker)
            self._waker = -1

    def run_input_thread(self) -> None:
        """Read what is typed until `disable_input`; bytes that are no UTF-8 are shown as such."""
        parser, decode = Parser(), codecs.getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                ready = [key.fd for key, _ in selector.select(parser.patience())]
                typed = decode(os.read(self.fileno, PIECE)) if self.fileno in ready else ""
                for message in (*(parser.feed(typed) if typed else ()), *parser.tick()):
                    self.process_message(message)
        with suppress(EOFError, ParseError):
            list(parser.feed(""))


def install() -> None:
    """Have keys come through while the console draws."""
    sys.setswitchinterval(SWITCH)
