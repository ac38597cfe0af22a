"""Users and groups as the box's own files tell of them; used inside the box only.

Constraint: the files are the image's, so hostile: they are read up to a limit, never waited
for, and lines that make no sense are passed over.  No NSS: that would load the box's code.
"""

from __future__ import annotations

import os
import stat

LIMIT = 4 << 20
MAX_ID = (1 << 32) - 2


class UnknownUserError(Exception):
    """The user or group is not in the box; the text names it."""


class User:
    """Numbers of a user: `uid`, `gid`, supplementary `groups`, and the `home` folder."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid, self.gid, self.groups, self.home = uid, gid, groups, home


PASSWD, GROUP = "/etc/passwd", "/etc/group"


def resolve(text: str, passwd: str = PASSWD, group: str = GROUP) -> User:
    """The user that "", "name", "uid", "name:group" or "uid:gid" means.

    With an explicit group there are no supplementary ones, as in Docker.  Raises
    UnknownUserError for a name that is not there; a number need not be there.
    """
    name, _, group_name = text.partition(":")
    name = name or "0"
    entry = _entry(name, _records(passwd, 7, name))
    if entry is None and not _number(name):
        raise UnknownUserError(f'the box has no user "{name}" in {passwd}')
    uid, gid = (int(entry[2]), int(entry[3])) if entry else (int(name), 0)
    home = (entry[5] if entry else "") or "/"
    if group_name:
        found = _entry(group_name, _records(group, 4, group_name))
        if found is None and not _number(group_name):
            raise UnknownUserError(f'the box has no group "{group_name}" in {group}')
        return User(uid, int(found[2]) if found else int(group_name), [], home)
    login = entry[0] if entry else name
    groups = _records(group, 4, login)
    member = [int(line[2]) for line in groups if login in line[3].split(",")]
    return User(uid, gid, member, home)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= MAX_ID


def _entry(name: str, records: list[list[str]]) -> list[str] | None:
    """The record of that name, else the one of that number."""
    for column in (0, 2):
        for record in records:
            if record[column] == name:
                return record
    return None


def _records(path: str, columns: int, word: str) -> list[list[str]]:
    """Lines with `word` somewhere in them, that many fields, and ids that are numbers."""
    lines = _read(path).decode(errors="replace").splitlines()
    numbers = (2, 3) if columns == 7 else (2,)
    likely = (line for line in lines if word in line)
    records = [line.split(":") for line in likely if line.count(":") >= columns - 1]
    return [r for r in records if all(_number(r[at]) for at in numbers)]


def _read(path: str) -> bytes:
    """The file's beginning; nothing if it is not an ordinary file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, LIMIT) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def give(fd: int, user: User) -> None:
    """Make the user own a pipe or terminal that is its own stdin, stdout or stderr.

    Without this `echo hi > /dev/stderr` is refused to everyone but root.
    """
    if user.uid == 0:
        return
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(fd)):
            os.fchown(fd, user.uid, -1)
    except OSError:
        return
