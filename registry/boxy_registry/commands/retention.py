"""`boxy-registry retention`: show which tags the rules let go; with --apply remove them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from boxy_core.errors import InvalidRequest
from boxy_core.units import format_age
from boxy_registry import retention
from boxy_registry.commands import settings_of, store_options
from boxy_registry.config import span
from boxy_registry.sections import Retention
from boxy_registry.store import Store


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options; without a rule of their own, those of the settings file count."""
    store_options(parser)
    add = parser.add_argument
    add("--apply", action="store_true", help="remove them; without this they are only shown")
    add("--dry-run", action="store_true", help="only show them (the default)")
    add("--repositories", metavar="PATTERN", default="*", help="which repositories (*)")
    add("--keep-last", metavar="N", type=int, default=0, help="keep the newest N tags")
    add("--keep", metavar="PATTERN", action="append", default=[], help="keep tags of this name")
    add("--keep-younger", metavar="TIME", default="0", help="keep what was pushed within: 30d")


def run(chosen: argparse.Namespace) -> int:
    """Show or remove."""
    if chosen.apply and chosen.dry_run:
        raise InvalidRequest("--apply and --dry-run contradict each other", hint="give one of them")
    settings = settings_of(chosen)
    rules = _rules(chosen) or settings.retention
    if not rules:
        raise InvalidRequest(
            "there is no rule of retention", hint="--keep-last 10, or [[retention]] in the settings"
        )
    store = Store(settings.root, grace=span(settings.collection.grace, "collection.grace"))
    try:
        doomed = retention.plan(store, rules)
        now = time.time()
        for one in doomed:
            age = format_age(max(0.0, now - one.tag.pushed))
            sys.stdout.write(f"{one.repository}:{one.tag.name}\tpushed {age} ago\n")
        if chosen.apply:
            asyncio.run(_apply(store, doomed))
    finally:
        store.close()
    verb = "removed" if chosen.apply else "would go; --apply removes them"
    sys.stderr.write(f"{len(doomed)} tags {verb}\n")
    return 0


async def _apply(store: Store, doomed: list[retention.Doomed]) -> None:
    for one in doomed:
        await retention.remove(store, one)


def _rules(chosen: argparse.Namespace) -> tuple[Retention, ...]:
    if not (chosen.keep_last or chosen.keep or chosen.keep_younger != "0"):
        return ()
    return (
        Retention(
            repositories=chosen.repositories,
            keep_last=chosen.keep_last,
            keep=tuple(chosen.keep),
            keep_younger=chosen.keep_younger,
        ),
    )
