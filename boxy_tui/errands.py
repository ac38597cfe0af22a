"""What a key asks for, from the question to the notice: is it meant, do it, say how it went.

Constraint: between the keys (screens) and the requests (`deeds.py`); only what could lose
something asks first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from boxy_core.errors import BoxyError
from boxy_core.models import ALIVE, Box, Image
from boxy_tui.deeds import PAST
from boxy_tui.format import plain
from boxy_tui.later import later

if TYPE_CHECKING:
    from boxy_tui.app import BoxyApp


class Errands:
    """Runs them for the application."""

    def __init__(self, app: BoxyApp) -> None:
        self._app = app

    def do(self, verb: str, boxes: Sequence[Box]) -> None:
        """Do it, after a question where something would be lost."""
        if verb not in ("kill", "remove"):
            self._app.run_worker(later(self._do, verb, boxes))
            return
        names = [plain(box.name) for box in boxes]
        what = names[0] if len(names) == 1 else f"{len(names)} boxes"
        alive = [plain(box.name) for box in boxes if box.status in ALIVE]
        detail = [", ".join(names[:8]) + (" …" if len(names) > 8 else "")] if len(names) > 1 else []
        if verb == "remove":
            detail.append("What was written in it is lost.")
            if alive:
                detail.append(f"Still running, will be killed: {', '.join(alive[:5])}")
        else:
            detail.append("It gets SIGKILL, with no chance to save anything; s stops it gently.")
        self._ask(f"{verb.capitalize()} {what}?", detail, verb, partial(self._do, verb, boxes))

    def _ask(
        self, question: str, detail: Sequence[str], yes: str, then: Callable[[], Awaitable[None]]
    ) -> None:
        from boxy_tui.screens.dialogs import ConfirmScreen

        def answered(answer: bool | None) -> None:
            if answer:
                self._app.run_worker(then)

        self._app.push_screen(ConfirmScreen(question, detail, yes), answered)

    async def _do(self, verb: str, boxes: Sequence[Box]) -> None:
        failed = await self._app.deeds.do(verb, boxes)
        for _, error in failed[:3]:
            self._app.complain(error)
        done = len(boxes) - len(failed)
        if done and verb != "pause":
            what = plain(boxes[0].name) if len(boxes) == 1 else f"{done} boxes"
            self._app.notify(f"{what} {PAST[verb]}", markup=False, timeout=2)
        self._app.main.boxes.marks.clear()
        self._app.changed()

    def prepare(self, image: Image) -> None:
        """Unpack an image, and say how it goes."""
        self._app.run_worker(later(self._prepare, image.name), exclusive=True, group="prepare")

    async def _prepare(self, name: str) -> None:
        said: list[str] = []

        def say(text: str) -> None:
            if not said:
                self._app.say(text)
            said.append(text)

        try:
            await self._app.deeds.prepare(name, say)
        except BoxyError as error:
            self._app.complain(error)
        else:
            self._app.say(f"{name} is ready.")

    def remove_image(self, image: Image) -> None:
        """Forget an image and free what only it had."""
        detail = ["Layers that no other image and no box has are freed."]
        if not image.digest:
            detail.append("The registry folder stays; its next use unpacks it.")
        self._ask(
            f"Remove the image {plain(image.name)}?", detail, "remove",
            partial(self._remove_image, image.name),
        )  # fmt: skip

    async def _remove_image(self, name: str) -> None:
        try:
            await self._app.deeds.remove_image(name)
        except BoxyError as error:
            self._app.complain(error)
        else:
            self._app.say(f"{name} is removed.")
