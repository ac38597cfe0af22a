"""What a box is made of, and what was done for it, kept current while one looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxy_core import glass
from boxy_core.errors import BoxyError
from boxy_tui.format import plain
from boxy_tui.later import later
from boxy_tui.screens.reading import ReadingScreen
from boxy_tui.widgets.textview import Line

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

EVERY = 2.0
"""seconds between two looks: each reads a few dozen files of the kernel's"""
MARGIN = 2
"""columns that the text view keeps for itself"""


class GlassScreen(ReadingScreen):
    """`boxy explain` or `boxy trace` of one box, live."""

    def __init__(self, boxy: BoxyApp, box_id: str, name: str, what: str) -> None:
        super().__init__(boxy, name, what)
        self._path = f"/boxes/{box_id}/{what}"
        self._found: dict[str, Any] = {}

    def on_mount(self) -> None:
        """Look now, and again from time to time."""
        super().on_mount()
        self._look()
        self.set_interval(EVERY, self._look)

    def on_resize(self) -> None:
        """The text is set anew for another width."""
        self._show()

    def _look(self) -> None:
        self.run_worker(later(self._read), exclusive=True)

    async def _read(self) -> None:
        try:
            found = await self.boxy.client.request("GET", self._path)
        except BoxyError as error:
            self.note = plain(error.message)
            self.caption()
            return
        self.note = ""
        if found != self._found:
            self._found = found
            self._show()

    def _show(self) -> None:
        if not self._found:
            return
        write = glass.explanation if self.what == "explain" else glass.trace
        text = write(self._found, width=self.size.width - MARGIN, colour=True)
        self.view.renew(Line(line) for line in text.splitlines())
