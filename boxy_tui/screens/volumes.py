"""The volumes: what they hold, who has them, and taking them away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from boxy_core.errors import BoxyError
from boxy_tui.format import Cell, Column, plain, size
from boxy_tui.later import later
from boxy_tui.screens.dialogs import ConfirmScreen
from boxy_tui.screens.reading import Caption
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.table import Table

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

COLUMNS = (
    Column("", 1), Column("VOLUME", 20, flex=3), Column("SIZE", 9, right=True),
    Column("CREATED", 16, rank=2), Column("BOXES", 16, flex=2),
)  # fmt: skip


class VolumeTable(Table):
    """The volumes, with the keys for them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,enter", "screen.inspect", "inspect"),
        Binding("d", "screen.remove", "remove"),
        Binding("p", "screen.prune", "prune"),
        Binding("r", "screen.reload", "reload"),
    ]


class VolumesScreen(Screen[None]):
    """Folders that outlive boxes: their sizes, and who has them."""

    AUTO_FOCUS = "VolumeTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "help"),
        Binding("escape,q", "leave", "back", key_display="esc"),
    ]

    def __init__(self, boxy: BoxyApp) -> None:
        super().__init__()
        self.boxy = boxy
        self.rows: dict[str, dict[str, Any]] = {}
        self.table = VolumeTable(COLUMNS, self._cells, empty=self._nothing)

    def compose(self) -> ComposeResult:
        """Caption, table, keys."""
        yield Caption()
        yield self.table
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask at once."""
        self.query_one(Caption).cells = [(" volumes ", "badge")]
        self.action_reload()

    def redraw(self) -> None:
        """The application has news: a volume may be new or gone."""
        self.action_reload()

    def action_reload(self) -> None:
        """Measure them again."""
        self.run_worker(later(self._load), exclusive=True, group="load")

    async def _load(self) -> None:
        try:
            told = await self.boxy.client.request("GET", "/volumes", query={"size": 1})
        except BoxyError as error:
            self.boxy.complain(error)
            return
        self.rows = {volume["name"]: volume for volume in told}
        self.table.show(list(self.rows))
        self.table.repaint()

    def _nothing(self) -> Sequence[Sequence[Cell]]:
        return [[("   There are no volumes; boxy run -v NAME:/data makes one.", "dim")]]

    def _cells(self, key: str) -> Sequence[Cell]:
        volume = self.rows[key]
        users = ", ".join(volume.get("boxes") or ())
        return [
            ("■", "blue") if users else ("□", "dim"),
            (plain(key), "dim" if volume.get("anonymous") else "name"),
            (size(volume.get("size") or 0), "text"),
            (time.strftime("%Y-%m-%d %H:%M", self.boxy.zone(volume["created"])), "dim"),
            (plain(users) or "nobody has it", "text" if users else "faint"),
        ]

    @on(Table.Chosen)
    def action_inspect(self) -> None:
        """All that is known of the volume."""
        from boxy_tui.screens.reading import InspectScreen

        if name := self.table.current:
            self.boxy.push_screen(InspectScreen(self.boxy, name, f"/volumes/{name}"))

    def action_remove(self) -> None:
        """Remove the volume with all its files."""
        name = self.table.current
        if not name:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(later(self._do, "DELETE", f"/volumes/{name}"))

        detail = ["Its files are lost."]
        self.boxy.push_screen(
            ConfirmScreen(f"Remove the volume {name}?", detail, "remove"), answered
        )

    def action_prune(self) -> None:
        """Remove the anonymous volumes that no box has."""

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(later(self._do, "POST", "/volumes/prune"))

        loose = [n for n, v in self.rows.items() if v.get("anonymous") and not v.get("boxes")]
        detail = [f"{len(loose)} of them; their files are lost."]
        question = "Remove the anonymous volumes that no box has?"
        self.boxy.push_screen(ConfirmScreen(question, detail, "remove"), answered)

    async def _do(self, method: str, path: str) -> None:
        try:
            await self.boxy.client.request(method, path, body={} if method == "POST" else None)
        except BoxyError as error:
            self.boxy.complain(error)
        self.action_reload()

    def action_leave(self) -> None:
        """Back to where one was."""
        self.dismiss()
