"""The commands of `boxy-registry`, a module each; `main.COMMANDS` lists them."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from boxy_core.errors import NotFound
from boxy_registry.config import Settings, load, path_of, size, span

if TYPE_CHECKING:
    from boxy_registry.store import Store


def store_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that works on a store."""
    parser.add_argument("--root", metavar="DIR", help="the store (/var/lib/boxy-registry)")
    parser.add_argument(
        "--config", metavar="FILE", help="settings in TOML (BOXY_REGISTRY_CONFIG, none)"
    )


def settings_of(options: argparse.Namespace, **flags: Any) -> Settings:
    """The settings by file and flags.  Raises InvalidRequest."""
    return load(path_of(options.config), {"root": options.root, **flags})


@contextlib.contextmanager
def opened(settings: Settings, *, new: bool = False) -> Iterator[Store]:
    """The store, for a command beside those that serve it.

    Raises NotFound if there is none and it is no `new` one, so that a misspelt --root makes none.
    """
    from boxy_registry.store import Store

    if not new and not os.path.exists(f"{settings.root}/registry.db"):
        raise NotFound(
            f"there is no store at {settings.root}", hint="say where with --root, or in --config"
        )
    store = Store(
        settings.root,
        grace=span(settings.collection.grace, "collection.grace"),
        quota=size(settings.limits.quota, "limits.quota"),
    )
    try:
        yield store
    finally:
        store.close()


def split_reference(text: str) -> tuple[str, str]:
    """`name`, `name:tag` or `name@digest` as (name, reference), the latter "" if not given."""
    from boxy_registry.names import check_digest, check_repository, check_tag

    name, at, digest = text.partition("@")
    if at:
        return check_repository(name), check_digest(digest)
    name, colon, tag = text.partition(":")
    return check_repository(name), check_tag(tag) if colon else ""
