"""The form for a new box.  What is typed is checked here as the command line would check it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Checkbox, Input, Label

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.portwords import ports
from boxy_core.units import parse_cpus, parse_size
from boxy_tui import commandline
from boxy_tui.folding import fold
from boxy_tui.format import Cell, plain
from boxy_tui.widgets.keybar import KeyBar
from boxy_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp

FIELDS = (
    ("image", "Image", "alpine"),
    ("command", "Command", "the image's own"),
    ("name", "Name", "made up if empty"),
    ("memory", "Memory", "512m; no limit if empty"),
    ("cpus", "CPUs", "1.5; no limit if empty"),
    ("env", "Environment", "NAME=value OTHER='two words'"),
    ("network", "Network", "the daemon's default; none, host, a network's name"),
    ("ports", "Ports", "8080:80 53:53/udp; on 127.0.0.1 unless an address is given"),
)
SWITCHES = (
    ("tty", "terminal", True),
    ("rm", "remove at exit", False),
    ("attach", "attach", True),
)


class Wish(NamedTuple):
    """What the form says: the spec for the daemon, and whether to attach."""

    spec: dict[str, Any]
    attach: bool


def read_form(values: Mapping[str, str], switches: Mapping[str, bool]) -> Wish:
    """The form's fields as a box spec.  Raises InvalidRequest naming the field."""
    image = values["image"].strip()
    if not image:
        raise InvalidRequest("The image is missing.", hint="⇥ on the first screen lists them.")
    spec: dict[str, Any] = {
        "image": image,
        "tty": switches["tty"],
        "stdin": switches["tty"] or switches["attach"],
        "auto_remove": switches["rm"],
    }
    if command := commandline.words(values["command"]):
        spec["command"] = command
    if name := values["name"].strip():
        spec["name"] = name
    limits: dict[str, Any] = {}
    if memory := values["memory"].strip():
        limits["memory"] = parse_size(memory)
    if cpus := values["cpus"].strip():
        limits["cpus"] = parse_cpus(cpus)
    if limits:
        spec["limits"] = limits
    if env := _environment(values["env"]):
        spec["env"] = env
    if network := values.get("network", "").strip():
        spec["network"] = network
    if given := values.get("ports", "").split():
        spec["ports"] = [port for word in given for port in ports(word, "Ports")]
    return Wish(spec, switches["attach"])


def _words(field: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(
            f"The {field} has a quote that is not closed.", hint=f"({error})"
        ) from None


def _environment(text: str) -> dict[str, str]:
    env = {}
    for word in _words("environment", text):
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidRequest(f"{word!r} is not a variable.", hint="Write NAME=value.")
        env[name] = value
    return env


class Message(Lines):
    """What is wrong, or what is being done."""

    DEFAULT_CSS: ClassVar[str] = "Message { height: 2; max-height: 6; }"

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[Cell]] = [[], [("␣", "key"), (" flips a switch", "dim")]]

    def say(self, text: str, hint: str = "", tone: str = "bad") -> None:
        """Show a sentence and a hint."""
        width = self.size.width or 60
        self.rows = [*fold([(plain(text), tone)], width), *fold([(plain(hint), "dim")], width)]
        self.styles.height = max(2, len(self.rows))
        self.repaint()

    def line_cells(self, y: int) -> Sequence[Cell]:
        """One of the lines."""
        return self.rows[y] if y < len(self.rows) else []


class Field(Input):
    """A line of the form; Enter is the form's, after the letters that were typed before it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "screen.submit", "run")]


class Switch(Checkbox, inherit_bindings=False):
    """A checkbox whose states differ in shape too, not by colour alone; Enter is the form's."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle_button", show=False)]

    def on_mount(self) -> None:
        """Begin with the right sign."""
        self.watch(self, "value", self._sign)

    def _sign(self, value: bool) -> None:
        self.BUTTON_INNER = "✔" if value else " "
        self.refresh()


class FormScreen(ModalScreen[str]):
    """Asks what to run and runs it; the result is the new box's id, "" when given up."""

    # Fast typing: a field handles its keys after the application has seen them.  Enter must come
    # after the letters before it, so it goes through the field; the focus must move before the
    # letters behind a Tab are given to a field, so Tab does not.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "run"),
        Binding("tab,down", "app.focus_next", "next field", key_display="⇥", priority=True),
        Binding("shift+tab,up", "app.focus_previous", "back", key_display="shift+⇥", priority=True),
        Binding("escape", "leave", "leave"),
    ]

    def __init__(self, boxy: BoxyApp, image: str) -> None:
        super().__init__()
        self.boxy = boxy
        self._image = image
        self._busy = False

    def compose(self) -> ComposeResult:
        """One line for each field."""
        names = [image.name for image in self.boxy.state.images if not image.problem]
        with Vertical(id="form"):
            for name, label, hint in FIELDS:
                with Horizontal(classes="field"):
                    yield Label(label)
                    yield Field(
                        value=self._image if name == "image" else "",
                        placeholder=hint,
                        id=f"f-{name}",
                        compact=True,
                        suggester=SuggestFromList(names) if name == "image" else None,
                    )
            with Horizontal(classes="switches"):
                for name, label, on_ in SWITCHES:
                    yield Switch(label, on_, id=f"s-{name}", compact=True)
            yield Message()
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin where there is something to type."""
        self.query_one("#form").border_title = " New box "
        self.query_one("#f-command" if self._image else "#f-image").focus()

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss("")

    def action_submit(self) -> None:
        """Check the fields and ask the daemon."""
        if self._busy:
            return
        values = {name: self.query_one(f"#f-{name}", Input).value for name, _, _ in FIELDS}
        switches = {name: self.query_one(f"#s-{name}", Switch).value for name, _, _ in SWITCHES}
        try:
            wish = read_form(values, switches)
        except BoxyError as error:
            self.query_one(Message).say(error.message, error.hint)
            return
        self._busy = True
        self.run_worker(self._run(wish), exclusive=True)

    async def _run(self, wish: Wish) -> None:
        say = self.query_one(Message).say
        try:
            await self.boxy.deeds.prepare(
                wish.spec["image"], lambda text: say(text, tone="accent"), quiet=True
            )
            say("making the box …", tone="accent")
            box = await self.boxy.deeds.create(wish.spec)
            if not wish.attach:
                box = await self.boxy.deeds.start(box)
        except BoxyError as error:
            say(error.message, error.hint)
            self._busy = False
        else:
            self.dismiss(box.id)
            if wish.attach:
                self.boxy.open_main(box)
