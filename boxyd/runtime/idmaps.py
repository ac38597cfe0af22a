"""Which user of a box is which owner of files that are shown in it (user_namespaces(7)).

A mount's map leads from the numbers on the disk to the host's numbers of the box's users
(mount_setattr(2), MOUNT_ATTR_IDMAP).  The kernel wants it one-to-one: two users of the box can
never be the same owner on the disk.

Constraint: pure but for `namespace`.
"""

from __future__ import annotations

import os

from boxyd.runtime import syscalls as sys_

COUNT = 65536
"""ids of a box"""

Ranges = list[tuple[int, int, int]]
"""(first id on the disk, first id in the box, how many)"""


def owners(owner: int, user: int) -> Ranges:
    """The map by which files of `owner` are `user`'s in the box, and new ones the owner's.

    All others keep their numbers, but for two things: who already had one of these two numbers
    gets the other one (where neither is root's), and nothing in the box stands for the host's
    root, so that no file of root's can be made, or changed, in a folder of a user's.
    """
    special = {owner: user}
    if user not in (owner, 0) and owner < COUNT:
        special[user] = owner
    passed = sorted({owner, user, 0} if owner else {owner, user})
    ranges = [(disk, box, 1) for disk, box in special.items()]
    start = 0
    for number in [n for n in passed if n < COUNT] + [COUNT]:
        if number > start:
            ranges.append((start, start, number - start))
        start = number + 1
    return sorted(ranges)


def same() -> Ranges:
    """The map by which everyone keeps his number."""
    return [(0, 0, COUNT)]


def text(ranges: Ranges, base: int) -> str:
    """The lines for uid_map or gid_map; `base` is the host's number of the box's root."""
    return "".join(f"{disk} {base + box} {count}\n" for disk, box, count in ranges)


def namespace(uids: str, gids: str) -> int:
    """A user namespace with these maps, as an fd."""
    holder = sys_.Parked(sys_.CLONE_NEWUSER)
    try:
        for name, lines in (("uid_map", uids), ("gid_map", gids)):
            fd = os.open(f"/proc/{holder.pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, lines.encode())
            finally:
                os.close(fd)
        return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        holder.end()
