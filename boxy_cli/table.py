"""Every command in one light table: its group, its module, one line about it.

Constraint: on the start-up path; the commands' own modules are loaded only when asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxy_core.flags.options import Command, Group

GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Run",
        (
            ("run", "run", "make a box from an image and run a command in it"),
            ("exec", "exec_", "run a further command in a running box"),
            ("attach", "attach", "connect this terminal to a running box"),
            ("record", "record", "record a box's terminal as an asciicast file"),
            ("replay", "record", "play a recording"),
            ("create", "run", "make a box without starting it"),
            ("start", "lifecycle", "start boxes that are created or have exited"),
            ("stop", "lifecycle", "ask boxes to end, kill them after a grace period"),
            ("restart", "lifecycle", "stop boxes and start them again"),
            ("kill", "lifecycle", "send a signal to boxes"),
            ("pause", "lifecycle", "freeze every process of boxes"),
            ("unpause", "lifecycle", "let frozen boxes go on"),
            ("wait", "lifecycle", "wait until boxes end and print their exit statuses"),
            ("rm", "lifecycle", "remove boxes with all that they wrote"),
            ("prune", "prune", "remove every box that does not run"),
        ),
    ),
    (
        "Look",
        (
            ("ps", "ps", "list boxes"),
            ("logs", "logs", "show what a box printed"),
            ("top", "look", "show the processes of a box"),
            ("stats", "stats", "show the resources that boxes use, live"),
            ("events", "events", "show what happens, as it happens"),
            ("inspect", "inspect", "show everything about boxes or images as JSON"),
            ("explain", "glass", "show what a box is made of, and how to see it by hand"),
            ("trace", "glass", "show what was done for a box and how long it took"),
            ("images", "look", "list images"),
            ("port", "network", "show the published ports of a box"),
        ),
    ),
    (
        "Images and registries",
        (
            ("pull", "images", "fetch images from a registry"),
            ("push", "images", "send an image to a registry"),
            ("tag", "images", "give an image a further name"),
            ("rmi", "images", "remove images and free what only they had"),
            ("save", "images", "write images into one archive"),
            ("load", "images", "take images from an archive"),
            ("login", "registry", "tell who you are at a registry"),
            ("logout", "registry", "forget a registry's password"),
            ("registry", "registry", "look into a registry, remove from it"),
        ),
    ),
    (
        "Change",
        (
            ("rename", "lifecycle", "give a box another name"),
            ("update", "update", "change limits and ports of boxes, also while they run"),
            ("network", "network", "networks of boxes: create, ls, inspect, connect ..."),
            ("cp", "cp", "copy files between a box and here"),
            ("diff", "files", "show what a box changed against its image"),
            ("export", "files", "write all of a box's files as a tar archive"),
            ("commit", "files", "make an image of a box"),
            ("clone", "files", "make a box like another, with its files"),
            ("snapshot", "files", "keep what a box wrote, and bring it back"),
            ("volume", "volume", "make, list and remove volumes"),
        ),
    ),
    (
        "Boxy itself",
        (
            ("info", "about", "show what the daemon and this machine offer"),
            ("version", "about", "show the versions of client and daemon"),
            ("completion", "completion", "print a shell's completion script"),
            ("help", "help", "explain a command or a topic"),
        ),
    ),
)

SYNONYMS = {"container": "", "list": "ps", "ls": "ps", "remove": "rm", "delete": "rm",
            "image": "images", "log": "logs", "shell": "exec", "console": "attach",
            "ip": "inspect", "net": "network", "networks": "network", "ports": "port",
            "resume": "unpause"}  # fmt: skip
"""What users of other systems type; only for `did you mean`."""

OWN_STATUS = frozenset({"run", "create", "exec", "attach", "start"})
"""Commands whose failure exits with the error's own status (125, 126, 127) and not with 1."""


def modules() -> dict[str, str]:
    """The module of each command."""
    return {name: module for _, rows in GROUPS for name, module, _ in rows}


def find(name: str) -> Command | Group:
    """The command or the group of that name.  Raises KeyError."""
    module = __import__(f"boxy_cli.commands.{modules()[name]}", fromlist=["COMMANDS"])
    found: Command | Group = module.COMMANDS[name]
    return found


def load(name: str) -> Command:
    """The command of that name, "network create" for one in a group.  Raises KeyError."""
    first, _, rest = name.partition(" ")
    found = find(first)
    if hasattr(found, "commands"):
        command: Command = found.commands[rest]
        return command
    return found


def every() -> list[Command]:
    """All commands, those of groups one by one, in the order of the table."""
    every: list[Command] = []
    for name in modules():
        found = find(name)
        every += found.commands.values() if hasattr(found, "commands") else [found]
    return every
