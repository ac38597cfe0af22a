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
    "image": "leave the word out: boxy images, boxy inspect IMAGE",
    "import": "put the archive and an image.json into a folder: docs/how-to/own-images.md",
    "kube": "Boxy runs on one machine",
    "machine": "Boxy runs on this machine, in no virtual one",
    "manifest": "boxy inspect IMAGE shows what an image is made of",
    "plugin": "Boxy has no plugins",
    "pod": "Boxy has boxes only",
    "prune": "boxy rm $(boxy ps -aq --filter status=exited)",
    "secret": "give a file with -v SOURCE:/run/secrets/NAME:ro",
    "service": "Boxy runs on one machine; a systemd unit with boxy run keeps a service up",
    "stack": "Boxy runs on one machine",
    "swarm": "Boxy runs on one machine",
    "system": "boxy info, and: boxy rm $(boxy ps -aq --filter status=exited)",
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
    "ps": {
        "--format": "boxy ps --json, and jq",
        "-l": "boxy ps -a shows the newest first",
        "-n": "boxy ps -a shows the newest first: ... | head",
    },
    "stats": {"--format": "boxy stats --json, and jq"},
    "images": {
        "--format": "boxy images --json, and jq",
    },
}
"""Flags of other systems' commands of the same name."""


def verb(word: str) -> str:
    """What to do instead of a command that only others have; "" for one that is unknown to all."""
    return VERBS.get(word, "")


def flag(command: str, word: str) -> str:
    """What to do instead of a flag that only others have, "" for one that is unknown to all."""
    return FLAGS.get(command, {}).get(word, "")
