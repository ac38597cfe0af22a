"""`boxy-registry export`: write a repository as an OCI layout."""

from __future__ import annotations

import argparse
import sys

from boxy_registry.commands import opened, settings_of, split_reference, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("source", metavar="NAME[:TAG]", help="all tags if none is given")
    parser.add_argument("target", help="a new folder, or a file that ends in .tar")


def run(chosen: argparse.Namespace) -> int:
    """Write it; 0."""
    from boxy_registry.store.layout import export

    name, tag = split_reference(chosen.source)
    with opened(settings_of(chosen)) as store:
        count = export(store, name, [tag] if tag else [], chosen.target)
    sys.stdout.write(f"{chosen.target}: {count} blobs\n")
    return 0
