"""The footer: every key that works here, in as many lines as they need.

Constraint: made from the bindings in force, so that it can neither lie nor forget; a key that does
not fit the selected box is dim, and pressing it says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget

from boxy_tui.format import Cell
from boxy_tui.widgets.lines import Lines

SIGNS = {
    "space": "␣", "enter": "↵", "tab": "⇥", "escape": "esc", "slash": "/", "colon": ":",
    "question_mark": "?", "left_square_bracket": "[", "right_square_bracket": "]",
    "pageup": "pgup", "pagedown": "pgdn", "minus": "-", "plus": "+", "up": "↑", "down": "↓",
    "left": "←", "right": "→",
}  # fmt: skip


_WORDS = str.maketrans({"␣": "space", "↵": "enter", "⇥": "tab", "↑": "up", "↓": "down",
                        "←": "left", "→": "right"})  # fmt: skip


class _Spelling:
    """How keys are written: one way for the whole console, as for a terminal."""

    words = False


def spell_in_words() -> None:
    """Write keys as words from now on, for a terminal that has not their signs."""
    _Spelling.words = True


def spelled(text: str) -> str:
    """The signs of keys in a text as this terminal can show them."""
    return text.translate(_WORDS) if _Spelling.words else text


def sign(key: str) -> str:
    """How a key is written: `ctrl+]`, `␣`, `/`."""
    *mods, base = key.split("+")
    return spelled("+".join([*mods, SIGNS.get(base, base)]))


class Hint:
    """One entry: key, word, whether it fits now."""

    __slots__ = ("action", "fits", "key", "width", "word")

    def __init__(self, key: str, word: str, action: str, fits: bool) -> None:
        self.key, self.word, self.action, self.fits = key, word, action, fits
        self.width = cell_len(key) + 1 + len(word) + 2


def arrange(hints: Sequence[Hint], width: int) -> list[list[Hint]]:
    """Break the entries into lines of at most `width` cells."""
    lines: list[list[Hint]] = [[]]
    room = width - 1
    for hint in hints:
        if hint.width > room and lines[-1]:
            lines.append([])
            room = width - 1
        lines[-1].append(hint)
        room -= hint.width
    return lines


class KeyBar(Lines):
    """The keys of the screen that it is on."""

    DEFAULT_CSS: ClassVar[str] = "KeyBar { dock: bottom; height: auto; }"
    UNDER = "bar"

    def __init__(self) -> None:
        super().__init__()
        self._hints: list[Hint] = []
        self._asleep = False

    def on_mount(self) -> None:
        """Follow the bindings of the screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._renew)
        self.app.screen_change_signal.subscribe(self, self._other_screen)
        self.call_after_refresh(self.renew)

    def _renew(self, _screen: Screen[object]) -> None:
        self.renew()

    def _other_screen(self, _screen: Screen[object]) -> None:
        """Keys do nothing while another screen lies above: then none is shown."""
        self._asleep = self.app.screen is not self.screen
        self.repaint()

    def renew(self) -> None:
        """Collect the bindings that are to be shown."""
        if not self.is_attached:
            return
        hints, seen = [], set()
        for active in self.screen.active_bindings.values():
            binding: Binding = active.binding
            if not binding.show or (binding.action, binding.description) in seen:
                continue
            seen.add((binding.action, binding.description))
            key = spelled(binding.key_display or sign(binding.key))
            hints.append(Hint(key, binding.description, binding.action, self._fits(binding)))
        hints.sort(key=lambda hint: hint.key == "esc")  # the way out is last, wherever one is
        before = len(arrange(self._hints, self.size.width or 80))
        self._hints = hints
        if len(arrange(hints, self.size.width or 80)) != before:
            self.refresh(layout=True)
        self.repaint()

    def _fits(self, binding: Binding) -> bool:
        fits = getattr(self.screen, "fits", None)
        return fits is None or bool(fits(binding.action))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the keys need."""
        return max(len(arrange(self._hints, width)), self._beneath())

    def _beneath(self) -> int:
        """Lines of the footer under a dialog: its keys do not work now, so they are covered."""
        if not self.screen.is_modal:
            return 0
        under = self.app.screen_stack[:-1]
        return max((bar.size.height for screen in under for bar in screen.query(KeyBar)), default=0)

    def on_resize(self) -> None:
        """Notices stay above the footer."""
        super().on_resize()
        for rack in self.screen.query("ToastRack"):
            rack.styles.margin = (0, 0, self.size.height, 0)

    def line_cells(self, y: int) -> Sequence[Cell]:
        """One line of keys."""
        lines = arrange(self._hints, self.size.width)
        cells: list[Cell] = [(" ", "")]
        for hint in lines[y] if y < len(lines) and not self._asleep else []:
            cells += [
                (hint.key, "key" if hint.fits else "faint"),
                (f" {hint.word}  ", "text" if hint.fits else "faint"),
            ]
        return cells

    async def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does."""
        lines = arrange(self._hints, self.size.width)
        if event.y >= len(lines):
            return
        x = 1
        for hint in lines[event.y]:
            if x <= event.x < x + hint.width - 2:
                namespace: Widget | Screen[object] = self.screen.focused or self.screen
                if hint.action.split("(")[0].startswith("app."):
                    namespace = self.screen
                await self._act(hint.action, namespace)
                return
            x += hint.width

    async def _act(self, action: str, start: Widget | Screen[object]) -> None:
        for node in start.ancestors_with_self:
            name = action.partition("(")[0]
            if hasattr(node, f"action_{name}"):
                await self.app.run_action(action, node)
                return
        await self.app.run_action(action, self.screen)
