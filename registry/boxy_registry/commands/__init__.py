"""The commands of `boxy-registry`, a module each; `main.COMMANDS` lists them."""

from __future__ import annotations

import argparse
from typing import Any

from boxy_registry.config import Settings, load, path_of


def store_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that works on a store."""
    parser.add_argument("--root", metavar="DIR", help="the store (/var/lib/boxy-registry)")
    parser.add_argument(
        "--config", metavar="FILE", help="settings in TOML (BOXY_REGISTRY_CONFIG, none)"
    )


def settings_of(options: argparse.Namespace, **flags: Any) -> Settings:
    """The settings by file and flags.  Raises InvalidRequest."""
    return load(path_of(options.config), {"root": options.root, **flags})
