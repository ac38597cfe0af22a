"""What the tab key may mean: `boxy __complete WORDS...`, the last word being the one typed on.

One candidate a line, a tab, what it is.  The line `:file` asks the shell for file names.  It
must be quick and silent: a daemon that does not answer within a second has no candidates.
"""

from __future__ import annotations

from boxy_cli import table
from boxy_cli.context import Context, say
from boxy_core.errors import BoxyError
from boxy_core.flags.options import Group
from boxy_core.text import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from boxy_core.flags.options import Argument, Command, Option

    Candidates = Iterable[tuple[str, str]]

PATIENCE = 1.0
"""seconds that the daemon has to answer"""
SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCONT",
           "SIGSTOP", "SIGWINCH")  # fmt: skip
FILE = (":file", "")
_WORDS = (("none", "loopback only"), ("host", "the host's own"))
_USABLE = {
    "start": ("created", "exited", "lost"),
    "stop": ("running", "paused"),
    "kill": ("running", "paused", "stopping"),
    "pause": ("running",),
    "unpause": ("paused",),
    "exec": ("running",),
    "attach": ("running", "paused"),
    "top": ("running", "paused"),
    "stats": ("running", "paused"),
}
"""The states in which a command makes sense; all for the others."""


def complete(words: list[str], context: Context) -> int:
    """Print the candidates for the last of `words`."""
    typed = words[-1] if words else ""
    for value, meaning in candidates(words[:-1], typed, context):
        if value.startswith(typed) or (value, meaning) == FILE:
            say(f"{value}\t{meaning}" if meaning else value)
    return 0


def candidates(before: list[str], typed: str, context: Context) -> Candidates:
    """Everything that could stand where `typed` is, after the words `before`."""
    while before and before[0] in ("--socket", "-H"):
        before = before[2:]
    if not before:
        return [(name, text) for _, rows in table.GROUPS for name, _, text in rows]
    try:
        found = table.find(before[0])
    except KeyError:
        return ()
    before = before[1:]
    if isinstance(found, Group):
        if not before:
            return [(name, command.description) for name, command in found.commands.items()]
        if before[0] not in found.commands:
            return ()
        found, before = found.commands[before[0]], before[1:]
    return _for_command(found, before, typed, context)


def _for_command(command: Command, before: list[str], typed: str, context: Context) -> Candidates:
    flags = command.by_flag()
    positional = 0
    waiting: Option | None = None  # a flag whose value comes next
    for word in before:
        if waiting is not None:
            waiting = None
        elif positional and command.passthrough:
            positional += 1
        elif word.startswith("-") and word != "-":
            option = flags.get(word) or flags.get("-" + word[-1:])
            whole = word in flags or not word.startswith("--")
            waiting = option if option is not None and option.metavar and whole else None
        else:
            positional += 1
    if waiting is not None:
        return _values(waiting.kind, waiting.choices, command, context)
    if typed.startswith("--") and "=" in typed:
        flag = typed.partition("=")[0]
        found = (
            _values(flags[flag].kind, flags[flag].choices, command, context)
            if (flag in flags)
            else ()
        )
        return [(f"{flag}={value}", meaning) for value, meaning in found]
    if typed.startswith("-") and not (command.passthrough and positional):
        return _flags(command)
    argument = _argument(command, positional)
    if argument is None:
        return ()
    return _values(argument.kind, argument.choices, command, context)


def _flags(command: Command) -> Candidates:
    return [(flag, option.help) for option in command.options for flag in option.flags[-1:]]


def _argument(command: Command, position: int) -> Argument | None:
    for index, argument in enumerate(command.arguments):
        if index == position or argument.count in ("+", "*"):
            return argument
    return None


def _values(kind: str, choices: tuple[str, ...], command: Command, context: Context) -> Candidates:
    if choices:
        return [(choice, "") for choice in choices]
    if kind == "signal":
        return [(name, "") for name in SIGNALS]
    if kind == "file":
        return [FILE]
    if kind == "help":
        from boxy_cli.help_topics import TOPICS

        topics = [(name, text) for name, (text, _) in TOPICS.items()]
        return [(name, text) for _, rows in table.GROUPS for name, _, text in rows] + topics
    found: list[tuple[str, str]] = []
    if "box" in kind:
        found += _boxes(context, _USABLE.get(command.name))
    if "image" in kind:
        found += _images(context)
    if "volume" in kind:
        found += _volumes(context)
    if "network" in kind:
        found += _WORDS if command.passthrough else ()
        found += _networks(context)
    return found


def _boxes(context: Context, usable: tuple[str, ...] | None) -> list[tuple[str, str]]:
    return [
        (box["name"], f"{escape(box['image'])}, {box['status']}")
        for box in _ask(context, "/boxes", {"all": True})
        if (usable is None or box["status"] in usable) and box["name"].isprintable()
    ]


def _images(context: Context) -> list[tuple[str, str]]:
    return [
        (image["name"], escape(image.get("description") or ""))
        for image in _ask(context, "/images", {})
        if image["name"].isprintable()
    ]


def _volumes(context: Context) -> list[tuple[str, str]]:
    return [
        (volume["name"], escape(", ".join(volume.get("boxes") or ())))
        for volume in _ask(context, "/volumes", {})
        if not volume.get("anonymous")
    ]


def _networks(context: Context) -> list[tuple[str, str]]:
    return [
        (network["name"], network.get("subnet") or "")
        for network in _ask(context, "/networks", {})
        if network["name"].isprintable()
    ]


def _ask(context: Context, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = context.client.request(
            "GET", path, query=query, timeout=PATIENCE
        )
    except BoxyError:
        return []
    return found
