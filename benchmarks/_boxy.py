"""Our side of a benchmark: a daemon of its own, and what its processes cost."""

from __future__ import annotations

import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry, make_registry
from tests.support.leaks import cgroup_roots, remove_cgroup_root, remove_empty_boxy_cgroups


def program(name: str) -> list[str]:
    """How a user's shell starts one of our programs: by the script that the install made."""
    script = Path(sys.executable).with_name(name)
    if not script.exists():
        raise SystemExit(f"{script} does not exist; install Boxy there first (make run does).")
    return [str(script)]


@contextmanager
def own_daemon() -> Iterator[tuple[Daemon, AlpineRegistry]]:
    """A daemon with the image `alpine`, apart from any other; gone with its boxes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bx-"))
    tag = f"bench-{secrets.token_hex(4)}"
    try:
        registry = make_registry(folder / "registry")
        daemon = Daemon(folder, f"boxy/{tag}", [registry.folder])
        daemon.start()
        try:
            yield daemon, registry
        finally:
            daemon.close()
    finally:
        for root in cgroup_roots():  # a peer may have left its own beside ours
            for left in sorted((root / "boxy" / tag).glob("**/*/"), reverse=True):
                left.rmdir()
        remove_cgroup_root(tag)
        remove_empty_boxy_cgroups()
        shutil.rmtree(folder, ignore_errors=True)


def private_memory(pid: int) -> int:
    """Bytes of memory that only this process has (proc_pid_smaps_rollup(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.MULTILINE)))


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process took so far (/proc/PID/task/TID/schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def processes_named(name: str) -> set[int]:
    """Ids of the processes whose name begins so (the kernel keeps 15 bytes of a name)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().startswith(name[:15]):
                found.add(int(entry.name))
        except OSError:
            continue
    return found
