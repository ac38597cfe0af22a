"""The registry under hours of work made short: nothing that was promised is lost.

    python -m tests.support.registry_soak churn [--minutes 5]
    python -m tests.support.registry_soak power-cut [--cuts 10]

`churn`: clients push, pull, mount and delete; collections every second with a grace of seconds;
workers are killed, and now and then all of the server; scrubs run meanwhile.  At the end every
acknowledged image is read, and a scrub finds nothing.

`power-cut` (root; ext4): the store lies in a file system that is stopped in the middle of it all,
without its journal being written (EXT4_IOC_SHUTDOWN of ext4, as its own tests do): whatever was
not synced is gone, as when the power fails.  It is mounted again, and the same is asked.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.registry_churn import Client, Ledger, broken_promises
from tests.support.registry_process import Registry

CLIENTS = 4
GRACE = 3.0
SETTINGS = f"""
access_log = "off"
[collection]
every = "1s"
grace = "{GRACE:.0f}s"
uploads = "5s"
untagged = true
"""
_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32) of Linux' ext4.h"""
_NO_LOG_FLUSH = 2


class Failed(RuntimeError):
    """Something that was promised does not hold."""


@contextmanager
def clients(registry: Registry, ledgers: list[Ledger], keep: int) -> Iterator[None]:
    """They work while this is open."""
    ending = threading.Event()
    threads = [Client(registry, one, ending, grace=GRACE, keep=keep) for one in ledgers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def churn(folder: Path, minutes: float) -> Counter[str]:
    """The long run; what was done.  Raises Failed."""
    registry = Registry(folder / "store")
    registry.start("--workers", "2", config=SETTINGS)
    ledgers = [Ledger(f"team/app{number}") for number in range(CLIENTS)]
    done: Counter[str] = Counter()
    try:
        with clients(registry, ledgers, keep=20):
            _harass(registry, time.monotonic() + minutes * 60, done)
        registry.stop()
        registry.start(config=SETTINGS)
        _hold_to_it(registry, ledgers, done)
        registry.stop()
        for ledger in ledgers:
            done.update(ledger.done)
        _expect_clean(registry, done)
        swept = registry.command("gc", "--grace", "0", "--untagged", "--json")
        if swept.returncode:
            raise Failed(f"the last collection: {swept.stderr}")
        _expect_clean(registry, done)
    finally:
        registry.stop(signal.SIGKILL)
    done["tracebacks in the log"] = registry.log.read_text().count("Traceback")
    return done


def _harass(registry: Registry, end: float, done: Counter[str]) -> None:
    """Kill, collect and verify while clients work."""
    choose = random.Random(1)
    while time.monotonic() < end:
        time.sleep(choose.uniform(0.3, 1.5))
        what = choose.choices(("worker", "server", "gc", "scrub"), (6, 1, 2, 1))[0]
        if what == "worker":
            with suppress(ProcessLookupError, IndexError):
                os.kill(choose.choice(registry.workers()), signal.SIGKILL)
                done["workers killed"] += 1
        elif what == "server":
            registry.stop(signal.SIGKILL)
            registry.start("--workers", "2", config=SETTINGS)
            done["servers killed"] += 1
        elif what == "gc":
            # one that the servers do already is no failure
            registry.command("gc", "--grace", f"{GRACE:.0f}s", "--untagged")
            done["collections by hand"] += 1
        else:
            _expect_clean(registry, done)


def _expect_clean(registry: Registry, done: Counter[str]) -> None:
    scrubbed = registry.command("scrub", "--json")
    if "is under way" in scrubbed.stderr or "collects" in scrubbed.stderr:
        return
    done["scrubs"] += 1
    found = json.loads(scrubbed.stdout)["findings"] if scrubbed.stdout else scrubbed.stderr
    if scrubbed.returncode or found:
        raise Failed(f"the scrub found {found}")


def _hold_to_it(registry: Registry, ledgers: list[Ledger], done: Counter[str]) -> None:
    wrong = [failure for ledger in ledgers for failure in ledger.failures]
    wrong += broken_promises(registry, ledgers)
    if wrong:
        raise Failed("\n".join(wrong[:20]))
    done["promises kept"] += sum(len(ledger.images) for ledger in ledgers)


# ------------------------------------------------------------------ power cuts


def power_cuts(folder: Path, cuts: int) -> Counter[str]:
    """The power fails so many times; what was done.  Raises Failed."""
    disk, mounted = folder / "disk", folder / "mounted"
    mounted.mkdir()
    with disk.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    ledgers = [Ledger(f"team/app{number}") for number in range(CLIENTS)]
    done: Counter[str] = Counter()
    for number in range(cuts):
        _mount(disk, mounted)
        registry = Registry(mounted / "store")
        registry.log = folder / "log"
        try:
            registry.start(*(["--workers", "2"] if number % 2 else []), config=SETTINGS)
            with clients(registry, ledgers, keep=10):
                time.sleep(random.Random(number).uniform(0.5, 4))
                wrong = [failure for ledger in ledgers for failure in ledger.failures]
                _cut(mounted)
                registry.stop(signal.SIGKILL)
            if wrong:
                raise Failed("\n".join(wrong))
            for ledger in ledgers:  # what a server says whose disk is gone counts for nothing
                ledger.failures.clear()
            done["power cuts"] += 1
        finally:
            registry.stop(signal.SIGKILL)
            _unmount(mounted)
        checked = subprocess.run(["e2fsck", "-p", disk], capture_output=True, check=False)
        if checked.returncode > 1:
            raise Failed(f"the file system: {checked.stdout!r}")
        _mount(disk, mounted)
        try:
            registry.start(config=SETTINGS)
            _hold_to_it(registry, ledgers, done)
            _expect_clean(registry, done)
        finally:
            registry.stop(signal.SIGKILL)
            _unmount(mounted)
    for ledger in ledgers:
        done.update(ledger.done)
    return done


def _mount(disk: Path, target: Path) -> None:
    subprocess.run(["mount", "-o", "loop", disk, target], check=True)


def _unmount(target: Path) -> None:
    """Once the workers have noticed that their parent is gone."""
    deadline = time.monotonic() + 20
    while subprocess.run(["umount", target], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise Failed(f"{target} stays busy")
        time.sleep(0.1)


def _cut(mounted: Path) -> None:
    fd = os.open(mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(fd)


def main() -> int:
    """Run one of both; 0 if all promises hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=("churn", "power-cut"))
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--cuts", type=int, default=10)
    options = parser.parse_args()
    if options.what == "power-cut" and "BX_OWN_MOUNTS" not in os.environ:
        # mounts of our own: none is left behind, and no other namespace keeps a dead one alive
        os.environ["BX_OWN_MOUNTS"] = "1"
        ours = [sys.executable, "-m", "tests.support.registry_soak", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *ours])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bx-soak-") as folder:
        try:
            if options.what == "churn":
                done = churn(Path(folder), options.minutes)
            else:
                done = power_cuts(Path(folder), options.cuts)
        except Failed as failure:
            print(f"FAILED: {failure}", file=sys.stderr)
            return 1
    for what, count in sorted(done.items()):
        print(f"{count:10,}  {what}")
    print(f"{time.monotonic() - began:10,.0f}  seconds; all that was acknowledged is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
