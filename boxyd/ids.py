"""Ranges of host ids for boxes: each box's root and users are nobodies of their own outside.

Constraint: pure but for reading the files that others use to reserve ids.  A box's range is
recorded in its `box.json` (`id_base`), so what is taken is what boxes say; nothing else is
kept.  Where `/etc/subuid` and `/etc/subgid` both give ids to the user `boxy`, only those are
used; elsewhere a large range is, less what those files give to others (subuid(5)).
"""

from __future__ import annotations

from collections.abc import Iterable

from boxy_core.errors import Conflict

COUNT = 65536
"""ids of one box"""
NAME = "boxy"
FIRST, LAST = 0x4000_0000, 0x7000_0000
"""host ids that are Boxy's unless subuid(5) says otherwise; below what is signed in 32 bits"""

Range = tuple[int, int]
"""first id, and the one behind the last"""


def allocate(
    taken: Iterable[int],
    after: int = 0,
    /,
    *,
    subuid: str = "/etc/subuid",
    subgid: str = "/etc/subgid",
) -> int:
    """The lowest free base that is above `after`, or if there is none the lowest of all.

    Raises Conflict when every range is in use.
    """
    uids, gids = _read(subuid), _read(subgid)
    used = {base // COUNT for base in taken if base > 0}
    foreign = [r for owner, r in uids + gids if owner != NAME]
    pool = _pool(uids, gids)
    for first, end in (*((max(first, after + 1), end) for first, end in pool), *pool):
        base = -(-first // COUNT) * COUNT
        while base + COUNT <= end:
            clash = next((r for r in foreign if r[0] < base + COUNT and base < r[1]), None)
            if clash:
                base = -(-clash[1] // COUNT) * COUNT
            elif base // COUNT in used:
                base += COUNT
            else:
                return base
    raise Conflict(
        "every range of user ids for boxes is in use",
        hint="remove boxes that are no longer needed, or give `boxy` more ids in /etc/subuid "
        "and /etc/subgid",
    )


def _pool(uids: list[tuple[str, Range]], gids: list[tuple[str, Range]]) -> list[Range]:
    """Where bases may lie: what both files give to `boxy`, else the large range."""
    ours = [
        (max(u[0], g[0]), min(u[1], g[1]))
        for name, u in uids
        if name == NAME
        for other, g in gids
        if other == NAME and max(u[0], g[0]) < min(u[1], g[1])
    ]
    return sorted(ours) or [(FIRST, LAST)]


def _read(path: str) -> list[tuple[str, Range]]:
    """The lines `owner:first:count`; others are passed over."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip().split(":") for line in file]
    except OSError:
        return []
    return [
        (line[0], (int(line[1]), int(line[1]) + int(line[2])))
        for line in lines
        if len(line) == 3 and line[1].isdecimal() and line[2].isdecimal()
    ]
