"""What users of Docker, Podman and others type, and what is meant here.  Pure.

Constraint: asked only about words that Boxy does not know, so a command or a flag that comes to
be makes its line here silent; loaded only when something is wrong.
"""

from __future__ import annotations

VERBS = {
    "build": "make a folder with an image.json and a root archive: docs/how-to/own-images.md",
    "buildx": "make a folder with an image.json and a root archive: docs/how-to/own-images.md",
    "compose": "write the boxes down as a shell script of boxy run -d lines",
    "container": "leave the word out: boxy ps, boxy rm, boxy logs",
    "context": "another daemon is named by BOXY_SOCKET or boxy --socket PATH",
    "history": "an image has no history here: boxy inspect IMAGE shows what it is made of",
    "image": "boxy images, boxy rmi, boxy inspect IMAGE",
    "import": "put the archive and an image.json into a folder: docs/how-to/own-images.md",
    "kube": "Boxy runs on one machine",
    "machine": "Boxy runs on this machine, in no virtual one",
    "manifest": "boxy inspect IMAGE shows what an image is made of",
    "plugin": "Boxy has no plugins",
    "pod": "Boxy has boxes only",
    "secret": "give a file with -v SOURCE:/run/secrets/NAME:ro",
    "service": "Boxy runs on one machine; a systemd unit with boxy run keeps a service up",
    "stack": "Boxy runs on one machine",
    "swarm": "Boxy runs on one machine",
    "search": "boxy registry looks into a registry; on a hub look with a browser",
    "system": "boxy prune, boxy info; what is used: boxy ps -as, boxy images, boxy volume ls",
}
"""Commands of other systems that Boxy has not: what to do instead."""

RUN = {
    "--cgroup-parent": "boxyd --cgroup names the cgroup that is above all boxes",
    "--gpus": "boxes get the usual devices only",
    "--health-cmd": "boxy exec NAME COMMAND, from a timer, tells the same",
    "--link": "boxes have no links",
    "--log-driver": "logs are files of the box, rotated; boxy logs reads them",
    "--log-opt": "logs are files of the box, rotated; boxy logs reads them",
    "--platform": "boxes run this machine's own programs only",
    "--restart": "a systemd unit with boxy run (without -d) keeps a box up",
    "--runtime": "Boxy has one runtime, its own",
}
"""Flags of other systems' `run` and `create`."""

FLAGS = {
    "run": RUN,
    "create": RUN,
    "exec": {
        "--privileged": "a further command has the box's own powers, never more",
    },
    "info": {"--format": "boxy info --json, and jq", "-f": "boxy info --json, and jq"},
    "version": {"--format": "boxy version --json, and jq", "-f": "boxy version --json, and jq"},
    "stats": {"--format": "boxy stats --json, and jq"},
    "images": {
        "--format": "boxy images --json, and jq",
    },
}
"""Flags of other systems' commands of the same name."""

LONG = {
    "container": {"ls": "ps", "list": "ps", "ps": "ps", "prune": "prune"},
    "image": {
        "ls": "images",
        "list": "images",
        "rm": "rmi",
        "remove": "rmi",
        "prune": "images prune",
    },
    "system": {"prune": "prune", "info": "info", "events": "events"},
}
_SAME = {
    "container": (
        "attach", "commit", "cp", "create", "diff", "exec", "export", "inspect", "kill", "logs",
        "pause", "port", "rename", "restart", "rm", "run", "start", "stats", "stop", "top",
        "unpause", "update", "wait",
    ),
    "image": ("inspect", "load", "pull", "push", "save", "tag"),
    "system": (),
}  # fmt: skip
"""Docker's long spellings (`docker container ls`) and what Boxy calls them."""


def short(name: str, word: str) -> str:
    """The command that `name word` is the long spelling of, "" if it is none."""
    if word in _SAME.get(name, ()):
        return word
    return LONG.get(name, {}).get(word, "")


def verb(word: str) -> str:
    """What to do instead of a command that only others have; "" for one that is unknown to all."""
    return VERBS.get(word, "")


def flag(command: str, word: str) -> str:
    """What to do instead of a flag that only others have, "" for one that is unknown to all."""
    return FLAGS.get(command, {}).get(word, "")
