"""`boxy-registry quota`: show or set how many bytes a repository may hold."""

from __future__ import annotations

import argparse
import asyncio
import sys

from boxy_core.units import format_size, parse_size
from boxy_registry.commands import opened, settings_of, store_options
from boxy_registry.config import size


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("repository")
    parser.add_argument(
        "size", nargs="?", help="as 20g; `none`: without bound; `default`: the registry's"
    )


def run(chosen: argparse.Namespace) -> int:
    """Show or set; 0."""
    from boxy_registry.names import check_repository

    name = check_repository(chosen.repository)
    settings = settings_of(chosen)
    with opened(settings) as store:
        if chosen.size is not None:
            asyncio.run(store.set_quota(name, _quota_of(chosen.size.lower())))
        found = store.repository(name, even_empty=chosen.size is not None)
    held, own = found.size, found.quota
    bound = size(settings.limits.quota, "limits.quota") if own is None else own
    sys.stdout.write(
        f"{name} holds {format_size(held)} of {format_size(bound) if bound else 'any number'}\n"
    )
    return 0


def _quota_of(word: str) -> int | None:
    if word == "default":
        return None
    return 0 if word in ("none", "0") else parse_size(word)
