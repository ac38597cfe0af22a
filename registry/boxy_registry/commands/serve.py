"""`boxy-registry serve`: serve a store on an address until a signal says otherwise."""

from __future__ import annotations

import argparse

from boxy_registry.commands import settings_of, store_options


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options; docs/reference/registry.md has the settings of the file."""
    store_options(parser)
    add = parser.add_argument
    add("--listen", metavar="HOST:PORT", action="append", help="where (127.0.0.1:5000); repeatable")
    add("--workers", metavar="N", type=int, help="processes that serve (1)")
    add("--read-only", action="store_true", default=None, help="take no changes")
    add("--access-log", choices=("text", "json", "off"), help="a line for each request (text)")
    add("--log-level", choices=("debug", "info", "warning", "error"))


def run(chosen: argparse.Namespace) -> int:
    """Serve; 0 when asked to end."""
    from boxy_registry.workers import serve

    return serve(
        settings_of(
            chosen,
            listen=chosen.listen,
            workers=chosen.workers,
            read_only=chosen.read_only,
            access_log=chosen.access_log,
            log_level=chosen.log_level,
        )
    )
