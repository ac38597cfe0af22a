"""`boxy-registry access ls|add|rm|check`: who may do what with which repositories."""

from __future__ import annotations

import argparse
import sys

from boxy_core.errors import InvalidRequest, NotFound
from boxy_core.image.layers import write_whole
from boxy_registry.access import files_of, rules
from boxy_registry.commands import settings_of, store_options
from boxy_registry.store import make_folders

_HEAD = "# repositories  who  may\n"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("action", choices=("ls", "add", "rm", "check"))
    parser.add_argument(
        "words", nargs="*", metavar="REPOSITORIES WHO MAY",
        help="a rule, as in 'team/*' ada,bob pull,push; WHO may be `users` or `anonymous`; "
        "for check: USER ACTION REPOSITORY",
    )  # fmt: skip


def run(chosen: argparse.Namespace) -> int:
    """Change or ask the rules; a running server sees a change at once."""
    settings = settings_of(chosen)
    _, path = files_of(settings.root, settings.auth.users, settings.auth.rules)
    if chosen.action == "ls":
        sys.stdout.write("".join(f"{rule}\n" for rule in rules.read(path)))
        return 0
    if chosen.action == "check":
        return _check(path, chosen.words)
    rule = rules.parse_line(" ".join(chosen.words))
    make_folders(settings.root)
    _change(path, rule, add=chosen.action == "add")
    return 0


def _check(path: str, words: list[str]) -> int:
    if len(words) != 3:
        raise InvalidRequest(
            "boxy-registry access check USER ACTION REPOSITORY", hint="give all three"
        )
    user, action, repository = words
    known = "" if user == rules.ANONYMOUS else user
    allowed = rules.allows(rules.read(path), known, action, repository)
    sys.stdout.write("yes\n" if allowed else "no\n")
    return 0 if allowed else 1


def _change(path: str, rule: rules.Rule, *, add: bool) -> None:
    """Append a line, or take it out; the others, and comments, stay as they are."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        lines = [_HEAD, *(f"{one}\n" for one in rules.DEFAULT)]
    rules.parse("".join(lines), path)
    kept = [line for line in lines if _parsed(line) != rule]
    if add:
        kept.append(f"{rule}\n")
    elif len(kept) == len(lines):
        raise NotFound(f"there is no rule `{rule}` in {path}", hint="boxy-registry access ls")
    write_whole(path, "".join(kept).encode())


def _parsed(line: str) -> rules.Rule | None:
    words = line.partition("#")[0].strip()
    return rules.parse_line(words) if words else None
