"""How a command's flags and arguments are described and read.

Constraint: on the start-up path of every command, so it is a table and one loop rather than
argparse (which loads `re` and `gettext`, 7 ms, and cannot stop at the first argument as
`boxy run IMAGE COMMAND --its-own-flags` must).  The same tables give the help, the shell
completion and docs/reference/cli.md.
"""

from __future__ import annotations

from boxy_core.errors import InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


class Option:
    """One flag.  Without a `metavar` it is a switch; with one it takes a value.

    `parse` turns the text into the value (raising InvalidRequest), `many` collects several,
    `choices` restricts and completes, `kind` tells the completion what a value names ("box",
    "image", "file", "signal", "network", ...), `aliases` are accepted but not shown.
    """

    __slots__ = ("aliases", "choices", "flags", "help", "key", "kind", "many", "metavar", "parse")

    def __init__(
        self,
        *flags: str,
        help: str,  # noqa: A002 - as every option parser calls it
        metavar: str = "",
        many: bool = False,
        parse: Callable[[str], Any] | None = None,
        choices: Sequence[str] = (),
        kind: str = "",
        aliases: Sequence[str] = (),
    ) -> None:
        self.flags = flags
        self.help = help
        self.metavar = metavar
        self.many = many
        self.parse = parse
        self.choices = tuple(choices)
        self.kind = kind
        self.aliases = tuple(aliases)
        self.key = flags[-1].lstrip("-").replace("-", "_")

    def value(self, flag: str, text: str) -> Any:
        """The value of `text`.  Raises InvalidRequest naming the flag."""
        if self.choices:
            _check_choice(flag, text, self.choices)
        if self.parse is None:
            return text
        try:
            return self.parse(text)
        except InvalidRequest as error:
            raise InvalidRequest(f"{flag}: {error.message}", hint=error.hint) from None


class Argument:
    """A positional argument; `count` is "1", "?" (may be absent), "+" (one or more) or "*"."""

    __slots__ = ("choices", "count", "help", "key", "kind", "metavar")

    def __init__(
        self,
        metavar: str,
        help: str,  # noqa: A002 - as every option parser calls it
        *,
        count: str = "1",
        kind: str = "",
        choices: Sequence[str] = (),
    ) -> None:
        self.metavar = metavar
        self.help = help
        self.count = count
        self.kind = kind
        self.choices = tuple(choices)
        self.key = metavar.lower().replace(" ", "_")

    @property
    def usage(self) -> str:
        """How it looks in a usage line."""
        shapes = {"1": "{0}", "?": "[{0}]", "+": "{0}...", "*": "[{0}...]"}
        return shapes[self.count].format(self.metavar)


class Command:
    """A command: what it takes and the function that does it.

    With `passthrough` the flags end at the first argument: all that follows belongs to the
    command in the box.  `description` and `examples` are for help and documentation.
    """

    __slots__ = (
        "arguments", "description", "examples", "main", "name", "options", "passthrough",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        main: Callable[[Any, Args], int],
        *,
        description: str,
        options: Sequence[Option] = (),
        arguments: Sequence[Argument] = (),
        passthrough: bool = False,
        examples: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.name = name
        self.main = main
        self.description = description
        self.options = tuple(options)
        self.arguments = tuple(arguments)
        self.passthrough = passthrough
        self.examples = tuple(examples)

    @property
    def usage(self) -> str:
        """The usage line."""
        flags = ["[FLAGS]"] if self.options else []
        words = [argument.usage for argument in self.arguments]
        return " ".join(["boxy", self.name, *flags, *words])

    def by_flag(self) -> dict[str, Option]:
        """Every spelling of every flag."""
        return {
            flag: option for option in self.options for flag in (*option.flags, *option.aliases)
        }


class Group:
    """Commands about one kind of thing: `boxy network create`, `boxy network ls`.

    Each command's own name is whole ("network create"); `commands` is keyed by the last word.
    """

    __slots__ = ("commands", "description", "name", "synonyms")

    def __init__(
        self,
        name: str,
        commands: Sequence[Command],
        *,
        description: str,
        synonyms: Sequence[tuple[str, str]] = (("list", "ls"), ("remove", "rm")),
    ) -> None:
        self.name = name
        self.commands = {command.name.rpartition(" ")[2]: command for command in commands}
        self.description = description
        self.synonyms = dict(synonyms)

    @property
    def usage(self) -> str:
        """The usage line."""
        return f"boxy {self.name} {'|'.join(self.commands)} ..."

    def select(self, words: Sequence[str]) -> tuple[Command, Sequence[str]]:
        """The command that the first word names, and the words after it.

        Raises InvalidRequest, or HelpAsked.
        """
        word = words[0] if words else ""
        if word in ("-h", "--help"):
            raise HelpAsked
        command = self.commands.get(self.synonyms.get(word, word))
        if command is not None:
            return command, words[1:]
        if not word:
            raise InvalidRequest(f"`boxy {self.name}` needs a command", hint=f"usage: {self.usage}")
        raise InvalidRequest(
            f"`boxy {self.name}` has no command {word!r}",
            hint=_nearest(word, list(self.commands)) or f"usage: {self.usage}",
        )


class Args:
    """What was given: values by key (`args["memory"]`), None, False or [] where nothing was."""

    __slots__ = ("values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


class HelpAsked(Exception):
    """`--help` stood among the flags."""


def parse(command: Command, words: Sequence[str]) -> Args:
    """Read `words` as `command`'s.  Raises InvalidRequest, or HelpAsked."""
    reader = _Reader(command, words)
    reader.read()
    return Args(reader.values)


class _Reader:
    """The one pass over the words."""

    def __init__(self, command: Command, words: Sequence[str]) -> None:
        self._command = command
        self._flags = command.by_flag()
        self._words = list(words)
        self._at = 0
        self._positional: list[str] = []
        self.values: dict[str, Any] = {
            option.key: [] if option.many else None if option.metavar else False
            for option in command.options
        }

    def read(self) -> None:
        while self._at < len(self._words):
            word = self._words[self._at]
            self._at += 1
            if word == "--":
                self._positional += self._words[self._at :]
                break
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._short(word)
            else:
                self._positional.append(word)
                if self._command.passthrough:
                    self._pass_through()
                    break
        self._assign()

    def _pass_through(self) -> None:
        """The rest is the box's; one `--` between image and command is only a separator."""
        rest = self._words[self._at :]
        self._positional += rest[1:] if rest[:1] == ["--"] else rest

    def _long(self, word: str) -> None:
        flag, equals, text = word.partition("=")
        option = self._option(flag)
        if option.metavar:
            self._store(option, flag, text if equals else self._next(option, flag))
        else:
            self.values[option.key] = _switch(flag, text) if equals else True

    def _short(self, word: str) -> None:
        """`-it`, `-n5`, `-n=5`, `-n 5`; a letter that takes a value takes the rest."""
        for position, letter in enumerate(word[1:], start=2):
            flag = "-" + letter
            option = self._option(flag, whole=word)
            rest = word[position:]
            if option.metavar:
                text = rest.removeprefix("=") if rest else self._next(option, flag)
                self._store(option, flag, text)
                return
            if rest.startswith("="):
                self.values[option.key] = _switch(flag, rest[1:])
                return
            self.values[option.key] = True

    def _option(self, flag: str, whole: str = "") -> Option:
        option = self._flags.get(flag)
        if option is not None:
            return option
        if flag in ("--help", "-h"):
            raise HelpAsked
        from boxy_core.flags import elsewhere

        if instead := elsewhere.flag(self._command.name, flag):
            raise InvalidRequest(f"`boxy {self._command.name}` has no {flag}", hint=instead)
        inside = f" in {whole}" if whole not in ("", flag) else ""
        shown = [name for option in self._command.options for name in option.flags]
        raise InvalidRequest(
            f"`boxy {self._command.name}` has no flag {flag}{inside}",
            hint=_nearest(whole or flag, shown) or f"see boxy help {self._command.name}",
        )

    def _next(self, option: Option, flag: str) -> str:
        if self._at >= len(self._words):
            raise InvalidRequest(
                f"{flag} needs a value: {flag} {option.metavar}",
                hint=f"see boxy help {self._command.name}",
            )
        self._at += 1
        return self._words[self._at - 1]

    def _store(self, option: Option, flag: str, text: str) -> None:
        value = option.value(flag, text)
        if option.many:
            self.values[option.key].append(value)
        else:
            self.values[option.key] = value

    def _assign(self) -> None:
        """Give the positional words to the arguments in order."""
        words = self._positional
        for argument in self._command.arguments:
            if argument.count in ("+", "*"):
                self.values[argument.key], words = words, []
                given = bool(self.values[argument.key])
            else:
                self.values[argument.key] = words[0] if words else None
                given = bool(words)
                words = words[1:]
            if given and argument.choices:
                _check_choice(argument.metavar, self.values[argument.key], argument.choices)
            if not given and argument.count in ("1", "+"):
                raise InvalidRequest(
                    f"`boxy {self._command.name}` needs {_article(argument.metavar)}",
                    hint=f"usage: {self._command.usage}",
                )
        if words:
            raise InvalidRequest(
                f"`boxy {self._command.name}` does not take {words[0]!r}",
                hint=f"usage: {self._command.usage}",
            )


def _check_choice(what: str, text: str, choices: Sequence[str]) -> None:
    if text not in choices:
        raise InvalidRequest(
            f"{what}: {text!r} is not one of {', '.join(choices)}", hint=_nearest(text, choices)
        )


def _article(metavar: str) -> str:
    return f"{'an' if metavar[0] in 'AEIOU' else 'a'} {metavar}"


def _switch(flag: str, text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise InvalidRequest(f"{flag} is on or off, not {text!r}", hint=f"write {flag} or {flag}=false")


def _nearest(word: str, known: Sequence[str]) -> str:
    from boxy_core.flags.suggest import nearest  # only when something is wrong

    found = nearest(word, known)
    return f"did you mean {found}?" if found else ""
