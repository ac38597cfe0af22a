"""`boxy help`, and what `--help` shows: from the same tables that read the flags."""

from __future__ import annotations

from boxy_cli import table
from boxy_cli.context import Context, say, width
from boxy_cli.help_topics import TOPICS
from boxy_core.errors import InvalidRequest
from boxy_core.flags.options import Argument, Command, Group, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxy_core.flags.options import Args

INDENT = "  "
WIDEST = 34


def show(_context: Context, args: Args) -> int:
    """Explain what was asked for."""
    words = args["topic"]
    asked = " ".join(words)
    if not words:
        say(overview())
    elif asked in TOPICS:
        say(TOPICS[asked][1])
    else:
        try:
            found = table.load(asked) if " " in asked else table.find(asked)
        except KeyError:
            raise InvalidRequest(
                f"there is no command and no topic {asked!r}", hint="boxy help lists them"
            ) from None
        return show_command(found)
    return 0


def show_command(command: Command | Group) -> int:
    """Print the help of one command, or of a group of them."""
    columns = width() or 80
    if isinstance(command, Group):
        say(group_help(command, columns))
    else:
        say(command_help(command, columns))
    return 0


def group_help(group: Group, columns: int = 80) -> str:
    """The help page of a group: a line for each of its commands."""
    rows = [(name, command.description) for name, command in group.commands.items()]
    lines = [f"usage: {group.usage}", "", *wrap(group.description, columns), "", "Commands:"]
    return "\n".join(
        [*lines, *_rows(rows, columns), "", f"boxy help {group.name} COMMAND explains each."]
    )


def overview() -> str:
    """All commands, one line each, in their groups."""
    lines = ["usage: boxy [--socket PATH] COMMAND ...", "", "Boxes: containers of Boxy's.", ""]
    for group, rows in table.GROUPS:
        lines += [f"{group}:", *(f"{INDENT}{name:<12}{text}" for name, _, text in rows), ""]
    lines += ["Topics (boxy help TOPIC):"]
    lines += [f"{INDENT}{name:<14}{text}" for name, (text, _) in TOPICS.items()]
    lines += ["", "boxy help COMMAND explains a command; boxy-tui opens the console."]
    return "\n".join(lines)


def command_help(command: Command, columns: int = 80) -> str:
    """The help page of one command."""
    lines = [f"usage: {command.usage}", "", *wrap(command.description, columns)]
    if command.arguments:
        rows = [(argument.metavar, argument.help) for argument in command.arguments]
        lines += ["", "Arguments:", *_rows(rows, columns)]
    if command.options:
        rows = [(spelling(option), option_help(option)) for option in command.options]
        lines += ["", "Flags:", *_rows(rows, columns)]
    if command.examples:
        lines += ["", "Examples:"]
        for example, meaning in command.examples:
            lines += [f"{INDENT}{example}", f"{INDENT}{INDENT}{INDENT}{meaning}"]
    return "\n".join(lines)


def spelling(option: Option) -> str:
    """How a flag is written: "-m, --memory SIZE"."""
    lead = "" if len(option.flags[0]) == 2 else "    "
    return lead + ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")


def option_help(option: Option) -> str:
    """The sentence about a flag; says when it may be repeated."""
    repeated = option.many and "repeated" not in option.help
    return option.help + ("; may be repeated" if repeated else "")


def _rows(rows: Sequence[tuple[str, str]], columns: int) -> list[str]:
    """Two columns; a left side that is too wide has a line to itself."""
    left = min(WIDEST, max(len(name) for name, _ in rows)) + 2
    lines = []
    for name, text in rows:
        wrapped = wrap(text, max(24, columns - left - len(INDENT)))
        first = f"{INDENT}{name:<{left}}"
        if len(name) >= left:
            lines.append(INDENT + name)
            first = " " * (left + len(INDENT))
        lines.append(first + wrapped[0])
        lines += [" " * (left + len(INDENT)) + line for line in wrapped[1:]]
    return lines


def wrap(text: str, columns: int) -> list[str]:
    """Words in lines of at most `columns`; textwrap would load `re`."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


COMMANDS = {
    "help": Command(
        "help",
        show,
        description="Explain a command or a topic; without either list them.",
        arguments=(Argument("TOPIC", "a command or a topic", count="*", kind="help"),),
    )
}
