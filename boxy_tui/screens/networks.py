"""The networks, and who is on each, kept current while one looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxy_core.errors import BoxyError
from boxy_core.models import convert
from boxy_core.models_network import Network
from boxy_tui.format import plain
from boxy_tui.format_network import networks_text
from boxy_tui.later import later
from boxy_tui.screens.reading import ReadingScreen
from boxy_tui.widgets.textview import Line

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

EVERY = 2.0
"""seconds between two looks"""


class NetworksScreen(ReadingScreen):
    """`boxy network ls` and `inspect`, live."""

    def __init__(self, boxy: BoxyApp) -> None:
        super().__init__(boxy, "all", "networks")
        self._found: list[Network] | None = None

    def on_mount(self) -> None:
        """Look now, and again from time to time."""
        super().on_mount()
        self._look()
        self.set_interval(EVERY, self._look)

    def _look(self) -> None:
        self.run_worker(later(self._read), exclusive=True)

    async def _read(self) -> None:
        try:
            found = convert(list[Network], await self.boxy.client.request("GET", "/networks"))
        except BoxyError as error:
            self.note = plain(error.message)
            self.caption()
            return
        self.note = ""
        if found != self._found:
            self._found = found
            self.view.renew(Line(text) for text in networks_text(found))
