"""What a registry's 401 asks for, and the tokens that answer it.

Constraint: a password goes only to the registry it was given for, or to the token service that
this very registry names, and never from https to plain http. (RFC 7235 for the header; the token
exchange is described in the distribution project's "Token Authentication Specification".)
"""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from boxy_core.errors import Denied, ImageError
from boxy_core.image.credentials import Login

_PAIR = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"(?:^|,\s*)(Basic|Bearer)(?=\s|$)", re.IGNORECASE)
_SOONER = 10.0  # seconds before its end that a token is not used any more
_LIFE = 60.0  # seconds, if nothing is told
_MAX_ANSWER = 1 << 20


class Challenge(NamedTuple):
    """One scheme that a registry takes: "basic" or "bearer", and its parameters."""

    scheme: str
    parameters: dict[str, str]


def challenges(headers: list[str]) -> list[Challenge]:
    """What `WWW-Authenticate` offers; schemes that nobody uses are left out."""
    found = []
    for header in headers:
        marks = list(_SCHEME.finditer(header))
        for mark, after in zip(marks, [*marks[1:], None], strict=False):
            part = header[mark.end() : after.start() if after else len(header)]
            pairs = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PAIR.finditer(part)}
            found.append(Challenge(mark[1].lower(), pairs))
    return found


class Tokens:
    """The proof that goes with each request to one registry."""

    def __init__(self, session: aiohttp.ClientSession, host: str, login: Login | None) -> None:
        self._session = session
        self._host = host
        self._login = login
        self._basic = False
        self._tokens: dict[str, tuple[str, float]] = {}

    def header(self, scope: str) -> dict[str, str]:
        """What is known to be wanted, as a header."""
        if self._basic and self._login is not None:
            return {"Authorization": self._login.basic}
        token, until = self._tokens.get(scope, ("", 0.0))
        if token and time.monotonic() < until:
            return {"Authorization": f"Bearer {token}"}
        return {}

    async def answer(self, headers: list[str], scope: str, base: str) -> None:
        """Get what a 401 asks for. Raises Denied with the next step."""
        offered = challenges(headers)
        for challenge in offered:
            if challenge.scheme == "bearer":
                await self._fetch(challenge.parameters, scope, base)
                return
        if any(challenge.scheme == "basic" for challenge in offered):
            if self._login is None:
                raise Denied(
                    f"{self._host} wants to know who asks", hint=f"log in: boxy login {self._host}"
                )
            if self._basic:
                raise self._wrong()
            self._basic = True
            return
        raise Denied(
            f"{self._host} refuses us and does not say what it wants",
            hint="the registry's operator has to mend that; is the registry's name right?",
        )

    async def _fetch(self, parameters: dict[str, str], scope: str, base: str) -> None:
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("https", "http"):
            raise ImageError(
                f"{self._host} names no token service that can be used: {realm[:100]!r}",
                hint="the registry's operator has to mend that; is the registry's name right?",
            )
        if urlsplit(base).scheme == "https" and urlsplit(realm).scheme != "https":
            raise ImageError(
                f"{self._host} wants a password over plain http, at {realm[:100]!r}",
                hint="its configuration is wrong: tell who runs it",
            )
        wanted = scope or parameters.get("scope", "")
        query = [("service", parameters["service"])] if parameters.get("service") else []
        query += [("scope", one) for one in wanted.split()]
        if self._login is not None:
            query.append(("account", self._login.name))
        url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
        headers = {"Authorization": self._login.basic} if self._login else {}
        try:
            async with self._session.get(url, headers=headers) as answer:
                body = await answer.content.read(_MAX_ANSWER)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ImageError(
                f"the token service of {self._host} does not answer: {error}",
                hint="is that server up, and does a proxy stand in between (HTTPS_PROXY)?",
            ) from error
        if status in (401, 403):
            raise self._wrong()
        if status != 200:
            raise ImageError(
                f"the token service of {self._host} answered {status}",
                hint="the registry's operator has to mend that; is the registry's name right?",
            )
        self._keep(scope, body)

    def _keep(self, scope: str, body: bytes) -> None:
        try:
            told = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            told = {}
        token = told.get("token") or told.get("access_token")
        life = told.get("expires_in")
        if not isinstance(token, str) or not token.isprintable():
            raise ImageError(
                f"the token service of {self._host} gave no token",
                hint="the registry's operator has to mend that; is the registry's name right?",
            )
        seconds = float(life) if isinstance(life, int | float) else _LIFE
        self._tokens[scope] = (token, time.monotonic() + max(1.0, seconds - _SOONER))

    def _wrong(self) -> Denied:
        if self._login is None:
            return Denied(
                f"{self._host} wants to know who asks", hint=f"log in: boxy login {self._host}"
            )
        return Denied(
            f"{self._host} does not take the password of {self._login.name}",
            hint=f"log in again: boxy login {self._host}",
        )
