"""`boxy-registry import`: take in an OCI layout, as a folder or tar archive."""

from __future__ import annotations

import argparse
import asyncio
import sys

from boxy_registry.commands import opened, settings_of, split_reference, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("source", help="a layout's folder, .tar or .tar.gz")
    parser.add_argument("target", metavar="NAME[:TAG]", help="the repository; TAG if it has one")


def run(chosen: argparse.Namespace) -> int:
    """Take it in; 0."""
    from boxy_registry.store.layout import import_

    name, tag = split_reference(chosen.target)
    with opened(settings_of(chosen), new=True) as store:
        tags = asyncio.run(import_(store, name, chosen.source, tag))
    sys.stdout.write("".join(f"{name}:{tag}\n" for tag in tags) or f"{name} (no tag)\n")
    return 0
