"""Recordings of real programs with another terminal's screens, when BOXY_TERMINAL_CORPUS has them.

The folder holds NAME.raw (bytes) and NAME.ref.json: `cols`, `rows`, `resizes` and `checkpoints`,
each of these with an `offset`, the `lines` as lists of [text, style] and the `cursor`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from boxy_tui.terminal.emulator import Emulator

CORPUS = os.environ.get("BOXY_TERMINAL_CORPUS", "")
NAMES = (
    sorted(path.name[: -len(".ref.json")] for path in Path(CORPUS).glob("*.ref.json"))
    if CORPUS
    else []
)


@pytest.mark.skipif(not NAMES, reason="BOXY_TERMINAL_CORPUS names no folder of recordings")
@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_that_of_the_other_terminal(name: str) -> None:
    wanted = json.loads(Path(CORPUS, f"{name}.ref.json").read_text())
    odd = _odd(name)
    data = Path(CORPUS, f"{name}.raw").read_bytes()
    term = Emulator(wanted["cols"], wanted["rows"])
    events = [(c["offset"], 0, i, c) for i, c in enumerate(wanted["checkpoints"])]
    events += [(r["offset"], 1, i, r) for i, r in enumerate(wanted["resizes"])]
    at = 0
    for offset, kind, index, event in sorted(events, key=lambda e: e[:3]):
        term.feed(data[at:offset])
        at = max(at, offset)
        if kind:
            term.resize(*event["resize"])
        elif not {event["label"], f"{index}:{event['label']}"} & odd:
            shown = ["".join(text for text, _style in line).rstrip() for line in event["lines"]]
            assert [row.rstrip() for row in term.display][: len(shown)] == shown, event["label"]


def _odd(name: str) -> set[str]:
    file = Path(CORPUS, "quirks.json")
    return set(json.loads(file.read_text()).get(name, {})) if file.exists() else set()


def test_pyte_s_own_stream_can_drive_the_screen() -> None:
    import pyte

    ours, stock = Emulator(40, 6), pyte.Screen(40, 6)
    data = b"one\r\n\x1b[31mtwo\x1b[0m\x1b[5;5Hfive\x1b[2D\x1b[1K\x1b[2;2r\x1b[6;1Hend\x1b[A\x1b[3@"
    pyte.ByteStream(ours.screen).feed(data)
    pyte.ByteStream(stock).feed(data)
    assert ours.display == stock.display
    assert (ours.cursor.x, ours.cursor.y) == (stock.cursor.x, stock.cursor.y)
    assert [char.fg for char in ours.screen.buffer[1][:4]] == ["red", "red", "red", "default"]
