"""What the first screen says where there is nothing to show, and when the daemon is lost."""

from __future__ import annotations

from collections.abc import Sequence

from boxy_tui.format import Cell, plain
from boxy_tui.state import Link, State
from boxy_tui.widgets.keybar import sign

Rows = Sequence[Sequence[Cell]]


def no_boxes(*, filtered: bool, live: bool) -> Rows:
    """In place of boxes; nothing as long as the daemon has not said which there are."""
    if filtered:
        return _no_match("box")
    if not live:
        return []
    return [
        [("   There are no boxes yet.", "text")],
        [],
        [("   n", "key"), ("  runs a new one", "dim")],
        [(f"   {sign('tab')}", "key"), ("  shows the images", "dim")],
        [("   ?", "key"), ("  explains everything", "dim")],
    ]


def no_images(*, filtered: bool) -> Rows:
    """In place of images."""
    if filtered:
        return _no_match("image")
    return [
        [
            ("   no image; put a folder with an image.json on the registry path, or ", "dim"),
            ("b", "key"),
            (" pulls one", "dim"),
        ]
    ]


def _no_match(what: str) -> Rows:
    words = f"   no {what} matches the filter · "
    return [[(words, "dim"), ("esc", "key"), (" clears it", "dim")]]


def trouble(state: State) -> list[list[Cell]]:
    """That the daemon is lost or was never there, and what to do; nothing when all is well."""
    if state.trouble is None or state.link is Link.LIVE:
        return []
    hint = plain(state.trouble.hint)
    rows: list[list[Cell]] = [[(" ✖ ", "bad"), (plain(state.trouble.message), "bright")]]
    if hint:
        rows.append([("   ", ""), (hint[:1].upper() + hint[1:], "accent")])
    if state.ever_live:
        rows.append([("   Boxes and open panes go on without it. Trying again … ", "dim"),
                     ("ctrl+r", "key"), (" now", "dim")])  # fmt: skip
    else:
        rows.append([("   The console goes on trying; ", "dim"), ("ctrl+r", "key"),
                     (" tries now, ", "dim"), ("q", "key"), (" leaves.", "dim")])  # fmt: skip
    return rows
