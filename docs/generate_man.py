"""Makes the man pages, from the tables and parsers that read the command lines themselves.

    python docs/generate_man.py FOLDER      FOLDER/man1/boxy.1, boxy-run.1 ..., man8/boxyd.8

`make install` calls it. The form is man(7), so every reader of man pages can show them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

from boxy_cli import table
from boxy_cli.commands.help import option_help
from boxy_cli.help_topics import TOPICS
from boxy_core import __version__
from boxy_core.flags.options import Command, Option
from boxy_registry import main as registry
from boxy_registry.main import COMMANDS as REGISTRY
from boxy_tui.keys import as_markdown

FILES = (
    ("/run/boxy/boxyd.sock", "the daemon's socket"),
    ("/var/lib/boxy/boxes/ID/box.json", "what a box is; log and exit.json lie beside it"),
    ("/var/lib/boxy/registry/NAME/image.json", "an image of your own"),
)
SEE_ALSO = "boxy(1), boxy-tui(1), boxyd(8), boxy-registry(1)"


def escaped(text: str) -> str:
    """Text as man(7) needs it: nothing in it is a request, a dash is a dash."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(one if ord(one) < 128 else f"\\[u{ord(one):04X}]" for one in text)
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in text.split("\n"))


class Page:
    """One man page, built from the top."""

    def __init__(self, name: str, section: int, brief: str) -> None:
        self.path = f"man{section}/{name}.{section}"
        title = f'.TH {name.upper()} {section} "" "Boxy {__version__}" "Boxy"'
        self.lines = [title, ".SH NAME", f"{escaped(name)} \\- {escaped(brief)}"]

    def heading(self, title: str) -> None:
        """A section."""
        self.lines.append(f".SH {title.upper()}")

    def text(self, text: str) -> None:
        """A paragraph."""
        self.lines += [".PP", escaped(text)]

    def listing(self, text: str) -> None:
        """Lines that stay as they are."""
        self.lines += [".PP", ".nf", escaped(text), ".fi"]

    def terms(self, rows: Iterable[tuple[str, str]]) -> None:
        """A list of things with their meaning."""
        for term, meaning in rows:
            self.lines += [".TP", f".B {escaped(term)}", escaped(meaning)]

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def overview_page() -> Page:
    """boxy(1)."""
    page = Page("boxy", 1, "containers for people who live in a terminal")
    page.heading("Synopsis")
    page.text("boxy [--socket PATH] COMMAND ...")
    page.heading("Description")
    page.text(
        "Boxy runs boxes: programs with a file system, a process tree, a network and limits of "
        "their own. Each command has a page: boxy-run(1), boxy-ps(1) ..."
    )
    for group, rows in table.GROUPS:
        page.heading(group)
        page.terms((f"boxy {name}", text) for name, _, text in rows)
    for name, (about, text) in TOPICS.items():
        page.heading(f"{name}: {about}")
        page.listing(text)
    page.heading("Files")
    page.terms(FILES)
    page.heading("See also")
    page.text(SEE_ALSO)
    return page


def command_page(command: Command) -> Page:
    """boxy-COMMAND(1)."""
    about = command.description.strip().split(". ")[0].rstrip(".")
    page = Page("boxy-" + command.name.replace(" ", "-"), 1, about)
    page.heading("Synopsis")
    page.text(command.usage)
    page.heading("Description")
    page.text(command.description)
    if command.arguments:
        page.heading("Arguments")
        page.terms((one.metavar, one.help) for one in command.arguments)
    if command.options:
        page.heading("Options")
        page.terms((spelling(option), option_help(option)) for option in command.options)
    if command.examples:
        page.heading("Examples")
        page.terms(command.examples)
    page.heading("Exit status")
    page.text("boxy help exit-status tells them all.")
    page.heading("See also")
    page.text(SEE_ALSO)
    return page


def spelling(option: Option) -> str:
    """`-m, --memory SIZE`."""
    return ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")


class _Parser(Exception):
    """Carries the parser that a program would have read its command line by."""


def parser_of(parse: Callable[[], object]) -> argparse.ArgumentParser:
    """What the function `parse` builds, taken at the moment when it is about to read."""

    def caught(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Parser(parser)

    reading = {"parse_args": caught, "parse_intermixed_args": caught}
    with mock.patch.multiple(argparse.ArgumentParser, **reading):
        try:
            parse()
        except _Parser as found:
            parser: argparse.ArgumentParser = found.args[0]
            return parser
    raise AssertionError("it reads no arguments")


def program_page(section: int, parser: argparse.ArgumentParser, brief: str) -> Page:
    """The page of a program that argparse reads for."""
    page = Page(parser.prog.replace(" ", "-"), section, brief)
    page.heading("Synopsis")
    page.text(" ".join(parser.format_usage().removeprefix("usage: ").split()))
    page.heading("Description")
    page.text(parser.description or brief)
    page.heading("Options")
    page.terms(
        (
            ", ".join(action.option_strings) + (f" {action.metavar}" if action.metavar else ""),
            (action.help or "") % {"default": action.default, "prog": parser.prog},
        )
        for action in parser._actions  # noqa: SLF001 - argparse has no other way to ask
        if action.option_strings
    )
    return page


def daemon_page() -> Page:
    """boxyd(8)."""
    from boxyd import main

    page = program_page(8, parser_of(lambda: main.parse([], {})), "the daemon that runs boxes")
    page.heading("Signals")
    page.text("SIGTERM and SIGINT end the daemon. Boxes and attached terminals go on.")
    page.heading("Files")
    page.terms(FILES)
    page.heading("See also")
    page.text(SEE_ALSO + "; systemd unit boxyd.service")
    return page


def console_page() -> Page:
    """boxy-tui(1), with every key."""
    from boxy_tui import arguments

    page = program_page(1, parser_of(lambda: arguments.parse([])), "the live console of Boxy")
    page.heading("Keys")
    rows = (line.strip("| ").split(" | ") for line in as_markdown().splitlines() if "| `" in line)
    page.terms((row[0].replace("`", ""), row[1].replace("`", "")) for row in rows if len(row) > 1)
    page.heading("See also")
    page.text(SEE_ALSO)
    return page


def registry_pages() -> list[Page]:
    """boxy-registry(1), and one for each of its commands."""
    page = Page("boxy-registry", 1, "a registry for images")
    page.heading("Synopsis")
    page.text("boxy-registry COMMAND ...")
    page.heading("Commands")
    page.terms((f"boxy-registry {name}", about) for name, (_, about) in REGISTRY.items())
    page.heading("See also")
    page.text(SEE_ALSO)
    parsers = ((parser_of(lambda n=name: registry.main([n])), about)  # type: ignore[misc]
               for name, (_, about) in REGISTRY.items())  # fmt: skip
    return [page, *(program_page(1, parser, about) for parser, about in parsers)]


def pages() -> list[Page]:
    """All of them."""
    commands = [command_page(command) for command in table.every()]
    return [overview_page(), *commands, daemon_page(), console_page(), *registry_pages()]


def write(folder: Path) -> list[Path]:
    """Write every page below `folder`, a share/man; where they are."""
    written = []
    for page in pages():
        path = folder / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(page), encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.stdout.write(f"{len(write(Path(sys.argv[1])))} man pages in {sys.argv[1]}\n")
