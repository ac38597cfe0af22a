"""The entrance of `boxy`: finds the command, loads it alone, turns its end into an exit status.

Constraint: everything that is imported here is paid for by every command.  Exit statuses are
Docker's: the command's own for run and exec, 125 for a failure of Boxy's or wrong usage, 126
and 127 for a command that cannot be executed or found, 128 + signal; 1 for other failures.
"""

from __future__ import annotations

import posix
import sys

from boxy_cli.context import Context, report
from boxy_core.errors import BoxyError, InvalidRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SIGINT, SIGPIPE = 2, 13  # the module `signal` costs an import


def main(argv: Sequence[str] | None = None) -> int:
    """Run `boxy`; return the exit status.

    As a program (`argv` None) it ends the process here, without the interpreter's tidying up,
    which is 2 ms of nothing that anybody needs.
    """
    status = _guarded(sys.argv[1:] if argv is None else list(argv))
    if argv is None:
        if status == -SIGINT:
            _die_of_interrupt()
        posix._exit(status)  # noqa: SLF001 - os._exit
    return 128 + SIGINT if status == -SIGINT else status


def _guarded(words: list[str]) -> int:
    """Run the command; every ending becomes a status."""
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    except AttributeError:
        pass  # a test's own stream
    try:
        try:
            return _dispatch(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence(1)
        return 128 + SIGPIPE
    except KeyboardInterrupt:
        return -SIGINT
    except _Failed as failed:
        report(failed.error)
        return failed.status
    except OSError as error:
        _silence(1)  # first: what is still buffered would fail again
        report(BoxyError(f"the output could not be written: {error.strerror}"))
        return 1


class _Failed(Exception):
    """An error on its way out, with the exit status that it means for this command."""

    def __init__(self, error: BoxyError, status: int) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


def _dispatch(words: list[str]) -> int:
    words, socket = _global_flags(words)
    name = words[0] if words else "help"
    if name in ("-h", "--help"):
        name, words = "help", ["help", *words[1:]]
    elif name in ("-V", "-v", "--version"):
        name = "version"
        words = ["version", "--client"]
    if name == "__complete":
        from boxy_cli.completion import complete

        return complete(words[1:], _context(socket))
    return _run(name, words[1:], socket)


def _global_flags(words: list[str]) -> tuple[list[str], str]:
    """Flags before the command: `--socket PATH`."""
    socket = ""
    while words and words[0].startswith("-") and words[0].startswith(("--socket", "-H")):
        flag, equals, value = words.pop(0).partition("=")
        if not equals:
            if not words:
                raise _Failed(
                    InvalidRequest(
                        f"{flag} needs a value: {flag} PATH",
                        hint="as in boxy --socket /run/boxy/boxyd.sock ps",
                    ),
                    125,
                )
            value = words.pop(0)
        socket = value.removeprefix("unix://")
    return words, socket


def _context(socket: str) -> Context:
    if not socket:
        return Context()
    from boxy_core.paths import default_paths

    return Context(default_paths(socket=socket))


def _run(name: str, words: Sequence[str], socket: str) -> int:
    from boxy_cli import table
    from boxy_core.flags import options

    try:
        found = table.find(name)
    except KeyError:
        from boxy_core.flags import elsewhere

        meant = elsewhere.short(name, words[0]) if words else ""
        if not meant:
            raise _Failed(_unknown(name), 125) from None
        first, *rest = meant.split()
        return _run(first, [*rest, *words[1:]], socket)
    try:
        if isinstance(found, options.Group):
            found, words = found.select(words)
        args = options.parse(found, words)
    except options.HelpAsked:
        from boxy_cli.commands.help import show_command

        return show_command(found)
    except InvalidRequest as error:
        raise _Failed(error, 125) from None
    context = _context(socket)
    try:
        return found.main(context, args)
    except BoxyError as error:
        status = error.exit_status if name in table.OWN_STATUS else 1
        raise _Failed(error, status) from error
    finally:
        context.close()


def _unknown(name: str) -> InvalidRequest:
    from boxy_cli.table import SYNONYMS, modules
    from boxy_core.flags import elsewhere
    from boxy_core.flags.suggest import nearest

    if name.startswith("-"):
        return InvalidRequest(f"boxy has no flag {name}", hint="boxy help shows what there is")
    if instead := elsewhere.verb(name):
        return InvalidRequest(f"Boxy has no command {name!r}", hint=instead)
    meant = SYNONYMS.get(name) or nearest(name, modules())
    hint = f"did you mean boxy {meant}?" if meant else "boxy help lists the commands"
    return InvalidRequest(f"there is no command {name!r}", hint=hint)


def _silence(fd: int) -> None:
    """Point a broken output at /dev/null, so that nothing complains about it again."""
    null = posix.open("/dev/null", posix.O_WRONLY)
    posix.dup2(null, fd)
    posix.close(null)


def _die_of_interrupt() -> None:
    """End by SIGINT itself, so that a shell's loop around us ends too."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    posix.kill(posix.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
