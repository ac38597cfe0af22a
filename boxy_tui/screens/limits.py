"""The form for a box's limits; what is changed takes effect at once, also while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.models import Box, Limits
from boxy_core.units import format_cpus, format_size_exact, parse_cpus, parse_size
from boxy_tui.later import later
from boxy_tui.widgets.fields import Message, Row
from boxy_tui.widgets.keybar import KeyBar

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp


class Kind(NamedTuple):
    """How a value is read, and how it is shown."""

    read: Callable[[str], Any]
    show: Callable[[Any], str]


class Line(NamedTuple):
    """A field of the form: of Limits, its label, its kind, what an empty one means."""

    field: str
    label: str
    kind: Kind
    hint: str


def _whole(text: str) -> int:
    if text == "-1" or text.isdecimal():
        return int(text)
    raise InvalidRequest(f"{text!r} is not a whole number.", hint="as in 1024")


def _swap(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


def _table(read: Callable[[str], int], mark: str) -> Callable[[str], dict[str, int]]:
    """Words `NAME<mark>VALUE` as a dict."""

    def reader(text: str) -> dict[str, int]:
        found = {}
        for word in text.split():
            name, sign, value = word.rpartition(mark)
            if not sign or not name:
                raise InvalidRequest(f"{word!r} is not NAME{mark}VALUE.", hint="as in nofile=1024")
            found[name] = read(value)
        return found

    return reader


def _shown(show: Callable[[int], str], mark: str) -> Callable[[dict[str, int]], str]:
    return lambda table: " ".join(f"{name}{mark}{show(value)}" for name, value in table.items())


def _show_swap(size: int) -> str:
    return "-1" if size < 0 else format_size_exact(size)


SIZE = Kind(parse_size, format_size_exact)
WHOLE = Kind(_whole, str)
RATES = Kind(_table(parse_size, ":"), _shown(format_size_exact, ":"))
COUNTS = Kind(_table(_whole, ":"), _shown(str, ":"))
LINES = (
    Line("memory", "Memory", SIZE, "no limit; 512m"),
    Line("memory_swap", "  with swap", Kind(_swap, _show_swap),
         "no swap; memory and swap together, -1: any"),
    Line("memory_reservation", "  reserved", SIZE, "nothing; taken from it last"),
    Line("cpus", "CPUs", Kind(parse_cpus, format_cpus), "no limit; 1.5"),
    Line("cpu_shares", "  weight", WHOLE, "1024; 2 to 262144"),
    Line("cpuset", "  only", Kind(str, str), "any; 0-1,3"),
    Line("pids", "Processes", WHOLE, "4096; -1: no limit"),
    Line("io_weight", "Disk weight", WHOLE, "usual; 10 to 1000"),
    Line("io_read_bps", "  read/s", RATES, "no limit; /dev/vda:10m"),
    Line("io_write_bps", "  written/s", RATES, "no limit; /dev/vda:10m"),
    Line("io_read_iops", "  reads/s", COUNTS, "no limit; /dev/vda:100"),
    Line("io_write_iops", "  writes/s", COUNTS, "no limit; /dev/vda:100"),
    Line("hugetlb", "Huge pages", Kind(_table(parse_size, "="), _shown(format_size_exact, "=")),
         "no limit; 2MB=64m"),
    Line("disk", "Own layer", SIZE, "no limit; 1g, where the disk can"),
)  # fmt: skip


def shown(limits: Limits) -> dict[str, str]:
    """The texts that the form begins with."""
    values = {line.field: getattr(limits, line.field) for line in LINES}
    return {
        line.field: "" if values[line.field] in (None, {}) else line.kind.show(values[line.field])
        for line in LINES
    }


def changes(texts: Mapping[str, str], limits: Limits) -> dict[str, Any]:
    """What differs from the limits in force; None takes one away.  Raises InvalidRequest."""
    found: dict[str, Any] = {}
    for line in LINES:
        text = texts[line.field].strip()
        if text == shown(limits)[line.field]:
            continue
        try:
            found[line.field] = line.kind.read(text) if text else None
        except InvalidRequest as error:
            label = line.label.strip()
            raise InvalidRequest(
                f"{label}: {error.message}", hint=error.hint, field=line.field
            ) from None
    return found


class LimitsScreen(ModalScreen[bool]):
    """Asks for other limits and has them put in force; the result: whether any was changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "change"),
        Binding("tab,down", "app.focus_next", "next field", key_display="⇥", priority=True),
        Binding("shift+tab,up", "app.focus_previous", "back", key_display="shift+⇥", priority=True),
        Binding("escape", "leave", "leave"),
    ]

    def __init__(self, boxy: BoxyApp, box: Box) -> None:
        super().__init__()
        self.boxy = boxy
        self.box = box

    def compose(self) -> ComposeResult:
        """One line for each limit."""
        texts = shown(self.box.spec.limits)
        with Vertical(id="form", classes="limits"):
            with VerticalScroll(can_focus=False):
                for line in LINES:
                    yield Row(line.field, line.label, line.hint, texts[line.field], deed="change")
            yield Message()
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin with the memory."""
        from boxy_tui.format import plain

        self.query_one("#form").border_title = f" Limits of {plain(self.box.name)} "
        message = self.query_one("#form > Message", Message)
        message.say("An empty field takes the limit away.", tone="dim")
        self.query_one("#f-memory").focus()

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(False)

    def action_submit(self) -> None:
        """Check the fields and ask the daemon."""
        for row in self.query(Row):
            row.clear()
        texts = {line.field: self._row(line.field).field.value for line in LINES}
        try:
            wanted = changes(texts, self.box.spec.limits)
        except BoxyError as error:
            self._complain(error)
            return
        if not wanted:
            self.dismiss(False)
            return
        self.run_worker(later(self._change, wanted), exclusive=True)

    def _row(self, field: str) -> Row:
        return self.query_one(f"#r-{field}", Row)

    def _complain(self, error: BoxyError) -> None:
        """Say it beneath the field that it is about, or below all of them."""
        field = error.details.get("field")
        if field in Limits.__struct_fields__:
            self._row(str(field)).complain(error.message, error.hint)
        else:
            self.query_one("#form > Message", Message).say(error.message, error.hint)

    async def _change(self, wanted: dict[str, Any]) -> None:
        try:
            box = await self.boxy.deeds.update(self.box, wanted)
        except BoxyError as error:
            self._complain(error)
            return
        self.box = msgspec.structs.replace(self.box, spec=box.spec)
        self.dismiss(True)
