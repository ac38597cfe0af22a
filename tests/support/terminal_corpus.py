"""Recordings with tmux's screens, kept in tests/data/terminal: made here, read by the tests.

    BOXY_REFERENCE_TMUX=.../tmux python -m tests.support.terminal_corpus NAME FILE.cast
    BOXY_REFERENCE_TMUX=.../tmux python -m tests.support.terminal_corpus --streams

The first takes a recording by `boxy record` (its quiet moments become screens to compare), the
second draws streams of each family of sequences.  A file is gzipped JSON: a list of cases, each
with its size and steps: output (Latin-1 text for bytes), a new size, or a screen.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boxy_core import cast
from tests.support.terminal_fuzz import FAMILIES, Hunt, difference, ours
from tests.support.terminal_reference import Cell, Picture, Reference

FOLDER = Path(__file__).parents[1] / "data" / "terminal"
TAIL = "\0"
QUIET = 0.3
"""Seconds without output that make a moment to compare."""
MOST_SCREENS = 40
SEED = 7
STREAMS = 12


def load(path: Path) -> list[dict[str, Any]]:
    """The cases of a file."""
    cases: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return cases


def save(name: str, cases: list[dict[str, Any]]) -> None:
    """Write a file of cases."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(cases, ensure_ascii=False, separators=(",", ":"))
    (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def pack(picture: Picture) -> dict[str, Any]:
    """A picture as JSON: rows as runs of [style, characters], NUL for a wide one's right half."""
    return {
        "rows": [_runs(row) for row in picture.rows],
        "cursor": picture.cursor,
        "visible": picture.visible,
        "alternate": picture.alternate,
    }


def _runs(row: list[Cell]) -> list[list[Any]]:
    runs: list[list[Any]] = []
    for text, fg, bg, names in row:
        style = [fg, bg, *sorted(names)]
        if not runs or runs[-1][0] != style:
            runs.append([style, []])
        runs[-1][1].append(text or TAIL)
    while runs and runs[-1] == [[None, None], [" "] * len(runs[-1][1])]:
        runs.pop()
    return [[style, "".join(c) if max(map(len, c)) == 1 and TAIL not in c else c]
            for style, c in runs]  # fmt: skip


def unpack(data: dict[str, Any], columns: int) -> Picture:
    """The picture that was packed."""
    rows: list[list[Cell]] = []
    for packed in data["rows"]:
        row: list[Cell] = []
        for (fg, bg, *names), characters in packed:
            wide = not isinstance(characters, str)
            row += [("" if wide and c == TAIL else c, fg, bg, frozenset(names)) for c in characters]
        rows.append(row + [(" ", None, None, frozenset())] * (columns - len(row)))
    x, y = data["cursor"]
    return Picture(rows, [], (x, y), data["visible"], data["alternate"], [])


def of_recording(recording: cast.Recording) -> dict[str, Any]:
    """The case of a recording, with tmux's screen at its quiet moments."""
    case: dict[str, Any] = {"size": [recording.columns, recording.rows], "steps": []}
    with Reference(recording.columns, recording.rows) as reference:
        reference.reset()
        for kind, data in _moments(recording):
            if kind == cast.OUTPUT:
                reference.feed(data, whole=True)
                case["steps"].append(["o", data.decode("latin-1")])
            elif kind == cast.RESIZE:
                columns, lines = map(int, data.decode().split("x"))
                reference.resize(columns, lines)
                case["steps"].append(["r", [columns, lines]])
            else:
                case["steps"].append(["s", pack(reference.picture())])
    return case


def _moments(recording: cast.Recording) -> Iterator[tuple[str, bytes]]:
    waiting, screens = b"", 0
    following = [*recording.events[1:], cast.Event(1e9, "end", "")]
    for event, after in zip(recording.events, following, strict=True):
        if event.code == cast.OUTPUT:
            waiting += event.data.encode("utf-8", "replace")
        quiet = after.at - event.at >= QUIET
        if waiting and (quiet or after.code == cast.RESIZE):
            yield cast.OUTPUT, waiting
            waiting = b""
            if screens < MOST_SCREENS:
                screens += 1
                yield "s", b""
        if event.code == cast.RESIZE:
            yield cast.RESIZE, event.data.encode()


def streams() -> Iterator[dict[str, Any]]:
    """Cases of each family; those with a known difference of tmux are told and left out."""
    for name, pieces in FAMILIES.items():
        rng = random.Random(f"{SEED} {name}")
        for columns, lines in ((20, 6), (31, 9)):
            with Reference(columns, lines) as reference:
                hunt = Hunt(reference, columns, lines)
                for _ in range(STREAMS):
                    stream = [rng.choice(pieces)(rng) for _ in range(rng.randrange(4, 24))]
                    theirs = hunt.theirs(stream)
                    said = difference(ours(stream, columns, lines), theirs)
                    if said:
                        print(f"{name}: left out: {said}", file=sys.stderr)
                        continue
                    yield {"family": name, "size": [columns, lines], "pieces": stream,
                           "screen": pack(theirs)}  # fmt: skip


def main(words: list[str]) -> None:
    """Make a file."""
    if words == ["--streams"]:
        save("streams", list(streams()))
        return
    name, path = words
    with Path(path).open(encoding="utf-8") as lines:
        save(name, [of_recording(cast.read(lines, path))])


if __name__ == "__main__":
    main(sys.argv[1:])
