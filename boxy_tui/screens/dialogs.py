"""Small screens above the others: a question, a line to type, help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from boxy_tui.folding import fold
from boxy_tui.format import Cell
from boxy_tui.widgets.keybar import KeyBar, sign
from boxy_tui.widgets.lines import Lines


class FoldedWords(Lines):
    """Lines of cells whose last cell is broken between words where the line is too long."""

    def __init__(self, rows: Sequence[Sequence[Cell]]) -> None:
        super().__init__()
        self._rows = rows
        self._folded: list[list[Cell]] = []
        self.styles.height = max(1, len(rows))

    def on_resize(self) -> None:
        """Fold anew."""
        self._folded = []
        for row in self._rows:
            indent = sum(len(text) for text, _ in row[:-1])
            self._folded += fold(row, self.size.width, indent)
        self.styles.height = max(1, len(self._folded))
        self.repaint()

    def place_of(self, title: str) -> int:
        """The number of the line that begins with these words; 0 if there is none."""
        for y, line in enumerate(self._folded):
            if "".join(text for text, _ in line).startswith(title[: self.size.width]):
                return y
        return 0

    def line_cells(self, y: int) -> Sequence[Cell]:
        """One of the folded lines."""
        return self._folded[y] if y < len(self._folded) else []


class ConfirmScreen(ModalScreen[bool]):
    """Asks before something is lost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no", key_display="n"),
    ]

    def __init__(self, question: str, detail: Sequence[str], yes: str) -> None:
        super().__init__()
        self._question = question
        self._detail = detail
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Question, what would happen, the two keys."""
        rows: list[list[Cell]] = [[(self._question, "bright")], []]
        rows += [[(line, "dim")] for line in self._detail]
        rows += [
            [],
            [
                (" y ", "badge-bad"),
                (f" {self._yes}    ", "text"),
                (" n ", "badge"),
                (" no", "text"),
            ],
        ]
        with Vertical(id="dialog", classes="danger"):
            yield FoldedWords(rows)
        yield KeyBar()

    def action_answer(self, answer: bool) -> None:
        """Yes or no."""
        self.dismiss(answer)


class ChoiceScreen(ModalScreen[str]):
    """Asks which of a few things is meant; "" when none is.

    `choices` are (key, answer, words).
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,n", "leave", "leave")]

    def __init__(self, question: str, choices: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._question = question
        self._choices = choices

    def compose(self) -> ComposeResult:
        """The question, a line for each choice."""
        rows: list[list[Cell]] = [[(self._question, "bright")], []]
        rows += [[(f" {key} ", "badge"), (f" {words}", "text")] for key, _, words in self._choices]
        rows += [[], [(" esc ", "badge"), (" leave", "text")]]
        with Vertical(id="dialog"):
            yield FoldedWords(rows)
        yield KeyBar()

    def on_key(self, event: events.Key) -> None:
        """One of the choices' keys."""
        for key, answer, _ in self._choices:
            if event.key == key:
                event.stop()
                self.dismiss(answer)

    def action_leave(self) -> None:
        """None of them."""
        self.dismiss("")


class AskScreen(ModalScreen[str]):
    """Asks for a line; "" when it was given up (None, if an `empty` line is an answer too)."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave")]

    def __init__(self, question: str, hint: str, *, empty: bool = False) -> None:
        super().__init__()
        self._empty = empty
        self._question = question
        self._hint = hint

    def compose(self) -> ComposeResult:
        """The question and a field."""
        with Vertical(id="dialog"):
            yield FoldedWords([[(self._question, "bright")]])
            yield Input(placeholder=self._hint, id="line", compact=True)
            yield FoldedWords(
                [
                    [
                        (sign("enter"), "key"),
                        (" go on   ", "text"),
                        ("esc", "key"),
                        (" leave", "text"),
                    ]
                ]
            )
        yield KeyBar()

    @on(Input.Submitted)
    def _entered(self, message: Input.Submitted) -> None:
        self.dismiss(message.value.strip())

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss(None if self._empty else "")


class HelpScreen(ModalScreen[None]):
    """All keys, made from the bindings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "back", key_display="esc"),
    ]

    def __init__(self, rows: Sequence[Sequence[Cell]], section: str = "") -> None:
        super().__init__()
        self._rows = rows
        self._section = section

    def compose(self) -> ComposeResult:
        """A window that scrolls."""
        with VerticalScroll(id="help"):
            yield FoldedWords(self._rows)
        yield KeyBar()

    def on_mount(self) -> None:
        """Say whose help it is."""
        self.query_one("#help").border_title = " Keys "
        if self._section:
            self.call_after_refresh(self._go_to_section)

    def _go_to_section(self) -> None:
        place = self.query_one(FoldedWords).place_of(self._section)
        self.query_one("#help").scroll_to(y=place, animate=False)
