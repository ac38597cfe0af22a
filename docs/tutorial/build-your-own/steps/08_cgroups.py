#!/usr/bin/env python3
"""Step 8: no more memory, processor time and processes than it may have.

usage: 08_cgroups.py [--memory MIB] [--pids N] [--cpu SHARE] COMMAND [ARGUMENT...]
"""

import argparse
import contextlib
import ctypes
import errno
import os
import signal
import sys
from pathlib import Path

CLONE_NEWPID, CLONE_NEWCGROUP, PR_SET_PDEATHSIG = 0x20000000, 0x02000000, 1
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object, about: str = "") -> None:
    """Call a function of the C library; raise OSError where it returns -1."""
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name} {about}")


def fail(status: int, message: str) -> None:
    """Say on stderr what went wrong and end this process at once."""
    print(f"08_cgroups.py: {message}", file=sys.stderr, flush=True)
    os._exit(status)


def write(path: str, text: str) -> None:
    """Write a file of the kernel's; an error names it."""
    try:
        Path(path).write_text(text, encoding="ascii")
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def find(name: str) -> tuple[str, int]:
    """Where a controller's hierarchy is mounted, and its version, 1 or 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup" and name in options.split(","):
            return point, 1
        if kind == "cgroup2" and name in Path(point, "cgroup.controllers").read_text().split():
            return point, 2
    raise OSError(2, "this kernel offers it in no cgroup hierarchy", f"controller {name}")


def files(controller: str, version: int, value: float) -> dict[str, str]:
    """What to write into which file of a cgroup: cgroups(7), the kernel's cgroup-v2.rst."""
    number, quota = str(int(value)), str(int(value * 100_000))  # microseconds of each 100,000
    return {
        ("memory", 1): {"memory.limit_in_bytes": number, "memory.memsw.limit_in_bytes": number},
        ("memory", 2): {"memory.max": number, "memory.swap.max": "0", "memory.oom.group": "1"},
        ("pids", 1): {"pids.max": number},
        ("pids", 2): {"pids.max": number},
        ("cpu", 1): {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": quota},
        ("cpu", 2): {"cpu.max": f"{quota} 100000"},
    }[controller, version]


def make_cgroup(controller: str) -> tuple[str, int]:
    """A new cgroup below boxy/ in a controller's hierarchy; its folder and version."""
    folder, version = find(controller)
    for part in ("boxy", f"tutorial-{os.getpid()}"):
        if version == 2:  # a parent hands each controller down to its children by name
            write(folder + "/cgroup.subtree_control", "+" + controller)
        folder += "/" + part
        os.makedirs(folder, exist_ok=True)
    return folder, version


def remove_cgroup(folder: str) -> None:
    """Remove it, and boxy/ above unless others are in there."""
    for path in (folder, os.path.dirname(folder)):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def killed_for_memory(folder: str) -> int:
    """How many processes of a cgroup the kernel killed since it had no memory left for them."""
    for name in ("memory.events", "memory.oom_control"):  # version 2, version 1
        with contextlib.suppress(OSError):
            words = Path(folder, name).read_text().split()
            return int(words[words.index("oom_kill") + 1])
    return 0


def enter(cgroups: list[str], command: list[str]) -> None:
    """In the child: go in, then become the command.  Returns never."""
    try:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
        for cgroup in cgroups:
            write(cgroup + "/cgroup.procs", "0")  # 0 is whoever writes
        call("unshare", CLONE_NEWCGROUP)  # from now on our cgroup looks like the top one
    except OSError as error:
        fail(125, f"cannot enter the cgroup: {error.filename}: {error.strerror}")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        fail(127 if error.errno == errno.ENOENT else 126, f"{command[0]}: {error.strerror}")


def run(limits: dict[str, float], command: list[str]) -> int:
    """Run a command within limits (bytes, processes, processors); its exit status."""
    cgroups: list[str] = []
    try:
        for name, value in limits.items():
            folder, version = make_cgroup(name)
            cgroups.append(folder)
            for file, text in files(name, version, value).items():
                if os.path.exists(f"{folder}/{file}"):  # without swap there is no limit for it
                    write(f"{folder}/{file}", text)
        call("unshare", CLONE_NEWPID)  # whatever it starts dies with it, and the cgroup is free
        pid = os.fork()
        if pid == 0:
            enter(cgroups, command)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if any(map(killed_for_memory, cgroups)):
            print("08_cgroups.py: out of memory: the kernel killed it", file=sys.stderr)
        return code if code >= 0 else 128 - code
    finally:
        for cgroup in cgroups:
            remove_cgroup(cgroup)


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2])
    for name in ("--memory", "--pids", "--cpu"):
        parser.add_argument(name, type=float, default=0)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if not asked.command:
        parser.error("which command?")
    try:
        limits = {"memory": asked.memory * 2**20, "pids": asked.pids, "cpu": asked.cpu}
        return run({name: value for name, value in limits.items() if value}, asked.command)
    except OSError as error:
        fail(125, f"cannot make the cgroup: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
