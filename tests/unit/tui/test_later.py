"""What the console's workers do is begun by them, not before."""

from __future__ import annotations

import re
from pathlib import Path

import boxy_tui
from boxy_tui.later import later


async def test_nothing_is_made_before_the_worker_begins() -> None:
    done: list[tuple[int, str]] = []

    async def work(number: int, *, word: str) -> None:
        done.append((number, word))

    later(work, 1, word="never begun")  # a coroutine left here would be warned of: an error
    await later(work, 2, word="begun")()
    assert done == [(2, "begun")]


def test_no_worker_is_given_a_coroutine() -> None:
    """One that is cancelled before it began would leave it, never awaited."""
    given: list[str] = []
    for path in sorted(Path(boxy_tui.__file__).parent.rglob("*.py")):
        given += re.findall(r"run_worker\(\s*([\w.]+\(?)", path.read_text())
    assert len(given) > 20
    assert [call for call in given if call.endswith("(") and call != "later("] == []
