"""`boxy-registry backup`: copy the whole store, while it serves.

The copy is a store: `boxy-registry serve --root COPY` serves it.
"""

from __future__ import annotations

import argparse
import sys

from boxy_core.units import format_size
from boxy_registry.commands import opened, settings_of, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("target", help="a folder: empty, or an older backup, which is renewed")
    parser.add_argument(
        "--link", action="store_true", help="second names instead of copies (same file system)"
    )


def run(chosen: argparse.Namespace) -> int:
    """Copy; 0."""
    from boxy_registry.store.backup import back_up

    with opened(settings_of(chosen)) as store:
        saved = back_up(store, chosen.target, link=chosen.link)
    sys.stdout.write(
        f"{chosen.target}: {saved.blobs} blobs, {saved.copied} of them new"
        f" ({format_size(saved.bytes)}), {saved.removed} old ones removed\n"
    )
    return 0
