"""The sections of an explanation, in the order in which they are best read.  Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable

from boxy_core.explanation import Fact, Section
from boxyd.explain import mounts, network, powers
from boxyd.explain.seen import Proc, Seen, Value

FLAGS = {
    "memory": "--memory", "memory_swap": "--memory-swap",
    "memory_reservation": "--memory-reservation", "cpus": "--cpus",
    "cpu_shares": "--cpu-shares", "cpuset": "--cpuset-cpus", "pids": "--pids-limit",
    "io_weight": "--io-weight", "io_read_bps": "--device-read-bps",
    "io_write_bps": "--device-write-bps", "io_read_iops": "--device-read-iops",
    "io_write_iops": "--device-write-iops", "hugetlb": "--hugetlb",
}  # fmt: skip
"""The flag behind each field of Limits; a test holds them to the command line's own."""

_KINDS = {
    "user": "who is root: ids inside are other ids outside",
    "mnt": "what is mounted where",
    "pid": "which processes there are; the first is PID 1",
    "net": "interfaces, addresses, routes, ports",
    "ipc": "shared memory, semaphores, message queues",
    "uts": "the host name",
    "cgroup": "where the cgroup tree seems to begin",
    "time": "the monotonic and boot-time clocks",
}
_ENTER = {"user": "U", "mnt": "m", "pid": "p", "net": "n", "ipc": "i", "uts": "u", "cgroup": "C",
          "time": "T"}  # fmt: skip


def of(seen: Seen) -> list[Section]:
    """All sections; of a box that does not run, those that need no process."""
    if not seen.pid:
        return [_box(seen), mounts.layers(seen)]
    return [
        _box(seen), _processes(seen), _namespaces(seen), powers.users(seen), mounts.layers(seen),
        mounts.mounts(seen), _cgroup(seen), powers.powers(seen), network.network(seen),
    ]  # fmt: skip


def _box(seen: Seen) -> Section:
    box = seen.box
    facts = [
        Fact(what="name", value=box.name, note=f"id {box.id[:12]}"),
        Fact(what="image", value=box.image, note=box.image_id[:19]),
        Fact(what="status", value=str(box.status), note=box.error),
        Fact(what="folder", value=seen.folder, note="all that is its own on the disk",
             by_hand=f"ls {seen.folder}"),
    ]  # fmt: skip
    if seen.pid:
        shim = "owns its terminal, log and exit status; goes on without the daemon"
        facts.append(Fact(what="shim", value=str(box.shim_pid), note=shim,
                          by_hand=f"cat /proc/{box.shim_pid}/cmdline"))  # fmt: skip
    facts += [Fact(what="notice", value=notice) for notice in box.notices]
    about = "A box is a folder on the disk and, while it runs, a few processes."
    if not seen.pid:
        about += " This one does not run, so the kernel has nothing of it: start it to see more."
    return Section(key="box", title="Box", about=about, learn="13-a-system", facts=facts)


# ------------------------------------------------------------------ processes


def _processes(seen: Seen) -> Section:
    facts = [
        Fact(
            what=f"{'  ' * depth}{proc.inside}",
            value=proc.command,
            note=f"{proc.pid} on the host",
            by_hand=f"grep NSpid /proc/{proc.pid}/status",
        )
        for depth, proc in _tree(seen.processes)
    ]
    about = (
        "The tree of processes, by the numbers that the box gives them. PID 1 is the first: when "
        "it ends, the kernel ends all others."
    )
    return Section(key="processes", title="Processes", about=about, learn="06-pid-1",
                   facts=[*facts, *powers.rlimits(seen)])  # fmt: skip


def _tree(processes: list[Proc]) -> Iterable[tuple[int, Proc]]:
    """Each process with its depth, parents before children; those whose parent is not in the
    box (PID 1, and what `exec` started) are roots."""
    known = {proc.pid for proc in processes}
    children: dict[int, list[Proc]] = {}
    for proc in processes:
        children.setdefault(proc.ppid if proc.ppid in known else 0, []).append(proc)
    todo = [(0, proc) for proc in reversed(children.get(0, []))]
    while todo:
        depth, proc = todo.pop()
        yield depth, proc
        todo += [(depth + 1, child) for child in reversed(children.get(proc.pid, []))]


# ------------------------------------------------------------------ namespaces


def _namespaces(seen: Seen) -> Section:
    facts = []
    for kind, (inside, host) in seen.namespaces.items():
        own = "its own" if inside != host else "THE HOST'S"
        facts.append(
            Fact(
                what=kind,
                value=f"{inside}, {own}; the host's is {host}" if inside != host else
                f"{inside}, {own}",
                note=_KINDS[kind],
                by_hand=f"readlink /proc/{seen.pid}/ns/{kind}",
            )
        )  # fmt: skip
    letters = " ".join(f"-{_ENTER[kind]}" for kind in seen.namespaces)
    about = (
        "A namespace is what a process believes to be the whole machine in one respect. Equal "
        f"numbers mean the same one. Enter them all: nsenter -t {seen.pid} {letters} sh"
    )
    return Section(key="namespaces", title="Namespaces", about=about, learn="02-mount-namespace",
                   facts=facts)  # fmt: skip


# ------------------------------------------------------------------ cgroup


def _cgroup(seen: Seen) -> Section:
    facts = [_file(seen, value) for value in seen.cgroup]
    about = (
        "The kernel counts and limits what the box uses in a cgroup of its own. Each file can be "
        "read with cat; boxy update writes to them while the box runs."
    )
    if not facts:
        about = "This machine gives the daemon no cgroups: the box has no limits."
    return Section(key="cgroup", title="Cgroup", about=about, learn="08-cgroups", facts=facts)


def _file(seen: Seen, value: Value) -> Fact:
    path, name = value.file.path, os.path.basename(value.file.path)
    lines = value.text.splitlines()
    text = lines[0] if lines else "(empty)"
    if len(lines) > 1:
        text = ", ".join(lines[:4]) + (" ..." if len(lines) > 4 else "")
    return Fact(what=name, value=text, note=_why(seen, value.file.field), by_hand=f"cat {path}")


def _why(seen: Seen, field: str) -> str:
    if not field:
        return "a counter"
    asked = getattr(seen.box.spec.limits, field)
    flag = FLAGS[field]
    if asked in (None, {}):
        follows = field == "memory_swap" and seen.box.spec.limits.memory is not None
        return f"follows --memory; {flag} sets it" if follows else f"as usual; {flag} sets it"
    return f"set by {flag} {_shown(asked)}"


def _shown(asked: object) -> str:
    if isinstance(asked, dict):
        return ", ".join(f"{name}:{value}" for name, value in asked.items())
    return str(asked)
