"""The selected box: what it is, and its five curves, which begin with the daemon's history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget

from boxy_core.models import ALIVE, Box, Image
from boxy_tui.folding import fold
from boxy_tui.format import Cell, ceiling, detail_lines, image_lines, percent, size
from boxy_tui.format_network import network_lines
from boxy_tui.state import State, series
from boxy_tui.widgets.graph import Graph
from boxy_tui.widgets.lines import Lines

MIB = 1024 * 1024
LEAST, MOST = 7, 11
"""Lines for the facts where they stand beside the table."""


class Facts(Lines):
    """The lines about the box."""

    DEFAULT_CSS: ClassVar[str] = "Facts { height: 5; }"

    def __init__(self) -> None:
        super().__init__()
        self.facts: Sequence[Sequence[Cell]] = []

    def say(self, lines: Sequence[Sequence[Cell]]) -> None:
        """Show these lines, each behind the word that it begins with."""
        self.facts = lines
        if self.size.width:
            folded = [fold(line, max(20, self.size.width - 1), 8) for line in lines]
            beside = self.screen.has_class("-wide")
            self.facts = _within(folded, MOST if beside else self.size.height)
        self._take_room()
        self.repaint()

    def _take_room(self) -> None:
        """Beside the table there is room for all, the ports too, which come last."""
        if not self.screen.has_class("-wide") or self.screen.query(".-image"):
            self.styles.clear_rule("height")
        elif (room := min(MOST, max(LEAST, len(self.facts)))) != self.size.height:
            self.styles.height = room

    def line_cells(self, y: int) -> Sequence[Cell]:
        """One fact a line."""
        return [(" ", ""), *self.facts[y]] if y < len(self.facts) else []


def _within(facts: list[list[list[Cell]]], room: int) -> list[list[Cell]]:
    """The folded facts one below the other; a command that is a whole script is cut so that what
    comes after it has room too, but is never without a line."""
    over = sum(map(len, facts)) - room
    shown = []
    for fact in facts:
        if over > 0 and fact[0][0][0].startswith("command") and len(fact) > 1:
            fact = fact[: max(1, len(fact) - over)]  # noqa: PLW2901
            fact[-1] = [*fact[-1], ("…", "dim")]
        shown += fact
    return shown


class Detail(Widget):
    """Facts and curves of one box; empty when there is none."""

    DEFAULT_CSS: ClassVar[str] = """
    Detail { height: 1fr; layout: vertical; }
    Detail.-image #graphs { display: none; }
    Detail #graphs { layout: grid; grid-gutter: 0 2; padding: 0 1; height: 1fr; }
    """

    def __init__(self, state: State, clock: Callable[[], float]) -> None:
        super().__init__(id="detail")
        self._state = state
        self._clock = clock
        self.box_id = ""
        self._image: Image | None = None

    def compose(self) -> ComposeResult:
        """Facts above, curves below."""
        yield Facts()
        with Container(id="graphs"):
            yield Graph("CPU", id="g-cpu")
            yield Graph("MEM", colour="blue", id="g-memory")
            yield Graph("PIDS", colour="magenta", id="g-pids")
            yield Graph("I/O", colour="orange", id="g-io")
            yield Graph("NET", colour="accent", id="g-net")

    def on_mount(self) -> None:
        """Show what is known once there is a size."""
        self.call_after_refresh(self.tick)

    def select(self, box_id: str) -> None:
        """Show this box from now on."""
        self.box_id = box_id
        self.tick()

    def show_image(self, image: Image | None) -> None:
        """Show an image instead, which has no curves; None: the box again."""
        self._image = image
        self.set_class(image is not None, "-image")
        self.tick()

    def tick(self) -> None:
        """Draw what the state says now."""
        box = self._state.boxes.get(self.box_id)
        facts = self.query_one(Facts)
        if self._image is not None:
            facts.say(image_lines(self._image))
            return
        samples = self._state.samples.get(self.box_id)
        disk = samples[-1].disk if samples else box.disk if box else None
        lines = [*detail_lines(box, self._clock(), disk), *network_lines(box)] if box else []
        facts.say(lines)
        self._curves(box)

    def _curves(self, box: Box | None) -> None:
        samples = self._state.samples.get(self.box_id, ()) if box else ()
        curves = series(list(samples))
        now = self._state.rates(self.box_id)
        alive = box is not None and box.status in ALIVE
        cpus = box.spec.limits.cpus if box else None
        cpu_top = 100.0 * cpus if cpus else ceiling(curves["cpu"], 100.0)
        memory_top = float(now.memory_limit) or ceiling(curves["memory"], 16.0 * MIB)
        pids_top = ceiling(curves["pids"], 10.0)
        io_top = ceiling(curves["io"], 64.0 * 1024)
        net_top = ceiling(curves["net"], 64.0 * 1024)
        figures = {
            "cpu": (cpu_top, f"{percent(now.cpu)}%", f"of {percent(cpu_top)}%"),
            "memory": (memory_top, size(now.memory), f"of {size(memory_top)}"
                       if now.memory_limit else "no limit"),
            "pids": (pids_top, str(now.pids), f"limit {now.pids_limit}"
                     if now.pids_limit > 0 else "no limit"),
            "io": (io_top, f"{size(now.io)}/s", f"top {size(io_top)}"),
            "net": (net_top, f"{size(now.net)}/s", f"top {size(net_top)}"),
        }  # fmt: skip
        for name, (top, figure, bound) in figures.items():
            graph = self.query_one(f"#g-{name}", Graph)
            graph.show(curves[name], top, figure if alive else "–", bound if alive else "")
