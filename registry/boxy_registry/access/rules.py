"""Which user may do what with which repositories.  Pure, but for reading the file.

    # repositories   who            may
    *                users          pull,push,delete
    public/*         anonymous      pull
    {user}/*         users          pull,push,delete
    team/*           ada,bob        pull,push

`*` stands for any letters, a slash too.  `users` is everybody who is signed in, `anonymous`
everybody; `{user}` is the asking user's own name.  What one line allows, no other forbids; what
no line allows is forbidden.  Without a file, every user may do everything, and nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from boxy_core.errors import InvalidRequest

ACTIONS = ("pull", "push", "delete")
ANONYMOUS, USERS = "anonymous", "users"
_PATTERN = re.compile(r"[a-z0-9._/*{}-]{1,255}")
_WHO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Rule(NamedTuple):
    """A line of the file."""

    repositories: str
    who: tuple[str, ...]
    may: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.repositories} {','.join(self.who)} {','.join(self.may)}"

    def allows(self, user: str, action: str, repository: str) -> bool:
        """Whether this line allows it; `user` "" is an anonymous one."""
        if action not in self.may or not self._is_for(user):
            return False
        pattern = self.repositories
        if "{user}" in pattern:
            if not user:
                return False
            pattern = pattern.replace("{user}", user.lower())
        return _compiled(pattern).fullmatch(repository) is not None

    def _is_for(self, user: str) -> bool:
        return ANONYMOUS in self.who or (bool(user) and (USERS in self.who or user in self.who))


DEFAULT = (Rule("*", (USERS,), ACTIONS),)


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def allows(rules: Iterable[Rule], user: str, action: str, repository: str) -> bool:
    """Whether any line allows it."""
    return any(rule.allows(user, action, repository) for rule in rules)


def parse_line(text: str) -> Rule:
    """A rule of three words.  Raises InvalidRequest naming what is wrong."""
    words = text.split()
    if len(words) != 3:
        raise InvalidRequest(
            f"{text!r} is no rule", hint="REPOSITORIES WHO MAY: team/* ada,bob pull,push"
        )
    pattern, who, may = words[0], tuple(words[1].split(",")), tuple(words[2].split(","))
    if not _PATTERN.fullmatch(pattern):
        raise InvalidRequest(
            f"{pattern!r} is no pattern of repositories", hint="small letters, * and {user}"
        )
    for name in who:
        if not _WHO.fullmatch(name):
            raise InvalidRequest(f"{name!r} is no user name", hint="names, `users` or `anonymous`")
    if may == ("all",):
        may = ACTIONS
    for action in may:
        if action not in ACTIONS:
            raise InvalidRequest(
                f"{action!r} is nothing that one could allow", hint=", ".join(ACTIONS)
            )
    return Rule(pattern, who, may)


def parse(text: str, path: str) -> tuple[Rule, ...]:
    """The rules of a file.  Raises InvalidRequest naming the line."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if words:
            try:
                rules.append(parse_line(words))
            except InvalidRequest as error:
                raise InvalidRequest(f"{path}, line {number}: {error}", hint=error.hint) from None
    return tuple(rules)


def read(path: str) -> tuple[Rule, ...]:
    """The rules in force.  Raises InvalidRequest, OSError."""
    try:
        with open(path, encoding="utf-8") as file:
            return parse(file.read(), path)
    except FileNotFoundError:
        return DEFAULT
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"{path} is no text", hint="the rules are a file of text in UTF-8"
        ) from None
