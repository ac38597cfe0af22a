"""Writes docs/reference/cli.md from the tables that the command line itself is read by.

python docs/generate_cli.py            write it
python docs/generate_cli.py --check    say whether it is current (exit status 1: it is not)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from boxy_cli import table
from boxy_cli.commands.help import option_help
from boxy_cli.help_topics import TOPICS
from boxy_core.flags.options import Command, Group, Option

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = """\
# The command line

<!-- Made by docs/generate_cli.py from the tables in boxy_cli/commands; do not edit. -->

`boxy [--socket PATH] COMMAND ...` · `boxy help COMMAND` shows the same in the terminal ·
`boxy completion bash|zsh|fish` completes commands, flags, boxes and images.

Flags may be combined (`-dit`), given their value as `--flag VALUE`, `--flag=VALUE` or `-fVALUE`,
and a switch may be turned off by `--flag=false`. `--` ends the flags.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for group, rows in table.GROUPS:
        parts.append(f"## {group}\n")
        for name, _, _ in rows:
            found = table.find(name)
            if isinstance(found, Group):
                parts.append(f"### boxy {name}\n\n`{found.usage}`\n\n{found.description}\n")
                parts += [_section(command, "####") for command in found.commands.values()]
            else:
                parts.append(_section(found))
    parts.append("## Topics\n")
    parts += [f"### {name}: {about}\n\n```text\n{text}\n```\n" for name, (about, text) in _topics()]
    return "\n".join(parts)


def _topics() -> list[tuple[str, tuple[str, str]]]:
    return list(TOPICS.items())


def _section(command: Command, level: str = "###") -> str:
    """One command."""
    lines = [f"{level} boxy {command.name}", "", f"`{command.usage}`", "", command.description, ""]
    if command.arguments:
        lines += [f"- `{one.metavar}`: {_cell(one.help)}" for one in command.arguments]
        lines.append("")
    if command.options:
        lines += ["| Flag | |", "| --- | --- |"]
        lines += [f"| {_spelling(option)} | {_help(option)} |" for option in command.options]
        lines.append("")
    if command.examples:
        width = max(len(example) for example, _ in command.examples)
        shown = [f"{example:<{width}}  # {meaning}" for example, meaning in command.examples]
        lines += ["```sh", *shown, "```", ""]
    return "\n".join(lines)


def _spelling(option: Option) -> str:
    names = ", ".join(f"`{flag}`" for flag in option.flags)
    return names + (f" `{_cell(option.metavar)}`" if option.metavar else "")


def _help(option: Option) -> str:
    also = f" (also {', '.join(f'`{flag}`' for flag in option.aliases)})" if option.aliases else ""
    return _cell(option_help(option)) + also


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write or check the page."""
    if sys.argv[1:] == ["--check"]:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        sys.stderr.write(f"{PAGE} is not current: run docs/generate_cli.py\n")
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
