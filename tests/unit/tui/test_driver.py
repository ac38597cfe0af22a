"""Input bytes become keys, and none is lost on the way to a pane."""

from __future__ import annotations

import asyncio
import os
import threading
import tty
from types import SimpleNamespace
from typing import Any

import pytest
from textual.message import Message

from boxy_tui.driver import Driver, Parser
from boxy_tui.terminal.keys import encode_key
from tests.support.waiting import eventually


def _keys(typed: str) -> list[tuple[str, str | None]]:
    parser = Parser()
    got: list[Any] = list(parser.feed(typed))
    got += parser.feed("")
    return [(event.key, event.character) for event in got]


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("\x1b:wq\r", b"\x1b:wq\r"),
        ("\x1b\r", b"\x1b\r"),
        ("\x1bx", b"\x1bx"),
        ("\x1bX", b"\x1bX"),
        ("\x1b ", b"\x1b "),
        ("\x1b", b"\x1b"),
        (":", b":"),
        ("\x1b[1;2R\x1b[1;6R", b"\x1b[1;2R\x1b[1;6R"),  # not a report of the cursor's place
    ],
)
def test_escape_and_what_follows_reach_the_program(typed: str, sent: bytes) -> None:
    assert b"".join(encode_key(key, character) for key, character in _keys(typed)) == sent


class Listening(Driver):
    """On a pseudo-terminal; what it reads is kept."""

    def process_message(self, message: Message) -> None:
        self._app.messages.append(message)  # type: ignore[attr-defined]

    def _disable_mouse_support(self) -> None:
        """There is nobody to write to."""


async def listening(app: Any) -> Listening:
    return Listening(app)


def test_the_thread_sleeps_until_something_is_typed_and_ends_when_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    app: Any = SimpleNamespace(messages=[], is_headless=False)
    with open(slave, "rb", buffering=0) as typed:
        monkeypatch.setattr("sys.__stdin__", typed)
        monkeypatch.setattr("signal.signal", lambda *_: None)
        driver = asyncio.run(listening(app))
        thread = driver._key_thread = threading.Thread(target=driver.run_input_thread, daemon=True)
        thread.start()
        os.write(master, b"a\xff\x1b")
        eventually(lambda: len(app.messages) == 3, what="the ESC alone, which nothing follows")
        driver.disable_input()
        assert not thread.is_alive()
        driver.close()
        driver.disable_input()
    os.close(master)
    assert [event.key for event in app.messages] == ["a", "replacement_character", "escape"]
