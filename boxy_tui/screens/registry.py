"""Looking into registries: the registries, their repositories, their tags; and pulling from them.

Constraint: a registry may be slow or away, so every question is a worker that the next one
replaces, and what is known stays on the screen.  A pull goes on when one looks elsewhere in the
screen; leaving the screen ends it (what it brought is kept by the daemon).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from boxy_core.errors import BoxyError
from boxy_tui.format import Cell, Column, plain, size
from boxy_tui.later import later
from boxy_tui.screens.dialogs import AskScreen, ConfirmScreen
from boxy_tui.screens.reading import Caption
from boxy_tui.state import matches
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.table import Table

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

COLUMNS = (
    Column("", 1),
    Column("NAME", 20, flex=3),
    Column("SIZE", 8, right=True, rank=1),
    Column("DIGEST", 12, rank=3),
    Column("STATE", 16, flex=2, rank=2),
)
SHORT = 12
QUICK = 20.0


class Place(NamedTuple):
    """Where one looks: nowhere yet, at a registry, or at one of its repositories."""

    host: str = ""
    path: str = ""

    @property
    def above(self) -> Place:
        """One step out."""
        return Place(self.host) if self.path else Place()

    def reference(self, key: str) -> str:
        """The image that a row of this place is, or its repository."""
        return f"{self.host}/{self.path}:{key}" if self.path else f"{self.host}/{key}"


class RegistryTable(Table):
    """What a place holds, with the keys for it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.open", "open"),
        Binding("p", "screen.pull", "pull"),
        Binding("d", "screen.remove", "remove"),
        Binding("h", "screen.host", "registry"),
        Binding("r", "screen.reload", "reload"),
        Binding("slash", "screen.filter", "filter"),
    ]


class RegistryScreen(Screen[None]):
    """Tables of registries, repositories and tags, one at a time."""

    AUTO_FOCUS = "RegistryTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "help"),
        Binding("escape,q", "leave", "back", key_display="esc"),
    ]

    def __init__(self, boxy: BoxyApp, reference: str = "") -> None:
        super().__init__()
        self.boxy = boxy
        self.place = _place_of(reference)
        self.rows: dict[str, dict[str, Any]] = {}
        self.needle = ""
        self.trouble: BoxyError | None = None
        self.asking = True
        self._pulls: dict[str, str] = {}
        """what is being pulled, and how far it is"""
        self.table = RegistryTable(COLUMNS, self._cells, empty=self._nothing)

    def compose(self) -> ComposeResult:
        """Caption, table, filter, keys."""
        yield Caption()
        yield self.table
        yield Input(placeholder="filter: words, !not", id="search", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Ask at once."""
        self.query_one("#search").display = False
        self._go(self.place)

    # ------------------------------------------------------------------ asking

    def _go(self, place: Place, back_to: str = "") -> None:
        """Look at a place; the cursor goes to the row `back_to`."""
        self.place, self.rows, self.needle = place, {}, ""
        self._ask(back_to)

    def _ask(self, back_to: str = "") -> None:
        self.trouble, self.asking = None, True
        self._draw()
        self.run_worker(later(self._load, self.place, back_to), exclusive=True, group="load")

    async def _load(self, place: Place, back_to: str) -> None:
        try:
            rows = await self._rows_of(place)
        except BoxyError as error:
            self.trouble = error
        else:
            self.rows = rows
        self.asking = False
        self._draw()
        self.table.go_to(back_to)

    async def _rows_of(self, place: Place) -> dict[str, dict[str, Any]]:
        ask = self.boxy.client.request
        if not place.host:
            told = await ask("GET", "/registries", within=QUICK)
            return self._hosts(told)
        base = f"/registries/{place.host}/repositories"
        if not place.path:
            told = await ask("GET", base)
            return {name: {} for name in told["repositories"]}
        told = await ask("GET", f"{base}/{place.path}/tags", query={"details": 1})
        return {tag["tag"]: tag for tag in told["tags"]}

    def _hosts(self, told: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The registries that are known: the default, those logged in to, those of our images."""
        found: dict[str, dict[str, Any]] = {}
        if told["default"]:
            found[told["default"]] = {"note": "default"}
        for image in self.boxy.state.images:
            host = _place_of(image.name).host
            if host:
                found.setdefault(host, {"note": "images from there are here"})
        for login in told["logins"]:
            found[login["host"]] = {"note": f"as {login['name']}"}
        return found

    # ------------------------------------------------------------------ drawing

    def redraw(self) -> None:
        """The application has news: an image may be here now."""
        self._draw()

    def _draw(self) -> None:
        keys = [key for key in self.rows if matches(key.lower(), self.needle)]
        self.table.show(keys)
        self.table.repaint()
        caption = self.query_one(Caption)
        where = "/".join(part for part in self.place if part) or "registries"
        cells: list[Cell] = [(" registry ", "badge"), (f" {plain(where)} ", "bright")]
        if self.needle:
            cells += [(" filter ", "dim"), (self.needle, "accent")]
        if self.asking:
            cells.append((" asking … ", "dim"))
        for reference, state in list(self._pulls.items())[:2]:
            cells.append((f" {plain(reference)}: {plain(state)} ", "busy"))
        caption.cells = cells
        caption.repaint()
        self.query_one(KeyBar).renew()

    def _cells(self, key: str) -> Sequence[Cell]:
        row = self.rows.get(key, {})
        if not self.place.path:
            sign: Cell = ("▸", "blue")
            return [
                sign,
                (plain(key), "name"),
                ("", ""),
                ("", ""),
                (plain(row.get("note", "")), "dim"),
            ]
        reference = self.place.reference(key)
        here = any(image.name == reference for image in self.boxy.state.images)
        sign = ("■", "blue") if here else ("□", "dim")
        digest = str(row.get("digest") or "").partition(":")[2][:SHORT]
        weight = row.get("size")
        return [
            sign,
            (plain(key), "name"),
            (size(weight) if isinstance(weight, int) else "-", "text"),
            (digest or "-", "dim"),
            self._state(reference, row, here=here),
        ]

    def _state(self, reference: str, row: dict[str, Any], *, here: bool) -> Cell:
        if reference in self._pulls:
            return plain(self._pulls[reference]), "busy"
        if row.get("problem"):
            return plain(str(row["problem"])), "bad"
        if here:
            return "here", "ok"
        return plain(", ".join(row.get("platforms") or [])), "dim"

    def _nothing(self) -> Sequence[Sequence[Cell]]:
        if self.asking:
            return []
        if self.trouble is not None:
            return [
                [("   ✖ ", "bad"), (plain(self.trouble.message), "bright")],
                [("     ", ""), (plain(self.trouble.hint), "accent")],
                [],
                [("   r", "key"), ("  asks again", "dim")],
            ]
        if self.needle:
            return [
                [("   nothing matches the filter · ", "dim"), ("esc", "key"), (" clears it", "dim")]
            ]
        if not self.place.host:
            return [
                [("   No registry is known here yet.", "text")],
                [],
                [("   h", "key"), ("  looks into one: HOST or HOST:PORT", "dim")],
                [("   boxy login HOST", "accent"), ("  tells one who you are", "dim")],
            ]
        return [[("   There is nothing here.", "dim")]]

    def fits(self, action: str) -> bool:
        """Whether a key would do something now."""
        name = action.removeprefix("screen.")
        if name in ("pull", "remove"):
            return bool(self.place.path and self.table.current)
        return bool(self.table.current) if name == "open" else True

    # ------------------------------------------------------------------ keys

    @on(Table.Moved)
    def _moved(self) -> None:
        self.query_one(KeyBar).renew()

    @on(Table.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """One step in; on a tag, pull it."""
        key = self.table.current
        if not key:
            return
        if self.place.path:
            self.action_pull()
            return
        self._go(Place(self.place.host, key) if self.place.host else Place(key))

    def action_pull(self) -> None:
        """Fetch the image under the cursor; how far it is shows in its row."""
        key = self.table.current
        if not (self.place.path and key):
            self.boxy.say("Pulling needs a tag.", "Enter opens a repository.")
            return
        reference = self.place.reference(key)
        if reference not in self._pulls:
            self._pulls[reference] = "asking"
            self.run_worker(later(self._pull, reference), group=f"pull {reference}")
            self._draw()

    async def _pull(self, reference: str) -> None:
        try:
            path = f"/images/{reference}/pull"
            async with self.boxy.client.stream("POST", path) as answer:
                async for line in answer.lines():
                    if "step" in line:
                        self._pulls[reference] = _progress(line)
                        self._draw()
        except BoxyError as error:
            self.boxy.complain(error)
        else:
            self.boxy.say(f"{reference} is here.", "Enter runs it, in the table of images.")
        finally:
            self._pulls.pop(reference, None)
        self._draw()

    def action_remove(self) -> None:
        """Remove the tag at the registry, after a question."""
        key, place = self.table.current, self.place
        if not (place.path and key):
            self.boxy.say("Only tags can be removed here.", "Enter opens a repository.")
            return
        reference = place.reference(key)

        def answered(answer: bool | None) -> None:
            if answer:
                self.run_worker(later(self._remove, place, key))

        question = f"Remove {plain(reference)} at the registry?"
        detail = ["Nobody can pull it by this name any more; what is here stays here."]
        self.boxy.push_screen(ConfirmScreen(question, detail, "remove"), answered)

    async def _remove(self, place: Place, key: str) -> None:
        path = f"/registries/{place.host}/repositories/{place.path}/tags/{key}"
        try:
            await self.boxy.client.request("DELETE", path)
        except BoxyError as error:
            self.boxy.complain(error)
        else:
            self._ask()

    def action_host(self) -> None:
        """Ask for a registry, and look into it."""

        def entered(line: str | None) -> None:
            if line:
                self._go(_place_of(line if "/" in line else f"{line}/"))

        self.boxy.push_screen(AskScreen("Which registry?", "registry.example:5000"), entered)

    def action_reload(self) -> None:
        """Ask again."""
        self._ask(self.table.current)

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one("#search", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#search")
    def _filtered(self, message: Input.Changed) -> None:
        self.needle = message.value
        self._draw()

    @on(Input.Submitted, "#search")
    def _close_filter(self) -> None:
        self.query_one("#search").display = False
        self.table.focus()

    def action_leave(self) -> None:
        """Drop the filter, or one step out, or back to the images."""
        field = self.query_one("#search", Input)
        if field.display or self.needle:
            field.value = ""
            self._close_filter()
        elif self.place.host:
            self._go(self.place.above, self.place.path or self.place.host)
        else:
            self.dismiss()


def _progress(line: dict[str, Any]) -> str:
    """How far a pull is, in two words."""
    done, total = line.get("done") or 0, line.get("total") or 0
    states = {str(layer.get("state")) for layer in (line.get("layers") or {}).values()}
    if states and states <= {"fetched", "unpacking", "done", "exists"}:
        return "unpacking" if states & {"fetched", "unpacking"} else "done"
    share = f" {100 * done // total} %" if total else ""
    return f"{line['step']}{share}"


def _place_of(reference: str) -> Place:
    """The place that a reference, or the beginning of one, is about."""
    host, slash, rest = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        return Place(host) if slash and host and not rest else Place()
    return Place(host, rest.partition("@")[0].rpartition(":")[0] or rest.partition("@")[0])
