"""How far a registry is trusted: which certificates are believed, and whether any is asked for.

Constraint: the machine's certificates always count; more come only from folders that the user
put them into, one for each host.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import NamedTuple

from boxy_core.errors import ImageError


class Trust(NamedTuple):
    """How a registry is spoken to."""

    insecure: bool = False
    """plain http, or https without a look at the certificate"""
    certs: tuple[str, ...] = ()
    """folders that hold HOST/ca.crt"""


NO_TRUST = Trust()


def ssl_context(host: str, trust: Trust) -> ssl.SSLContext:
    """The machine's certificates, and those that were put down for this host."""
    context = ssl.create_default_context()
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for folder in trust.certs:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(f"{folder}/{host}")):
                if name.endswith(".crt"):
                    _load(context, f"{folder}/{host}/{name}")
    return context


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise ImageError(f"{path} is no certificate: {error}", hint="it must be PEM") from None
