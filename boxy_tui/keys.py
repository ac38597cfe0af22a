"""Every key of the console, gathered from the bindings: for help, palette and documentation.

Constraint: nothing is listed here that is not bound, and nothing bound is left out; the reference
page docs/reference/keys.md is made from this and a test compares them.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from textual.binding import Binding

from boxy_tui.format import Cell
from boxy_tui.panes.session import PREFIX_KEYS, SCROLL_KEYS
from boxy_tui.screens.first import BoxTable, ImageTable
from boxy_tui.screens.main import MainScreen
from boxy_tui.widgets.keybar import sign
from boxy_tui.widgets.table import Table


class Key(NamedTuple):
    """A key: how it is written, one word, a sentence, the action behind it."""

    key: str
    word: str
    sentence: str
    action: str


def _of(cls: type, owner: type | None = None) -> Iterator[Key]:
    for binding in cls.__dict__.get("BINDINGS", ()):
        if not isinstance(binding, Binding):
            continue
        name = binding.action.rpartition(".")[2].partition("(")[0]
        method = getattr(owner or cls, f"action_{name}", None)
        if method is None:
            from boxy_tui.app import BoxyApp

            method = getattr(BoxyApp, f"action_{name}", None)
        doc = (inspect.getdoc(method) or binding.description).partition("\n")[0].rstrip(".")
        shown = binding.key_display or " ".join(sign(key) for key in binding.key.split(","))
        word = binding.description
        yield Key(shown, word[:1].lower() + word[1:], doc, binding.action)


def _digits_as_one(keys: Iterator[Key]) -> Iterator[Key]:
    """Digits in a row that do the same by their number are one key, `0-9`."""
    for alike, group in itertools.groupby(keys, lambda key: key.key.isdigit() and key.sentence):
        run = list(group)
        if alike:
            yield run[0]._replace(key=f"{run[0].key}-{run[-1].key}")
        else:
            yield from run


def sections() -> list[tuple[str, list[Key]]]:
    """All keys, in the order in which one meets them."""
    from boxy_tui.screens.files import FilesScreen, FileTable
    from boxy_tui.screens.reading import LogsScreen, ReadingScreen
    from boxy_tui.screens.registry import RegistryScreen, RegistryTable
    from boxy_tui.screens.replay import ReplayScreen
    from boxy_tui.screens.volumes import VolumesScreen, VolumeTable
    from boxy_tui.widgets.textview import TextView

    prefix = [Key(f"ctrl+] {k}", w, s, "") for k, w, s in PREFIX_KEYS.values()]
    prefix.append(Key("ctrl+] 1-9", "go", "The pane of that number", ""))
    scroll = [Key(key, word, sentence, "") for key, word, sentence in SCROLL_KEYS.values()]
    replay = list(_digits_as_one(_of(ReplayScreen)))
    return [
        ("Boxes", list(_of(BoxTable, MainScreen))),
        ("Images", list(_of(ImageTable, MainScreen))),
        ("Everywhere on the first screen", list(_of(MainScreen))),
        ("Moving in a table", list(_of(Table))),
        ("In a pane: all keys go to the program, except", prefix),
        ("Scroll mode of a pane", scroll),
        ("Replay of a recording", replay),
        ("A box's files", [*_of(FileTable, FilesScreen), *_of(FilesScreen)]),
        ("Volumes", [*_of(VolumeTable, VolumesScreen), *_of(VolumesScreen)]),
        ("Looking into a registry", [*_of(RegistryTable, RegistryScreen), *_of(RegistryScreen)]),
        ("Log and inspect", [*_of(ReadingScreen), *_of(LogsScreen), *_of(TextView)]),
    ]


def section_of(screen: object) -> str:
    """The title of the section about a screen's keys, "" for the first."""
    titles = {
        "PanesScreen": "In a pane: all keys go to the program, except",
        "ReplayScreen": "Replay of a recording",
        "FilesScreen": "A box's files",
        "ChangesScreen": "A box's files",
        "VolumesScreen": "Volumes",
        "RegistryScreen": "Looking into a registry",
    }
    if isinstance(screen, MainScreen) and screen.images.display:
        return "Images"
    return titles.get(type(screen).__name__, "")


def help_rows() -> list[list[Cell]]:
    """The help screen's lines."""
    rows: list[list[Cell]] = []
    for title, keys in sections():
        rows += [[], [(title, "accent-bold")]]
        for key in keys:
            rows.append([(f"  {key.key:<14}", "key"), (f"{key.word:<14}", "text"),
                         (key.sentence, "dim")])  # fmt: skip
    return rows[1:]


def commands() -> Iterator[tuple[str, str, str]]:
    """Entries of the command palette: title, sentence, action."""
    for title, keys in sections()[:3]:
        kind = {"Boxes": "Box: ", "Images": "Image: "}.get(title, "")
        for key in keys:
            if "command_palette" not in key.action:
                word = f"{kind}{key.word}"
                yield word[:1].upper() + word[1:], f"{key.sentence}  ({key.key})", key.action


def as_markdown() -> str:
    """The page docs/reference/keys.md."""
    lines = [
        "# Keys of the console",
        "",
        "Made from the console's own bindings by `python docs/generate_keys.py`; do not edit.",
        "The footer shows the keys that work where you are; `?` shows all of them.",
    ]
    for title, keys in sections():
        lines += ["", f"## {title}", "", "| Key | | What it does |", "|---|---|---|"]
        for key in keys:
            lines.append(
                f"| `{key.key.replace('|', chr(92) + '|')}` | {key.word} | {key.sentence} |"
            )
    return "\n".join([*lines, ""])
