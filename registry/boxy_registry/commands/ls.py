"""`boxy-registry ls`: list repositories, or the tags of one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from boxy_core.units import format_age, format_size
from boxy_registry.commands import opened, settings_of, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("repository", nargs="?", help="whose tags to list")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(chosen: argparse.Namespace) -> int:
    """List; 0."""
    with opened(settings_of(chosen)) as store:
        if chosen.repository:
            found: Sequence[Any] = store.tags(chosen.repository)
        else:
            found = [store.repository(name) for name in store.repositories()]
    if chosen.json:
        sys.stdout.write(json.dumps([item._asdict() for item in found]) + "\n")
        return 0
    now = time.time()
    if chosen.repository:
        head = ("TAG", "DIGEST", "SIZE", "PUSHED")
        rows = [
            (tag.name, tag.digest[:19], format_size(tag.content), format_age(now - tag.pushed))
            for tag in found
        ]
    else:
        head = ("REPOSITORY", "TAGS", "SIZE", "PUSHED")
        rows = [
            (item.name, str(item.tags), format_size(item.size), format_age(now - item.pushed))
            for item in found
        ]
    sys.stdout.write(_table([head, *rows]))
    return 0


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines) + "\n"
