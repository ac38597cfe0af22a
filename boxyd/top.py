"""The processes of a box, read from /proc, as `boxy top` shows them.

Constraint: processes come and go while they are read; one that vanishes is left out.  What a
process says of itself (its command line) is a stranger's text and is made printable here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from boxy_core.models import Process

RANGE = 65536
"""ids of a box's user namespace, user_namespaces(7)"""
NOBODY = 65534
_HERTZ = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHOWN = 4096
"""bytes of a command line that are shown"""


def read(pids: Iterable[int], id_base: int, proc: str = "/proc") -> list[Process]:
    """The processes with these pids of the host, oldest first; uids as the box sees them."""
    boot = _boot_time(proc)
    found = (_read_one(pid, id_base, boot, proc) for pid in pids)
    return sorted((p for p in found if p is not None), key=lambda p: (p.started, p.pid))


def uid_in_box(uid: int, id_base: int) -> int:
    """The host's uid as the box sees it; `id_base` 0: it has no user namespace."""
    if not id_base:
        return uid
    return uid - id_base if 0 <= uid - id_base < RANGE else NOBODY


def command_of(pid: int, proc: str = "/proc") -> str:
    """The command line of a process, printable; "" when it has gone."""
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().rstrip("\n")
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            return _command(file.read(_SHOWN), name)
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _read_one(pid: int, id_base: int, boot: float, proc: str) -> Process | None:
    folder = f"{proc}/{pid}"
    try:
        uid = os.stat(folder).st_uid
        with open(folder + "/stat", encoding="utf-8", errors="replace") as file:
            stat = file.read()
        with open(folder + "/cmdline", "rb") as file:
            cmdline = file.read(_SHOWN)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc(5): the name is in parentheses and may itself hold parentheses and blanks
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        uid=uid_in_box(uid, id_base),
        state=fields[0],
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _HERTZ,
        rss=int(fields[21]) * _PAGE,
        started=boot + int(fields[19]) / _HERTZ,
        command=_command(cmdline, name),
    )


def _command(cmdline: bytes, name: str) -> str:
    words = cmdline.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    text = words or f"[{name}]"
    return "".join(c if c.isprintable() else "?" for c in text)


def _boot_time(proc: str) -> float:
    with open(proc + "/stat", encoding="ascii", errors="replace") as file:
        for text in file:
            if text.startswith("btime "):
                return float(text.split()[1])
    return 0.0
