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
from tests.support import terminal_corpus, terminal_fuzz

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


KEPT = sorted(terminal_corpus.FOLDER.glob("*.json.gz"))
RECORDINGS = [path for path in KEPT if path.name != "streams.json.gz"]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.partition(".")[0])
def test_a_program_recorded_in_a_box_looks_as_in_tmux(path: Path) -> None:
    (case,) = terminal_corpus.load(path)
    columns, lines = case["size"]
    term = Emulator(columns, lines)
    screens = 0
    for kind, data in case["steps"]:
        if kind == "o":
            term.feed(data.encode("latin-1"))
        elif kind == "r":
            columns, lines = data
            term.resize(columns, lines)
        else:
            screens += 1
            theirs = terminal_corpus.unpack(data, columns)
            mine = terminal_fuzz.picture(term)
            assert not terminal_fuzz.difference(mine, theirs, history=False), screens
    assert screens > 3


def test_drawn_streams_look_as_in_tmux() -> None:
    cases = terminal_corpus.load(terminal_corpus.FOLDER / "streams.json.gz")
    families = {case["family"] for case in cases}
    assert families == set(terminal_fuzz.FAMILIES)
    for case in cases:
        columns, lines = case["size"]
        mine = terminal_fuzz.ours(case["pieces"], columns, lines)
        theirs = terminal_corpus.unpack(case["screen"], len(mine.rows[0]))
        said = terminal_fuzz.difference(mine, theirs, history=False)
        assert not said, (case["family"], case["pieces"], said)


def test_pyte_s_own_stream_can_drive_the_screen() -> None:
    import pyte

    ours, stock = Emulator(40, 6), pyte.Screen(40, 6)
    data = b"one\r\n\x1b[31mtwo\x1b[0m\x1b[5;5Hfive\x1b[2D\x1b[1K\x1b[2;2r\x1b[6;1Hend\x1b[A\x1b[3@"
    pyte.ByteStream(ours.screen).feed(data)
    pyte.ByteStream(stock).feed(data)
    assert ours.display == stock.display
    assert (ours.cursor.x, ours.cursor.y) == (stock.cursor.x, stock.cursor.y)
    assert [char.fg for char in ours.screen.buffer[1][:4]] == ["red", "red", "red", "default"]
