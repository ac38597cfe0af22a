"""`boxy login`, `logout`, and `boxy registry ls|tags|rm`: registries and who we are there."""

from __future__ import annotations

import sys

from boxy_cli import render
from boxy_cli.commands.images import INSECURE
from boxy_cli.context import Context, is_terminal, note, say, say_json, width
from boxy_core.client.http import quote
from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Argument, Command, Group, Option
from boxy_core.flags.shared import JSON
from boxy_core.text import escape
from boxy_core.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from boxy_core.flags.options import Args

MAX_PASSWORD = 4096


def login(context: Context, args: Args) -> int:
    """Try a name and a password, and have the daemon keep them for this user."""
    host = args["host"]
    name = args["username"] or _asked("user: ", hidden=False)
    if args["password_stdin"]:
        password = sys.stdin.buffer.read(MAX_PASSWORD + 1).decode("utf-8", "replace")
        password = password.removesuffix("\n").removesuffix("\r")
    else:
        password = _asked(f"password of {name} at {host}: ", hidden=True)
    if not password or len(password) > MAX_PASSWORD:
        raise InvalidRequest(
            "the password is empty, or longer than 4096 letters",
            hint="type it again, or pipe it in with --password-stdin",
        )
    body = {"username": name, "password": password, "insecure": args["insecure"]}
    context.client.request("POST", f"{_registry(host)}/login", body=body, timeout=None)
    note(f"logged in to {escape(host)} as {escape(name)}")
    return 0


def _asked(question: str, *, hidden: bool) -> str:
    if not is_terminal(0):
        raise InvalidRequest(
            "there is no terminal to ask at",
            hint="boxy login -u NAME --password-stdin HOST reads the password from stdin",
        )
    if hidden:
        from getpass import getpass

        return getpass(question)
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def logout(context: Context, args: Args) -> int:
    """Have the daemon forget a password."""
    context.client.request("DELETE", f"{_registry(args['host'])}/login")
    return 0


def _registry(host: str) -> str:
    return f"/registries/{quote(host, keep_slash=False)}"


# ------------------------------------------------------------------ boxy registry ...


def ls(context: Context, args: Args) -> int:
    """Print what a registry has; without one, the registries that we know."""
    if args["host"] is None:
        return _known(context, as_json=args["json"])
    found = context.client.request(
        "GET", f"{_registry(args['host'])}/repositories", query=_query(args), timeout=None
    )["repositories"]
    if args["json"]:
        say_json(found)
    else:
        for name in found:
            say(f"{escape(args['host'])}/{escape(name)}")
    return 0


def _known(context: Context, *, as_json: bool) -> int:
    told = context.client.request("GET", "/registries")
    if as_json:
        say_json(told)
        return 0
    if told["default"]:
        say(f"{escape(told['default'])} (default)")
    for one in told["logins"]:
        say(f"{escape(one['host'])} as {escape(one['name'])}")
    if not told["default"] and not told["logins"]:
        note("no registry is known here; boxy registry ls HOST looks into one")
    return 0


def tags(context: Context, args: Args) -> int:
    """Print the tags of a repository."""
    host, path = _split(args["repository"])
    found = context.client.request(
        "GET",
        f"{_registry(host)}/repositories/{quote(path)}/tags",
        query={**_query(args), "details": args["long"] or None},
        timeout=None,
    )["tags"]
    if args["json"]:
        say_json(found)
    elif args["long"]:
        sys.stdout.write(table(found, width=width()))
    else:
        for one in found:
            say(escape(one["tag"]))
    return 0


def table(found: list[dict[str, Any]], *, width: int) -> str:
    """The tags with what they mean. Pure."""
    columns = (
        render.Column("TAG", flexible=True), render.Column("DIGEST"),
        render.Column("SIZE", right=True), render.Column("PLATFORMS", flexible=True),
    )  # fmt: skip
    rows = [
        (
            escape(one["tag"]),
            escape(render.short(one.get("digest") or "")) or "-",
            format_size(one["size"]) if "size" in one else "-",
            escape(one.get("problem") or ", ".join(one.get("platforms") or [])),
        )
        for one in found
    ]
    return render.table(columns, rows, width=width)


def remove(context: Context, args: Args) -> int:
    """Remove a tag at a registry, or an image by its digest."""
    for text in args["reference"]:
        host, rest = _split(text)
        path, at, target = rest.partition("@")
        if not at:
            path, _, target = rest.partition(":")
        if not target:
            raise InvalidRequest(
                f"{text!r} names no tag", hint=f"as in boxy registry rm {text}:1.2"
            )
        url = f"{_registry(host)}/repositories/{quote(path)}/tags/{quote(target)}"
        context.client.request("DELETE", url, query=_query(args), timeout=None)
        say(escape(text))
    return 0


def _split(text: str) -> tuple[str, str]:
    host, slash, rest = text.partition("/")
    if not slash or not rest or not ("." in host or ":" in host or host == "localhost"):
        raise InvalidRequest(
            f"{text!r} does not begin with a registry", hint="write HOST[:PORT]/PATH"
        )
    return host, rest


def _query(args: Args) -> dict[str, object]:
    return {"insecure": args["insecure"] or None}


_HOST = Argument("HOST", "HOST or HOST:PORT of a registry")

COMMANDS = {
    "login": Command(
        "login",
        login,
        description="Tell a registry who you are. The password is tried at once and kept by the "
        "daemon, readable by root alone and used only for your own requests.",
        options=(
            Option("-u", "--username", metavar="NAME", help="without it you are asked"),
            Option("--password-stdin", help="read the password from standard input"),
            INSECURE,
        ),
        arguments=(_HOST,),
        examples=(
            ("boxy login -u ada registry.example", "asks for the password"),
            ("boxy login -u ada --password-stdin registry.example < secret", "in a script"),
        ),
    ),
    "logout": Command(
        "logout",
        logout,
        description="Forget the password for a registry.",
        arguments=(_HOST,),
    ),
    "registry": Group(
        "registry",
        (
            Command(
                "registry ls",
                ls,
                description="List the repositories of a registry; without HOST, the registries "
                "that are known here.",
                options=(INSECURE, JSON),
                arguments=(Argument("HOST", "HOST or HOST:PORT of a registry", count="?"),),
            ),
            Command(
                "registry tags",
                tags,
                description="List the tags of a repository.",
                options=(
                    Option("-l", "--long", help="with digest, size and platforms"),
                    INSECURE,
                    JSON,
                ),
                arguments=(Argument("REPOSITORY", "HOST[:PORT]/PATH"),),
            ),
            Command(
                "registry rm",
                remove,
                description="Remove tags at a registry, or images by digest. The registry frees "
                "the room when it collects.",
                options=(INSECURE,),
                arguments=(Argument("REFERENCE", "HOST/PATH:TAG or HOST/PATH@DIGEST", count="+"),),
                examples=(("boxy registry rm registry.example/team/app:old", "only the tag"),),
            ),
        ),
        description="Look into a registry and remove from it.",
    ),
}
