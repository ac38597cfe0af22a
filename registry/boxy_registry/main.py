"""`boxy-registry`: finds the command, loads it alone, turns its end into an exit status.

A command is a module of `boxy_registry.commands` with `options(parser)`, which adds its
arguments, and `run(options) -> int`, which does it.  Exit status: 0 done, 1 failed or found
something wrong, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

from boxy_core import __version__
from boxy_core.errors import BoxyError
from boxy_core.text import escape
from boxy_registry.errors import RegistryError

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "serve a store on an address"),
    "ls": ("ls", "list repositories, or the tags of one"),
    "rm": ("rm", "remove a repository, a tag or a manifest"),
    "quota": ("quota", "bound a repository's size"),
    "import": ("import_", "take in an OCI layout, as a folder or tar archive"),
    "export": ("export", "write a repository as an OCI layout"),
    "backup": ("backup", "copy the whole store, while it serves"),
    "gc": ("gc", "remove what nothing refers to, while it serves"),
    "scrub": ("scrub", "verify everything that is stored, while it serves"),
    "user": ("user", "add, change, remove and list users"),
    "access": ("access", "who may do what with which repositories"),
    "retention": ("retention", "remove tags that the rules of retention do not keep"),
}
"""name -> (module in `boxy_registry.commands`, what it does)"""


def main(argv: list[str] | None = None) -> int:
    """Run a command; its exit status."""
    words = sys.argv[1:] if argv is None else argv
    try:
        return _run(words)
    except BoxyError as error:
        hint = f"; {error.hint}" if error.hint else ""
        sys.stderr.write(f"boxy-registry: {escape(error.message + hint)}\n")
        return 1
    except RegistryError as error:
        sys.stderr.write(f"boxy-registry: {escape(error.message)}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"boxy-registry {__version__}\n")
        return 0
    name = words[0]
    if name not in COMMANDS:
        sys.stderr.write(f"boxy-registry: there is no command {escape(name)}\n{_overview()}")
        return 2
    if name == "serve":  # as early as can be: until files were read, none need be read again
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    module_name, summary = COMMANDS[name]
    module = importlib.import_module(f"boxy_registry.commands.{module_name}")
    parser = argparse.ArgumentParser(prog=f"boxy-registry {name}", description=summary)
    module.options(parser)
    status: int = module.run(parser.parse_intermixed_args(words[1:]))
    return status


def _overview() -> str:
    lines = ["usage: boxy-registry COMMAND ...", ""]
    lines += [f"  {name:<12} {summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "boxy-registry COMMAND --help tells a command's options.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
