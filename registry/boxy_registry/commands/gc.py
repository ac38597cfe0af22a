"""`boxy-registry gc`: remove what nothing refers to, while the registry serves."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from boxy_core.units import format_size, parse_duration
from boxy_registry.commands import opened, settings_of, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    add = parser.add_argument
    add("--grace", metavar="TIME", help="keep what a client asked for since (1h); 0: nothing")
    add("--untagged", action="store_true", help="also manifests that no tag leads to")
    add("--json", action="store_true", help="the result as JSON")


def run(chosen: argparse.Namespace) -> int:
    """Collect; 0."""
    from boxy_registry.store.collector import collect
    from boxy_registry.upkeep import rules_of

    settings = settings_of(chosen)
    rules = rules_of(settings.collection)
    if chosen.grace is not None:
        rules = dataclasses.replace(rules, grace=parse_duration(chosen.grace))
    if chosen.untagged:
        rules = dataclasses.replace(rules, untagged=True)
    with opened(settings) as store:
        swept = collect(store, rules)
    if chosen.json:
        sys.stdout.write(json.dumps(dataclasses.asdict(swept)) + "\n")
        return 0
    sys.stdout.write(
        f"removed {swept.manifests} manifests, {swept.blobs + swept.files} blobs"
        f" ({format_size(swept.bytes)}), {swept.links} links, {swept.uploads} uploads,"
        f" {swept.repositories} empty repositories\n"
    )
    return 0
