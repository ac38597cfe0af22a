"""TLS: a certificate that is read again when it changes, without a connection being lost.

Constraint: certificate and key are two files that are replaced one after the other.  A pair that
does not fit is never put in force: the old one stays until the new one is whole.
"""

from __future__ import annotations

import functools
import logging
import os
import ssl

from boxy_core.errors import InvalidRequest
from boxy_registry.parts import Parts
from boxy_registry.sections import Tls
from boxy_registry.services import repeated

LOOK_EVERY = 2.0
_PROTOCOLS = ["http/1.1"]

log = logging.getLogger("boxy_registry.tls")


def extend(parts: Parts) -> None:
    """Serve TLS if the settings name a certificate."""
    wanted = parts.settings.tls
    if not wanted.cert and not wanted.key:
        return
    certificate = Certificate(wanted)
    parts.tls = certificate.context
    parts.reloaders.append(certificate.reload)
    parts.services.append(functools.partial(repeated, LOOK_EVERY, certificate.look))


class Certificate:
    """The pair of files, and the context that serves it."""

    def __init__(self, wanted: Tls) -> None:
        """Raises InvalidRequest if the pair cannot be used."""
        self._files = (wanted.cert, wanted.key or wanted.cert)
        try:
            self.context = _context(*self._files)
        except (OSError, ssl.SSLError) as error:
            raise InvalidRequest(
                f"the certificate {wanted.cert} with the key {wanted.key} cannot be used: {error}",
                hint="both in PEM, and of one pair",
            ) from None
        self._stamp = self._now()

    async def look(self) -> None:
        """Read the files again if they have changed."""
        now = self._now()
        if now != self._stamp:
            self._stamp = now
            self.reload()

    def reload(self) -> None:
        """Put the pair in force that lies there now, if it fits."""
        try:
            _context(*self._files)  # tried on another context first: that one may be spoiled
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            log.error("the certificate stays as it was: %s", error)
        else:
            log.info("the certificate %s was read again", self._files[0])

    def _now(self) -> list[tuple[int, int, int]]:
        found = []
        for path in self._files:
            try:
                told = os.stat(path)
            except OSError:
                continue
            found.append((told.st_mtime_ns, told.st_size, told.st_ino))
        return found


def _context(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(_PROTOCOLS)
    return context
