"""Tokens: who it is and what they asked for, signed, good for minutes.

Constraint: any process of the server takes what another gave out, so the key lies in the store,
for the server's eyes only.  A token says what was *asked*; what is allowed is looked up when it
is used, so a rule that is taken back is out of force at once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import time
from typing import NamedTuple

import msgspec

from boxy_core.image.layers import write_whole
from boxy_core.image.locks import Lock

_KEY_BYTES = 32
_LONGEST = 16_384


class Grant(NamedTuple):
    """What a token is for."""

    user: str
    scopes: dict[str, tuple[str, ...]]
    """repository -> actions"""
    until: float


class Tokens:
    """Gives tokens out and reads them."""

    def __init__(self, key: bytes, life: float) -> None:
        self._key = key
        self.life = life

    def give(self, user: str, scopes: dict[str, tuple[str, ...]], now: float | None = None) -> str:
        """A token for this user."""
        until = (time.time() if now is None else now) + self.life
        body = msgspec.json.encode([user, scopes, until])
        return f"{_text(body)}.{_text(self._sign(body))}"

    def read(self, token: str) -> Grant | None:
        """What a token says; None if it is not ours, changed, or past its time."""
        if len(token) > _LONGEST:
            return None
        first, _, second = token.partition(".")
        try:
            body, signature = _bytes(first), _bytes(second)
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(signature, self._sign(body)):
            return None
        grant = Grant(
            *msgspec.json.decode(body, type=tuple[str, dict[str, tuple[str, ...]], float])
        )
        return grant if grant.until > time.time() else None

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def shared_key(path: str) -> bytes:
    """The key of all processes on one store, made by whoever comes first."""
    with Lock(path + ".lock", "key") as lock:
        lock.wait_and_take(lambda: None)
        try:
            with open(path, "rb") as file:
                key = file.read()
            if len(key) == _KEY_BYTES:
                return key
        except FileNotFoundError:
            pass
        key = secrets.token_bytes(_KEY_BYTES)
        write_whole(path, key, mode=0o600)
        os.chmod(path, 0o600)
        return key


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Raises ValueError also for a spelling that is not ours: the last digit has unused bits,
    and a token that somebody changed is not a token, whatever it decodes to."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:
        raise ValueError("not canonical")
    return data
