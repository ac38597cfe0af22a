"""Which colours the console has: chosen by the user, kept between starts, else by the terminal.

    $XDG_STATE_HOME/boxy/console.json   {"theme": "light"}

Constraint: a file that cannot be read or written costs the choice, never the console.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from boxy_tui.palette import PALETTES

VARIABLE = "BOXY_THEME"
_MANY = ("256color", "kitty", "direct", "truecolor")
"""Ends of the names of terminals (TERM) that have more than 16 colours."""


def kept_in(environ: Mapping[str, str]) -> Path:
    """The file with the choice (XDG Base Directory Specification)."""
    state = environ.get("XDG_STATE_HOME", "")
    if not state.startswith("/"):
        state = str(Path(environ.get("HOME") or "/root") / ".local/state")
    return Path(state) / "boxy" / "console.json"


def chosen(environ: Mapping[str, str], wish: str = "") -> str:
    """The name of the set to begin with: `wish` (the command line's), BOXY_THEME, the one that was
    kept, or what suits the terminal."""
    for name in (wish, environ.get(VARIABLE, ""), _kept(environ)):
        if name in PALETTES:
            return name
    return suitable(environ)


def suitable(environ: Mapping[str, str]) -> str:
    """The set for a terminal of which we know its variables only."""
    if "NO_COLOR" in environ:
        return "grey"
    many = environ.get("COLORTERM") or environ.get("TERM", "").rpartition("-")[2] in _MANY
    return "dark" if many else "16"


def keep(environ: Mapping[str, str], name: str) -> None:
    """Remember the choice."""
    file = kept_in(environ)
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"theme": name}) + "\n", encoding="utf-8")
        fresh.replace(file)


def _kept(environ: Mapping[str, str]) -> str:
    try:
        found = json.loads(kept_in(environ).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    name = found.get("theme") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""
