"""The cursor of the user's own terminal, shown where the program in the focused pane has its own.

Textual hides it and draws cells that look like one.  But a pane's program asks for a shape (a bar
to insert, an underline to replace) and perhaps for blinking, and an input method composes text at
the terminal's cursor: so it is the real one wherever there is a terminal.  A browser and a test
have none; there the pane draws a cell, as it does when it has no focus.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from textual.app import App
from textual.geometry import Offset

AS_IT_WAS = "\x1b[?12l\x1b[0 q"
HIDE = f"\x1b[?25l{AS_IT_WAS}"


class Place(NamedTuple):
    """Where the cursor is on the screen, its DECSCUSR number (0 is the user's own), blinking."""

    at: Offset
    style: int
    blinks: bool


@runtime_checkable
class HasCursor(Protocol):
    """A widget with a cursor of its own."""

    def cursor_place(self) -> Place | None:
        """Where it is to be seen now; None: nowhere."""


class OwnCursor:
    """Knows what the terminal shows; one per application, told after each frame."""

    def __init__(self, app: App[str]) -> None:
        self._app = app
        self._shown: Place | None = None

    @property
    def usable(self) -> bool:
        """Whether there is a terminal of the user's own."""
        app = self._app
        return not (app.is_headless or app.is_web or app.is_inline)

    def follow(self) -> None:
        """Show it where it belongs, after a frame or when nothing but the cursor has moved."""
        place = self._wanted()
        if place != self._shown or (place and self._app.cursor_position != place.at):
            self._write(self._change(place))
            self._shown = place

    def lead(self, place: Place | None) -> None:
        """The next frame ends with the cursor there: then it does not flit about."""
        if place is not None and self._shown is not None:
            self._app.cursor_position = place.at
            self._shown = self._shown._replace(at=place.at)

    def leave(self) -> None:
        """The application ends; that the cursor is to be seen Textual sees to, before or after."""
        if self._shown is not None:
            self._write(AS_IT_WAS)
            self._shown = None

    def _wanted(self) -> Place | None:
        if not self.usable:
            return None
        focused: object = self._app.screen.focused
        return focused.cursor_place() if isinstance(focused, HasCursor) else None

    def _change(self, place: Place | None) -> str:
        if place is None:
            return HIDE
        self._app.cursor_position = place.at
        move = f"\x1b[{place.at.y + 1};{place.at.x + 1}H"
        if self._shown is not None and self._shown[1:] == place[1:]:
            return move
        return f"{move}\x1b[{place.style} q\x1b[?12{'h' if place.blinks else 'l'}\x1b[?25h"

    def _write(self, data: str) -> None:
        driver = self._app._driver  # noqa: SLF001 - Textual has no other door to the terminal
        if driver is not None:
            driver.write(data)
            driver.flush()
