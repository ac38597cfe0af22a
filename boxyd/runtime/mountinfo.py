"""What is mounted where: /proc/self/mountinfo, as far as a bind mount needs it.

Source: proc_pid_mountinfo(5).  Blanks in paths are written as octal escapes.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\\([0-7]{3})")


class Line:
    """One mount: its place, the kind of its file system, whether later mounts are passed on."""

    __slots__ = ("kind", "place", "shared", "slave")

    def __init__(self, text: str) -> None:
        left, _, right = text.partition(" - ")
        fields = left.split(" ")
        self.place = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        tags = fields[6:]
        self.shared = any(tag.startswith("shared:") for tag in tags)
        self.slave = any(tag.startswith("master:") for tag in tags)
        self.kind = right.split(" ")[0]


def read(path: str = "/proc/self/mountinfo") -> list[Line]:
    """All mounts, in the order in which they lie upon each other."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [Line(text) for text in file]


def below(lines: list[Line], folder: str) -> list[Line]:
    """The mounts below `folder` (not on it), outer ones first."""
    inside = folder.rstrip("/") + "/"
    return [line for line in lines if line.place.startswith(inside)]


def holding(lines: list[Line], path: str) -> Line | None:
    """The mount that `path` lies on."""
    best: Line | None = None
    for line in lines:
        place = line.place.rstrip("/")
        over = path == place or path.startswith(place + "/")
        if over and (best is None or len(place) >= len(best.place.rstrip("/"))):
            best = line
    return best
