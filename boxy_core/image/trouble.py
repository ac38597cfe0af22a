"""What went wrong between us and a registry: its cause in one sentence, and the next step. Pure."""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import msgspec

from boxy_core.errors import BoxyError, ImageError, Timeout


def said(body: bytes) -> str:
    """The first message of an error's JSON body."""
    try:
        first = msgspec.json.decode(body, type=dict[str, Any])["errors"][0]
        text = str(first.get("message") or first.get("code") or "")
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return ""
    return " ".join(text.split())[:200]


def lasting(error: Exception) -> bool:
    """Whether trying again at once is of no use."""
    if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientConnectorCertificateError):
        return True
    return isinstance(error, aiohttp.ClientConnectorError)


def broken(host: str, error: Exception, what: str) -> BoxyError:
    """Why there was no answer, and what to do."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        return ImageError(
            f"the certificate of {host} is not trusted: {reason}",
            hint=f"put the certificate of who signed it at /etc/boxy/certs.d/{host}/ca.crt",
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return ImageError(
            f"{host} does not speak TLS: {error.os_error}",
            hint="if it speaks plain http and you trust the network: --insecure",
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ImageError(
            f"there is no address for {host}", hint="look at the name; is there a network?"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        reason = os.strerror(number) if number else str(error.os_error)
        return ImageError(
            f"nobody answers at {host}: {reason}",
            hint="is the registry running, and is the port right?",
        )
    if isinstance(error, TimeoutError):
        return Timeout(f"{host} did not answer in time ({what})", hint="try again later")
    return ImageError(
        f"the connection to {host} broke ({what}): {str(error) or type(error).__name__}",
        hint="try again: what has come is kept",
    )
