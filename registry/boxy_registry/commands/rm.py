"""`boxy-registry rm`: remove a repository, a tag or a manifest.

The room comes back with the next collection (`boxy-registry gc`).
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from boxy_core.errors import InvalidRequest
from boxy_registry.commands import opened, settings_of, split_reference, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("target", nargs="+", metavar="NAME[:TAG|@DIGEST]")
    parser.add_argument(
        "--all", action="store_true", help="a NAME alone means the whole repository"
    )


def run(chosen: argparse.Namespace) -> int:
    """Remove; 0."""
    from boxy_registry.names import is_digest

    targets = [split_reference(text) for text in chosen.target]
    for name, reference in targets:
        if not reference and not chosen.all:
            raise InvalidRequest(
                f"{name} names a whole repository", hint=f"say {name}:TAG, or add --all"
            )
    with opened(settings_of(chosen)) as store:
        for name, reference in targets:
            if not reference:
                asyncio.run(store.delete_repository(name))
            elif is_digest(reference):
                asyncio.run(store.delete_manifest(name, reference))
            else:
                asyncio.run(store.delete_tag(name, reference))
    sys.stdout.write("".join(f"{text}\n" for text in chosen.target))
    return 0
