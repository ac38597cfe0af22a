"""The authorizer of a registry with accounts, and its token end point.

Constraint: it stands before every request, so what it does there is a dictionary look-up and an
HMAC; a password that is new costs a bcrypt, in a thread, a few at a time.

docker sends its credentials only after a 401 on `/v2/`.  So that anonymous pulls and private
pushes can live beside each other, `/v2/` always asks for a token, which anybody gets, and which
is worth what its user may do.  (The exchange is the distribution project's "Token Authentication
Specification"; containerd asks by a POST form, as OAuth 2.0 does.)
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from boxy_core.errors import BoxyError
from boxy_registry.access import rules as rights
from boxy_registry.access.tokens import Grant, Tokens, shared_key
from boxy_registry.access.users import Users
from boxy_registry.config import span
from boxy_registry.errors import Denied, TooManyRequests, Unauthorized
from boxy_registry.http.exchange import json_answer
from boxy_registry.parts import Access, Action, Need
from boxy_registry.store.threads import in_thread

PATH = "/token"
_CHECKS = 4
"""bcrypts at a time"""
_WAITING = 64
"""requests that may wait for one; more are sent away"""
_LOOK_EVERY = 0.5
_MAX_SCOPES = 100
_MAX_FORM = 1 << 16

log = logging.getLogger("boxy_registry.access")


class _Caller:
    """What one user may do, by the rules."""

    __slots__ = ("_rules", "user")

    def __init__(self, user: str, rules: tuple[rights.Rule, ...]) -> None:
        self.user = user
        self._rules = rules

    def allows(self, action: Action, repository: str) -> bool:
        """Whether any rule allows it."""
        return rights.allows(self._rules, self.user, action, repository)


class Accounts:
    """Users, rules and tokens, as an `Authorizer`."""

    def __init__(self, users: str, rules: str, key: str, realm: str, life: str) -> None:
        self._users = Users(users)
        self._rules_file = rules
        self._rules = rights.read(rules)
        self._stamp = _stamp(rules)
        self._looked = time.monotonic()
        self._tokens = Tokens(shared_key(key), span(life, "auth.token_life") or 300)
        self._realm = realm
        self._room = asyncio.Semaphore(_CHECKS)
        self._waiting = 0

    def reload(self) -> None:
        """Read users and rules again."""
        self._users.reload()
        self._stamp = None
        self._looked = 0.0

    def routes(self) -> list[web.RouteDef]:
        """The token end point."""
        return [web.get(PATH, self.token), web.post(PATH, self.token)]

    # ------------------------------------------------------------------ every request

    def at_once(self, headers: MultiMapping[str], need: Need) -> Access | None:
        """What the caller may do, by a token, a password that is remembered, or anonymously."""
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        user, scopes = "", None
        if scheme.lower() == "basic":
            user, password = _name_and_password(rest)
            if not self._users.remembered(user, password):
                return None
        elif scheme.lower() == "bearer":
            grant = self._tokens.read(rest.strip())
            if grant is None or (grant.user and grant.user not in self._users):
                return None
            user, scopes = grant.user, grant.scopes
        elif need.action == "":
            return None
        caller = _Caller(user, self._current_rules())
        if need.action == "":
            return caller
        if scopes is not None and need.action not in scopes.get(need.repository, ()):
            return None
        return caller if caller.allows(need.action, need.repository) else None  # type: ignore[arg-type]

    async def authorize(self, request: web.BaseRequest, need: Need) -> Access:
        """What the caller may do.  Raises Unauthorized, Denied."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        kind = scheme.lower()
        if kind == "basic":
            user = await self._by_password(request, rest, need)
            return self._permitted(request, need, user, None)
        if kind == "bearer":
            grant = self._tokens.read(rest.strip())
            if grant is None or (grant.user and grant.user not in self._users):
                raise self._ask(request, need, "the token is not good (any more)", "invalid_token")
            return self._permitted(request, need, grant.user, grant)
        if need.action == "":
            raise self._ask(request, need, "say who you are")
        return self._permitted(request, need, "", None)

    def _permitted(
        self, request: web.BaseRequest, need: Need, user: str, grant: Grant | None
    ) -> Access:
        """The caller's rights, if they cover the need."""
        caller = _Caller(user, self._current_rules())
        if need.action == "":
            return caller
        if need.action == "catalog":
            if user or any(rights.ANONYMOUS in rule.who for rule in self._rules):
                return caller
            raise self._ask(request, need, "say who you are")
        if not caller.allows(need.action, need.repository):
            if user:
                raise Denied(
                    f"{user} may not {need.action} here: {need.repository}",
                    detail={"action": need.action, "repository": need.repository},
                )
            raise self._ask(request, need, f"only users may {need.action} here: {need.repository}")
        if grant is not None and need.action not in grant.scopes.get(need.repository, ()):
            raise self._ask(request, need, "the token is for something else", "insufficient_scope")
        return caller

    def _ask(
        self, request: web.BaseRequest, need: Need, sentence: str, error: str = ""
    ) -> Unauthorized:
        """401, with where to get a token and for what."""
        realm = self._realm or f"{request.scheme}://{request.host}{PATH}"
        parts = [f'realm="{_quoted(realm)}"', f'service="{_quoted(request.host)}"']
        if need.repository:
            actions = "pull,push" if need.action == "push" else need.action
            parts.append(f'scope="repository:{need.repository}:{actions}"')
        elif need.action == "catalog":
            parts.append('scope="registry:catalog:*"')
        if error:
            parts.append(f'error="{error}"')
        return Unauthorized(sentence, headers={"WWW-Authenticate": "Bearer " + ",".join(parts)})

    # ------------------------------------------------------------------ passwords

    async def _by_password(self, request: web.BaseRequest, encoded: str, need: Need) -> str:
        """The user of a Basic header.  Raises Unauthorized."""
        try:
            name, password = _name_and_password(encoded)
        except ValueError:
            raise self._ask(request, need, "the Authorization header is malformed") from None
        if not await self._is_right(name, password):
            log.info("wrong password for %r from %s", name[:64], request.remote)
            raise self._ask(request, need, "the name or the password is wrong")
        return name

    async def _is_right(self, name: str, password: str) -> bool:
        if self._users.remembered(name, password):
            return True
        if self._waiting >= _WAITING:
            raise TooManyRequests("too many logins at a time", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            async with self._room:
                return self._users.remembered(name, password) or await in_thread(
                    self._users.check, name, password
                )
        finally:
            self._waiting -= 1

    def _current_rules(self) -> tuple[rights.Rule, ...]:
        """The rules, read again if the file has changed; a broken file leaves the old in force."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return self._rules
        self._looked = now
        stamp = _stamp(self._rules_file)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._rules = rights.read(self._rules_file)
            except (BoxyError, OSError) as error:
                log.error("the access rules stay as they were: %s", error)
        return self._rules

    # ------------------------------------------------------------------ tokens

    async def token(self, request: web.Request) -> web.Response:
        """`GET /token` with Basic credentials or none; `POST /token` with a form."""
        form = await _form(request) if request.method == "POST" else {}
        user = await self._who(request, form)
        asked = request.query.getall("scope", []) + ([form["scope"]] if form.get("scope") else [])
        scopes = self._granted(user, " ".join(asked))
        token = self._tokens.give(user, scopes)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told: dict[str, Any] = {
            "token": token, "access_token": token,
            "expires_in": int(self._tokens.life), "issued_at": now,
        }  # fmt: skip
        if form:
            told["scope"] = " ".join(f"repository:{r}:{','.join(a)}" for r, a in scopes.items())
        return json_answer(told, {"Cache-Control": "no-store"})

    async def _who(self, request: web.Request, form: dict[str, str]) -> str:
        """The user who asks for a token; "" for an anonymous one.  Raises Unauthorized."""
        basic = {"WWW-Authenticate": 'Basic realm="boxy-registry"'}
        if form:
            if form.get("grant_type") != "password":
                raise Unauthorized("only grant_type=password is understood", headers=basic)
            name, password = form.get("username", ""), form.get("password", "")
            if not await self._is_right(name, password):
                log.info("wrong password for %r from %s", name[:64], request.remote)
                raise Unauthorized("the name or the password is wrong", headers=basic)
            return name
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return ""
        try:
            return await self._by_password(request, rest, Need())
        except Unauthorized as error:
            raise Unauthorized(error.message, headers=basic) from None

    def _granted(self, user: str, asked: str) -> dict[str, tuple[str, ...]]:
        """Of the scopes that are asked for, what the rules allow."""
        caller = _Caller(user, self._current_rules())
        found: dict[str, tuple[str, ...]] = {}
        for scope in asked.split()[:_MAX_SCOPES]:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind.partition("(")[0] != "repository" or not name:
                continue
            wanted = rights.ACTIONS if actions == "*" else tuple(actions.split(","))
            allowed = [
                one
                for one in rights.ACTIONS
                if one in wanted and caller.allows(one, name)  # type: ignore[arg-type]
            ]
            found[name] = tuple(dict.fromkeys([*found.get(name, ()), *allowed]))
        return found


def _name_and_password(encoded: str) -> tuple[str, str]:
    """What a Basic header holds.  Raises ValueError."""
    name, _, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    return name, password


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a form."""
    if (request.content_length or 0) > _MAX_FORM:
        raise Unauthorized("the form is too large")
    fields = await request.post()
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _quoted(text: str) -> str:
    return "".join(char for char in text if char.isprintable() and char not in '"\\')


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
