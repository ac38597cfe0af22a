"""The parts of a form: a labelled line to type, a switch, and what is wrong, said beneath."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Label

from boxy_tui.folding import fold
from boxy_tui.format import Cell, plain
from boxy_tui.widgets.lines import Lines


class Message(Lines):
    """What is wrong, or what is being done: as many lines as the words need."""

    DEFAULT_CSS: ClassVar[str] = "Message { height: 2; max-height: 6; }"
    LEAST = 2

    def __init__(self, rows: list[list[Cell]] | None = None) -> None:
        super().__init__()
        self.rows = rows or []

    def say(self, text: str, hint: str = "", tone: str = "bad") -> None:
        """Show a sentence and a hint."""
        width = self.size.width or 60
        sign = "✖ " if tone == "bad" and text else ""
        self.rows = [
            *fold([(sign + plain(text), tone)], width, len(sign)),
            *(fold([(" " * len(sign) + plain(hint), "dim")], width, len(sign)) if hint else []),
        ]
        self.styles.height = max(self.LEAST, len(self.rows))
        self.repaint()

    def line_cells(self, y: int) -> list[Cell]:
        """One of the lines."""
        return self.rows[y] if y < len(self.rows) else []


class Complaint(Message):
    """What is wrong with the field above; not there when nothing is."""

    DEFAULT_CSS: ClassVar[str] = (
        "Complaint { height: auto; margin-left: 13; display: none; max-height: 5; }"
    )
    LEAST = 1


class Field(Input):
    """A line of the form; Enter is the form's, after the letters that were typed before it.

    Args:
        deed: what Enter does, in the footer.
        more: what Input takes.
    """

    def __init__(self, deed: str, **more: Any) -> None:
        super().__init__(**more)
        self._bindings.key_to_bindings["enter"] = [Binding("enter", "screen.submit", deed)]

    async def _on_key(self, event: events.Key) -> None:
        """Do what a key is bound to at once.

        Textual looks for bindings when a key has gone up to the application and back, so letters
        behind a ctrl+u or a backspace, typed in one burst, would overtake it.
        """
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)
            return
        await super()._on_key(event)


class Row(Widget):
    """A label, its field, and beneath it what is wrong with what was typed.

    The field's id is `f-NAME`.
    """

    DEFAULT_CSS: ClassVar[str] = "Row { layout: vertical; height: auto; }"

    def __init__(
        self, name: str, label: str, hint: str, value: str = "", suggest: Suggester | None = None,
        deed: str = "run",
    ) -> None:  # fmt: skip
        super().__init__(id=f"r-{name}")
        self._label = label
        self.field = Field(
            deed, value=value, placeholder=hint, id=f"f-{name}", compact=True, suggester=suggest
        )  # fmt: skip

    def compose(self) -> ComposeResult:
        """One line, and one or more where something is wrong."""
        with Horizontal(classes="field"):
            yield Label(self._label)
            yield self.field
        yield Complaint()

    def complain(self, text: str, hint: str) -> None:
        """Say beneath the field what is wrong, and put the cursor there."""
        self.field.focus()
        complaint = self.query_one(Complaint)
        complaint.display = True
        self.call_after_refresh(complaint.say, text, hint)

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.query_one(Complaint).display = False


class Switch(Checkbox, inherit_bindings=False):
    """A checkbox whose states differ in shape too, not by colour alone; Enter is the form's."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle_button", show=False)]

    def on_mount(self) -> None:
        """Begin with the right sign."""
        self.watch(self, "value", self._sign)

    def _sign(self, value: bool) -> None:
        self.BUTTON_INNER = "✔" if value else " "
        self.refresh()
