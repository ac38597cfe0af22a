"""A typed command line: words, or a line for a shell.  Pure."""

from __future__ import annotations

import shlex

from boxy_core.errors import InvalidRequest

_OPERATORS = frozenset("|&;<>()`\n")
_PATTERNS = frozenset("*?[~")
SHELL = ("/bin/sh", "-c")


def words(line: str) -> list[str]:
    """The command that a line means: its words as they are, or, where it has what only a shell
    understands (pipes, redirections, variables, patterns), the shell with that line.

    Raises InvalidRequest for a quote that is not closed.
    """
    try:
        plain = shlex.split(line)
    except ValueError as error:
        raise InvalidRequest("A quote is not closed.", hint=f"({error})") from None
    return [*SHELL, line.strip()] if needs_shell(line) else plain


def needs_shell(line: str) -> bool:
    """Whether an unquoted sign of the line is for a shell (sh(1p), quoting)."""
    quote = ""
    signs = iter(line)
    for sign in signs:
        if quote == "'":
            quote = "" if sign == "'" else quote
        elif sign == "\\":
            next(signs, "")
        elif sign in ("$", "`"):
            return True
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in ("'", '"'):
            quote = sign
        elif sign in _OPERATORS or sign in _PATTERNS:
            return True
    return False
