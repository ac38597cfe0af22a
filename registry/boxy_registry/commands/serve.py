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
    add("--auth", action="store_true", help="ask who it is; see `boxy-registry user` and `access`")
    add("--tls-cert", metavar="FILE", help="certificate (chain) in PEM; with --tls-key: serve TLS")
    add("--tls-key", metavar="FILE", help="its key")
    add("--folders", metavar="DIR", action="append",
        help="registry folder whose NAME/image.json can be pulled; repeatable")  # fmt: skip
    add("--mirror", metavar="HOST[:PORT]", action="append",
        help="fetch what is not here from this registry, and keep it; repeatable")  # fmt: skip
    add("--access-log", choices=("text", "json", "off"), help="a line for each request (text)")
    add("--log-level", choices=("debug", "info", "warning", "error"))


def run(chosen: argparse.Namespace) -> int:
    """Serve; 0 when asked to end."""
    from boxy_registry.lean import put_off_the_client

    put_off_the_client()
    from boxy_registry.workers import serve

    return serve(
        settings_of(
            chosen,
            listen=chosen.listen,
            workers=chosen.workers,
            read_only=chosen.read_only,
            access_log=chosen.access_log,
            auth={"enabled": True} if chosen.auth else None,
            tls=_given(cert=chosen.tls_cert, key=chosen.tls_key),
            folders=chosen.folders,
            mirror=[{"upstream": host} for host in chosen.mirror] if chosen.mirror else None,
            log_level=chosen.log_level,
        )
    )


def _given(**values: str | None) -> dict[str, str] | None:
    """Those of a group that were given."""
    found = {name: value for name, value in values.items() if value is not None}
    return found or None
