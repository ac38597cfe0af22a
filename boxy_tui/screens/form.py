"""The form for a new box.  What is typed is checked here as the command line would check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import Suggester, SuggestFromList

from boxy_core.errors import BoxyError
from boxy_tui.later import later
from boxy_tui.widgets.fields import Message, Row, Switch
from boxy_tui.widgets.keybar import KeyBar, sign
from boxy_tui.wish import FIELDS, SWITCHES, Wish, completion, field_of, read_form

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp


class SuggestFlags(Suggester):
    """Completes a flag of `boxy run`; → takes it."""

    def __init__(self) -> None:
        super().__init__(case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The line with its last word completed."""
        return completion(value) or None


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
        suggest: dict[str, Suggester] = {"image": SuggestFromList(names), "flags": SuggestFlags()}
        with Vertical(id="form"):
            with VerticalScroll(can_focus=False):
                for name, label, hint in FIELDS:
                    value = self._image if name == "image" else ""
                    yield Row(name, label, hint, value, suggest.get(name))
            with Horizontal(classes="switches"):
                for name, label, on_ in SWITCHES:
                    yield Switch(label, on_, id=f"s-{name}", compact=True)
            yield Message([[(sign("space"), "key"), (" flips a switch", "dim")]])
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin where there is something to type."""
        self.query_one("#form").border_title = " New box "
        self.query_one("#f-command" if self._image else "#f-image").focus()

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss("")

    def _values(self) -> dict[str, str]:
        return {name: self.query_one(f"#r-{name}", Row).field.value for name, _, _ in FIELDS}

    def action_submit(self) -> None:
        """Check the fields and ask the daemon."""
        if self._busy:
            return
        for row in self.query(Row):
            row.clear()
        switches = {name: self.query_one(f"#s-{name}", Switch).value for name, _, _ in SWITCHES}
        try:
            wish = read_form(self._values(), switches)
        except BoxyError as error:
            self._complain(error)
            return
        self._busy = True
        self.run_worker(later(self._run, wish), exclusive=True)

    def _complain(self, error: BoxyError) -> None:
        """Say it beneath the field that it is about, or below all of them."""
        message = self.query_one("#form > Message", Message)
        if field := field_of(error, self._values()):
            message.say("")
            self.query_one(f"#r-{field}", Row).complain(error.message, error.hint)
        else:
            message.say(error.message, error.hint)

    async def _run(self, wish: Wish) -> None:
        say = self.query_one("#form > Message", Message).say
        try:
            await self.boxy.deeds.prepare(
                wish.spec["image"], lambda text: say(text, tone="accent"), quiet=True
            )
            say("making the box …", tone="accent")
            box = await self.boxy.deeds.create(wish.spec)
            if not wish.attach:
                box = await self.boxy.deeds.start(box)
        except BoxyError as error:
            self._complain(error)
            self._busy = False
        else:
            self.dismiss(box.id)
            if wish.attach:
                self.boxy.open_main(box)
