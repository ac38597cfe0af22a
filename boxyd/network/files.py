"""resolv.conf and hosts of a box.  Pure, but for `rewrite`.

The names of a network stand in each box's hosts file, too, between two marks: while no daemon
answers DNS, boxes still find each other.  What a box's own root writes outside of the marks
stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
BEGIN, END = "# boxes of its networks, kept by Boxy", "# until here"
LARGEST = 1 << 20
"""bytes of a hosts file that is still rewritten: a box may have made it larger"""


def resolv_conf(servers: Sequence[str], search: Sequence[str], options: Sequence[str] = ()) -> str:
    """resolv.conf(5)."""
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n" if lines else "# This box has no network.\n"


def hosts(own: Mapping[str, Sequence[str]], extra: Iterable[tuple[str, str]], others: str) -> str:
    """What `hosts` holds: loopback, `own` addresses with their names, `extra`, others."""
    lines = [f"{address}\t{' '.join(names)}" for address, names in own.items()]
    lines += [f"{address}\t{name}" for name, address in extra]
    return LOCAL + "".join(line + "\n" for line in lines) + others


def block(others: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The part between the marks: address and names of each other box."""
    lines = [f"{address}\t{' '.join(names)}" for address, names in others if names]
    return "\n".join([BEGIN, *lines, END]) + "\n"


def merged(text: str, others: str) -> str:
    """The hosts file with the part between the marks replaced; added if it was removed."""
    before, begin, rest = text.partition(BEGIN + "\n")
    if not begin:
        return text + ("" if text.endswith("\n") or not text else "\n") + others
    _, end, after = rest.partition(END + "\n")
    return before + others + (after if end else "")


def exchanged(text: str, before: str, after: str) -> str:
    """The hosts file `text` of a box whose own lines are those of `after` now, no longer those
    of `before`: the ones that are gone are taken out, wherever they stand, the new ones stand
    before the marks.  Whatever else is in it stays."""
    old, new = (one.partition(BEGIN + "\n")[0].splitlines() for one in (before, after))
    head, begin, rest = text.partition(BEGIN + "\n")
    gone = set(old).difference(new)
    lines = [line for line in head.splitlines() if line not in gone]
    lines += [line for line in new if line not in old]
    return "".join(line + "\n" for line in lines) + begin + rest


def rewrite(path: str, change: Callable[[str], str]) -> None:
    """Change a file that a box reads, in place: the box sees this very file.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size > LARGEST:
            return
        old = os.read(fd, LARGEST).decode(errors="replace")
        new = change(old)
        if new != old:
            data = new.encode()
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
