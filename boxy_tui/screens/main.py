"""The first screen: the tables of boxes and images, and the selected box's figures.

    first.py        its parts: the tables with their keys, the tabs, the banner, the events
    first_words.py  what it says where there is nothing to show, and when the daemon is lost

Constraint: reads the State and asks the application for deeds; draws on `refresh_all`, which the
application calls when something has changed, never by a timer of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Input

from boxy_core.models import ALIVE, Box, Image
from boxy_tui.format import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    Cell,
    box_row,
    image_row,
    plain,
    snug,
    widened,
)
from boxy_tui.screens.first import Banner, BoxTable, Events, FilterField, ImageTable, Tabs
from boxy_tui.screens.first_words import no_boxes, no_images, trouble
from boxy_tui.state import Link, Order, matches
from boxy_tui.widgets.detail import Detail
from boxy_tui.widgets.header import Header
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.table import Table

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

HOST_EVERY = 2.0
"""Seconds between two looks at the host."""
TELL = 0.05
"""Seconds from the cursor's move to the figures of its box: a held key passes over many."""
NEEDS_LIFE = frozenset({"stop", "restart", "kill", "pause", "shell", "exec"})
NEEDS_DEATH = frozenset({"start"})
NEEDS_BOX = (
    NEEDS_LIFE
    | NEEDS_DEATH
    | {
        "attach",
        "logs",
        "inspect",
        "explain",
        "trace",
        "remove",
        "open",
        "mark",
        "limits",
        "web",
        "ports",
        "files",
        "changes",
    }
)


class MainScreen(Screen[None]):
    """Tables, figures, keys."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (18, "-short"), (34, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#boxes"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "run_box", "new"),
        Binding("tab", "switch", "boxes/images", priority=True),
        Binding("1", "show(True)", "boxes", show=False),
        Binding("2", "show(False)", "images", show=False),
        Binding("N", "networks", "networks"),
        Binding("v", "app.volumes", "volumes"),
        Binding("slash", "filter", "filter"),
        Binding("colon", "app.command_palette", "commands"),
        Binding("question_mark", "app.help", "help"),
        Binding("q", "app.quit_console", "quit"),
        Binding("escape", "clear", "clear", show=False),
        Binding("ctrl+r", "retry", "reconnect", show=False),
        Binding("P", "app.replay", "replay", show=False),
        Binding("T", "app.next_look", "colours", show=False),
    ]

    def __init__(self, boxy: BoxyApp) -> None:
        super().__init__(id="main")
        self.boxy = boxy
        self.needle = ""
        self.sort = Order.NAME
        self._telling = False
        self.boxes = BoxTable(BOX_COLUMNS, self._box_cells, empty=self._no_boxes, id="boxes")
        self.images = ImageTable(
            IMAGE_COLUMNS, self._image_cells, empty=self._no_images, id="images"
        )

    def compose(self) -> ComposeResult:
        """See boxy.tcss for the places."""
        yield Header(self.boxy.state, self.boxy.host)
        yield Banner()
        with Container(id="body"):
            with Container(id="tables"):
                yield Tabs()
                yield self.boxes
                yield self.images
                yield FilterField()
                yield Events(self.boxy)
            yield Detail(self.boxy.state, self.boxy.clock)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show what is known at once, and the host every two seconds."""
        self.images.display = False
        self.query_one("#filter").display = False
        self.query_one(Header).tick()
        self.set_interval(HOST_EVERY, self.query_one(Header).tick)
        self.refresh_all()

    # ---------------------------------------------------------------- drawing

    def refresh_all(self) -> None:
        """Draw what the state says now."""
        state = self.boxy.state
        images = {box.image for box in state.boxes.values()}
        self.boxes.columns = snug(BOX_COLUMNS, map(plain, images))
        self.boxes.show(state.visible(self.needle, self.sort))
        names = [i.name for i in state.images if matches(image_text(i), self.needle)]
        self._fit_images()
        self.images.show(names)
        if self.images.display:
            self._show_image()
        self.query_one(Banner).say(trouble(state))
        self._draw_tabs()
        self.query_one(Header).repaint()
        self.query_one(Detail).tick()
        self.query_one(Events).repaint()

    def _fit_images(self) -> None:
        names = [plain(image.name) for image in self.boxy.state.images]
        self.images.columns = widened(IMAGE_COLUMNS, names, self.images.size.width)

    def _box_cells(self, key: str) -> Sequence[Cell]:
        state = self.boxy.state
        box = state.boxes.get(key)
        if box is None:
            return [("", "")] * len(BOX_COLUMNS)
        ring = state.samples.get(key, ())
        trend = [sample.cpu_percent for sample in list(ring)[-20:]]
        return box_row(box, state.rates(key), trend, self.boxy.clock())

    def _image_cells(self, key: str) -> Sequence[Cell]:
        image = self._image(key)
        return image_row(image) if image else [("", "")] * len(IMAGE_COLUMNS)

    def _image(self, name: str) -> Image | None:
        return next((image for image in self.boxy.state.images if image.name == name), None)

    def _no_boxes(self) -> Sequence[Sequence[Cell]]:
        return no_boxes(filtered=bool(self.needle), live=self.boxy.state.link is Link.LIVE)

    def _no_images(self) -> Sequence[Sequence[Cell]]:
        return no_images(filtered=bool(self.needle))

    def _draw_tabs(self) -> None:
        state, tabs = self.boxy.state, self.query_one(Tabs)
        shown, total = len(self.boxes.keys), len(state.boxes)
        count = f"{shown}/{total}" if shown != total else str(total)
        on_boxes = self.boxes.display
        cells: list[Cell] = [
            (f" Boxes {count} ", "tab-on" if on_boxes else "tab"),
            (f" Images {len(state.images)} ", "tab" if on_boxes else "tab-on"),
        ]
        if self.needle:
            cells += [("  filter ", "dim"), (self.needle, "accent")]
        if self.sort is not Order.NAME:
            cells += [("  by ", "dim"), (str(self.sort), "accent")]
        if self.boxes.marks:
            cells += [("  marked ", "dim"), (str(len(self.boxes.marks)), "paused")]
        if place := (self.boxes if on_boxes else self.images).place:
            cells += [("  row ", "dim"), (place, "text")]
        tabs.cells = cells
        tabs.repaint()

    # ---------------------------------------------------------------- what is meant

    @property
    def current(self) -> Box | None:
        """The box under the cursor."""
        return self.boxy.state.boxes.get(self.boxes.current)

    def chosen(self) -> list[Box]:
        """The marked boxes, or the one under the cursor."""
        boxes = self.boxy.state.boxes
        keys = [key for key in self.boxes.keys if key in self.boxes.marks] or [self.boxes.current]
        return [boxes[key] for key in keys if key in boxes]

    def fits(self, action: str) -> bool:
        """Whether a key's action would do something now; the footer dims the others."""
        name = action.removeprefix("screen.")
        if name not in NEEDS_BOX:
            return True
        chosen = self.chosen()
        if name in NEEDS_LIFE:
            return any(box.status in ALIVE for box in chosen)
        if name in NEEDS_DEATH:
            return any(box.status not in ALIVE for box in chosen)
        return bool(chosen)

    @on(Table.Moved, "#boxes")
    def _selected(self) -> None:
        """First the cursor's row, which one looks at; the figures of its box a moment later."""
        self._draw_tabs()
        if not self._telling:
            self._telling = True
            self.set_timer(TELL, self._tell)

    def _tell(self) -> None:
        self._telling = False
        self.query_one(Detail).select(self.boxes.current)
        self.query_one(KeyBar).renew()
        self.boxy.wants_history(self.boxes.current)

    @on(Table.Sized)
    def _sized(self) -> None:
        self._fit_images()
        self._draw_tabs()

    @on(Table.Moved, "#images")
    def _image_selected(self) -> None:
        self._show_image()

    def _show_image(self) -> None:
        """What is told beside the table: of the image, where images are listed."""
        self._draw_tabs()
        image = self._image(self.images.current) if self.images.display else None
        self.query_one(Detail).show_image(image)
        self.query_one(KeyBar).renew()

    @on(Table.Chosen)
    def _double_click(self) -> None:
        if self.boxes.display:
            self.action_open()
        else:
            self.action_run_box()

    # ---------------------------------------------------------------- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """In the filter a slash is a letter like any other."""
        return action != "filter" or not isinstance(self.focused, Input)

    def on_key(self, event: events.Key) -> None:
        """A key that does nothing says so: it is a guess, and the next one should be better."""
        if event.is_printable and event.key not in self.active_bindings:
            sign = plain(event.character or "")
            text = f"{sign} does nothing here; ? shows what does."
            self.boxy.notify(text, markup=False, timeout=2)

    def action_switch(self) -> None:
        """Show the other table."""
        self.action_show(not self.boxes.display)

    def action_show(self, boxes: bool) -> None:
        """Show the table of boxes, or that of images."""
        to_images = not boxes
        self.boxes.display, self.images.display = not to_images, to_images
        (self.images if to_images else self.boxes).focus()
        self._show_image()
        self._draw_tabs()

    def action_filter(self) -> None:
        """Open the filter."""
        field = self.query_one("#filter", Input)
        field.display = True
        field.focus()

    @on(Input.Changed, "#filter")
    def _filtered(self, message: Input.Changed) -> None:
        self.needle = message.value
        self.refresh_all()

    @on(Input.Submitted, "#filter")
    def _close_filter(self) -> None:
        self.query_one("#filter").display = False
        (self.boxes if self.boxes.display else self.images).focus()

    def action_clear(self) -> None:
        """Drop filter and marks."""
        self.query_one("#filter", Input).value = ""
        self._close_filter()
        self.boxes.marks.clear()
        self.refresh_all()
        self.boxes.repaint()

    def action_order(self) -> None:
        """Sort by the next thing."""
        orders = list(Order)
        self.sort = orders[(orders.index(self.sort) + 1) % len(orders)]
        self.refresh_all()

    def action_mark(self) -> None:
        """Mark the box under the cursor, for deeds on several."""
        self.boxes.toggle_mark()
        self._draw_tabs()
        self.query_one(KeyBar).renew()

    def action_retry(self) -> None:
        """Try the daemon at once."""
        self.boxy.feed.retry()

    def action_open(self) -> None:
        """Attach; a box that does not run is started first."""
        if (box := self._need()) is not None:
            self.boxy.open_main(box)

    def action_attach(self) -> None:
        """The box's main terminal."""
        if (box := self._need()) is not None:
            if box.status in ALIVE:
                self.boxy.open_main(box)
            else:
                self.boxy.ask_dead(box)

    def action_shell(self) -> None:
        """A shell beside what runs."""
        if (box := self._need_life()) is not None:
            self.boxy.open_shell(box)

    def action_exec(self) -> None:
        """Ask for a command and run it in a pane."""
        if (box := self._need_life()) is not None:
            self.boxy.ask_command(box)

    def action_logs(self) -> None:
        """What the box wrote."""
        if (box := self._need()) is not None:
            self.boxy.open_logs(box)

    def action_inspect(self) -> None:
        """All that is known of the box."""
        if (box := self._need()) is not None:
            self.boxy.open_inspect(box)

    def action_explain(self) -> None:
        """What the box is made of: namespaces, mounts, cgroup, powers."""
        if (box := self._need()) is not None:
            self.boxy.open_glass(box, "explain")

    def action_trace(self) -> None:
        """What was done for the box, and how long it took."""
        if (box := self._need()) is not None:
            self.boxy.open_glass(box, "trace")

    def action_files(self) -> None:
        """Look into the box's files, read them, copy them out."""
        if (box := self._need()) is not None:
            self.boxy.open_files(box)

    def action_changes(self) -> None:
        """What the box changed against its image."""
        if (box := self._need()) is not None:
            self.boxy.open_changes(box)

    def action_limits(self) -> None:
        """Change what the box may use, at once."""
        if (box := self._need()) is not None:
            self.boxy.open_limits(box)

    def action_web(self) -> None:
        """Open the published port in a browser, or say its address."""
        if (box := self._need()) is not None:
            self.boxy.open_web(box)

    def action_ports(self) -> None:
        """Publish ports of the box and take them back, at once."""
        if (box := self._need()) is not None:
            self.boxy.ask_ports(box)

    def action_networks(self) -> None:
        """The networks, and who is on them."""
        self.boxy.open_networks()

    def action_inspect_image(self) -> None:
        """All that is known of the image."""
        if (image := self._image(self.images.current)) is not None:
            self.boxy.open_image(image)

    def action_prepare(self) -> None:
        """Unpack the image now, so that its first box starts at once."""
        if (image := self._image(self.images.current)) is not None:
            self.boxy.errands.prepare(image)

    def action_browse(self) -> None:
        """Look into a registry, and pull from it."""
        self.boxy.open_registry(self.images.current if self.images.display else "")

    def action_remove_image(self) -> None:
        """Take the image away, after a question; a registry folder stays."""
        if (image := self._image(self.images.current)) is not None:
            self.boxy.errands.remove_image(image)

    def action_run_box(self) -> None:
        """The form for a new box."""
        image = self.images.current if self.images.display else ""
        box = self.current
        self.boxy.open_form(image or (box.image if box else ""))

    def action_stop(self) -> None:
        """Stop signal, then SIGKILL after the grace period."""
        self._deed("stop", living=True)

    def action_start(self) -> None:
        """Start what does not run."""
        self._deed("start", living=False)

    def action_restart(self) -> None:
        """Stop and start."""
        self._deed("restart", living=True)

    def action_pause(self) -> None:
        """Freeze, or thaw what is frozen."""
        self._deed("pause", living=True)

    def action_kill(self) -> None:
        """SIGKILL, after a question: `k` is also a common key for going up."""
        self._deed("kill", living=True)

    def action_remove(self) -> None:
        """Take the boxes away, after a question."""
        if chosen := self.chosen():
            self.boxy.errands.do("remove", chosen)
        else:
            self._nothing()

    def _deed(self, verb: str, *, living: bool) -> None:
        chosen = self.chosen()
        fitting = [box for box in chosen if (box.status in ALIVE) is living]
        if fitting:
            self.boxy.errands.do(verb, fitting)
        elif chosen:
            names = ", ".join(box.name for box in chosen)
            state = "not running" if living else "running already"
            hint = "S starts it." if living else "r restarts it."
            self.boxy.say(f"{names} is {state}.", hint)
        else:
            self._nothing()

    def _need(self) -> Box | None:
        if self.current is None:
            self._nothing()
        return self.current

    def _need_life(self) -> Box | None:
        box = self._need()
        if box is not None and box.status not in ALIVE:
            self.boxy.say(f"{box.name} is not running.", "S starts it.")
            return None
        return box

    def _nothing(self) -> None:
        self.boxy.say("There is no box to do that to.", "n runs a new one.")


def image_text(image: Image) -> str:
    """What the filter searches."""
    return f"{image.name} {image.description} {' '.join(image.cmd)}".lower()
