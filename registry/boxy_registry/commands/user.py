"""`boxy-registry user add|passwd|rm|ls`: the users of a registry with accounts."""

from __future__ import annotations

import argparse
import sys
from getpass import getpass

from boxy_core.errors import InvalidRequest
from boxy_registry.access import files_of, users
from boxy_registry.commands import settings_of, store_options
from boxy_registry.store import make_folders


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    store_options(parser)
    parser.add_argument("action", choices=("add", "passwd", "rm", "ls"))
    parser.add_argument("name", nargs="?", help="the user")
    parser.add_argument("--password-stdin", action="store_true", help="read it from standard input")


def run(chosen: argparse.Namespace) -> int:
    """Change the file of users; a running server sees it at once."""
    settings = settings_of(chosen)
    path, _ = files_of(settings.root, settings.auth.users, settings.auth.rules)
    if chosen.action == "ls":
        sys.stdout.write("".join(f"{name}\n" for name in users.names(path)))
        return 0
    if not chosen.name:
        raise InvalidRequest(
            f"whom? boxy-registry user {chosen.action} NAME", hint="give the user's name"
        )
    make_folders(settings.root)
    if chosen.action == "rm":
        users.remove(path, chosen.name)
    else:
        change = users.add if chosen.action == "add" else users.set_password
        change(path, chosen.name, _password(chosen.name, stdin=chosen.password_stdin))
    return 0


def _password(name: str, *, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise InvalidRequest("there is no terminal to ask at", hint="--password-stdin")
    first = getpass(f"password of {name}: ")
    if getpass("again: ") != first:
        raise InvalidRequest(
            "the two are not the same", hint="say the command again, and type the password twice"
        )
    return first
