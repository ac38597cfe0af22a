"""The drivers on this machine's own cgroups: limits bite, freezing holds, killing is final."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from boxy_core.errors import Conflict, InvalidRequest
from boxy_core.models import Limits
from boxyd.cgroup import DEFAULT_DEVICES, Cgroup, DeviceRule, Driver
from boxyd.cgroup.devices_bpf import DevicePrograms
from boxyd.cgroup.reader import (
    CPU_USEC,
    IO_WRITE,
    MEMORY_LIMIT,
    MEMORY_USAGE,
    NET_RX,
    NET_TX,
    OOM_KILLS,
    PIDS,
    THROTTLED_USEC,
    Row,
)
from boxyd.stats import Sampler
from tests.conftest import Workspace
from tests.privileged.cgroup.conftest import CONTROLLERS, KIND, Spawn
from tests.support.cgroup_suite import MIB, DriverSuite, folders

READY = "import sys; print('ready', flush=True); "
WAIT = READY + "sys.stdin.read()"
SPIN = READY + "\nwhile True: pass"
EAT = """
import sys
held = bytearray(int(sys.argv[1]))
for at in range(0, len(held), 4096): held[at] = 1
print('ready', flush=True)
sys.stdin.read()
"""
BOMB = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.02)
"""


def wait_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


def read_once(group: Cgroup, net_pid: int = 0) -> Row:
    reader = group.reader(net_pid)
    row = list(reader.read())
    reader.close()
    return row


class TestEveryDriver(DriverSuite):
    """The shared suite, on real cgroups."""


# ------------------------------------------------------------------ limits


def test_memory_beyond_the_limit_is_an_out_of_memory_kill_and_counted(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits(memory=32 * MIB))
    assert group.oom_kills() == 0
    process = spawn(group, EAT, str(100 * MIB))
    assert process.wait(30) == -signal.SIGKILL
    assert group.oom_kills() >= 1
    assert read_once(group)[OOM_KILLS] >= 1
    group.remove()


def test_a_kill_by_someone_is_no_out_of_memory_kill(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits(memory=64 * MIB))
    process = spawn(group, WAIT)
    wait_ready(process)
    group.kill()
    assert process.wait(30) == -signal.SIGKILL
    assert group.oom_kills() == 0
    group.remove()


def test_no_more_processes_than_the_limit_can_be_made(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits(pids=8))
    forks = """
import os, sys
made = 0
try:
    for _ in range(50):
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        made += 1
except OSError as error:
    print(made, error.errno, flush=True)
sys.stdin.read()
"""
    process = spawn(group, forks)
    assert process.stdout is not None
    assert process.stdout.readline().split() == [b"7", str(errno.EAGAIN).encode()]
    assert len(group.pids()) == 8
    assert read_once(group)[PIDS] == 8
    group.kill()
    group.remove()


def test_a_share_of_a_cpu_is_kept_by_throttling(driver: Driver, parent: str, spawn: Spawn) -> None:
    group = driver.create(f"{parent}/one", Limits(cpus=0.1))
    process = spawn(group, SPIN)
    wait_ready(process)
    wait_until(lambda: read_once(group)[THROTTLED_USEC] > 50_000)
    group.set(Limits())
    before = read_once(group)
    wait_until(lambda: read_once(group)[CPU_USEC] > before[CPU_USEC] + 300_000)
    assert read_once(group)[THROTTLED_USEC] - before[THROTTLED_USEC] < 200_000
    group.remove()


def test_memory_can_be_raised_and_lowered_but_not_below_what_is_used(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits(memory=64 * MIB))
    process = spawn(group, EAT, str(40 * MIB))
    wait_ready(process)
    with pytest.raises(Conflict, match="more than the new limit"):
        group.set(Limits(memory=16 * MIB))
    assert read_once(group)[MEMORY_LIMIT] == 64 * MIB
    assert process.poll() is None
    group.set(Limits(memory=256 * MIB))
    group.set(Limits(memory=60 * MIB, memory_swap=90 * MIB))
    assert read_once(group)[MEMORY_LIMIT] == 60 * MIB
    assert process.poll() is None
    assert group.oom_kills() == 0
    group.remove()


if "cpuset" in CONTROLLERS:

    def test_a_choice_of_cpus_holds_and_is_taken_back(
        driver: Driver, parent: str, spawn: Spawn
    ) -> None:
        group = driver.create(f"{parent}/one", Limits(cpuset="0"))
        process = spawn(group, WAIT)
        wait_ready(process)
        assert os.sched_getaffinity(process.pid) == {0}
        group.set(Limits())
        assert os.sched_getaffinity(process.pid) == os.sched_getaffinity(1)
        with pytest.raises(InvalidRequest, match="a choice of CPUs") as refusal:
            group.set(Limits(cpuset="900"))
        assert "CPUs" in refusal.value.hint
        group.remove()


# ------------------------------------------------------------------ getting in


def test_a_process_that_moves_itself_is_in_every_hierarchy(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits())
    process = spawn(group, WAIT)
    wait_ready(process)
    with open(f"/proc/{process.pid}/cgroup", encoding="ascii") as file:
        places = [line.split(":", 2)[2].strip() for line in file]
    assert places.count(f"/{parent}/one") == len(folders(group))
    assert group.pids() == [process.pid]
    assert group.populated()
    group.remove()


if KIND != "v2":

    def test_a_single_thread_gets_in_by_the_tasks_files(driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        descriptors = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in group.plan().tasks]
        child = os.fork()
        if child == 0:
            for descriptor in descriptors:
                os.write(descriptor, b"0")
            signal.pause()
        wait_until(lambda: _places(child).count(f"/{parent}/one") == len(descriptors))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for descriptor in descriptors:
            os.close(descriptor)
        group.remove()


def _places(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return [line.split(":", 2)[2].strip() for line in file]


# ------------------------------------------------------------------ freezing and killing


def test_a_frozen_box_uses_no_cpu_and_goes_on_afterwards(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits())
    process = spawn(group, SPIN)
    wait_ready(process)
    group.freeze()
    assert group.frozen()
    still = read_once(group)[CPU_USEC]
    time.sleep(0.2)
    assert read_once(group)[CPU_USEC] == still
    group.thaw()
    wait_until(lambda: read_once(group)[CPU_USEC] > still)
    group.remove()


@pytest.mark.parametrize("paused", [False, True])
def test_a_fork_bomb_is_killed_to_the_last_process(
    driver: Driver, parent: str, spawn: Spawn, paused: bool
) -> None:
    size = 200 if os.environ.get("BOXY_TEST_VM") else 1000  # there a fork takes 20 ms
    group = driver.create(f"{parent}/one", Limits(pids=size))
    process = spawn(group, BOMB)
    wait_until(lambda: len(group.pids()) >= size * 0.9)
    if paused:
        group.freeze()
    group.kill(timeout=30)
    assert group.pids() == []
    assert process.wait(30) == -signal.SIGKILL
    group.remove()


def test_removal_kills_what_is_left_paused_or_not(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    for paused in (False, True):
        group = driver.create(f"{parent}/one", Limits())
        process = spawn(group, SPIN)
        wait_ready(process)
        if paused:
            group.freeze()
        group.remove()
        assert process.wait(30) == -signal.SIGKILL
        assert not any(os.path.exists(folder) for folder in folders(group))


# ------------------------------------------------------------------ counters


def test_counters_tell_what_a_process_really_uses(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    group = driver.create(f"{parent}/one", Limits())
    process = spawn(group, EAT, str(50 * MIB))
    wait_ready(process)
    row = read_once(group)
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        ticks = sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    # the second reading comes a while later, and user and system time are cut to whole ticks
    used = ticks * 1e6 / os.sysconf("SC_CLK_TCK")
    assert abs(row[CPU_USEC] - used) < 100_000 + used / 10
    assert 50 * MIB <= row[MEMORY_USAGE] < 80 * MIB
    assert row[PIDS] == 1
    group.remove()


def test_written_bytes_are_counted(driver: Driver, parent: str, spawn: Spawn) -> None:
    folder = "/scratch" if os.environ.get("BOXY_TEST_VM") else "/var/tmp"
    file = f"{folder}/{os.path.basename(parent)}"
    write = """
import mmap, os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
os.unlink(sys.argv[1])
block = mmap.mmap(-1, 1 << 20)
for _ in range(4): os.write(file, block)
"""
    group = driver.create(f"{parent}/one", Limits())
    assert spawn(group, write, file).wait(30) == 0
    assert 4 * MIB <= read_once(group)[IO_WRITE] < 6 * MIB
    group.remove()


PAIR = """
import select, socket, subprocess, sys
for words in ("add one type veth peer two", "set lo up", "set one up", "set two up"):
    subprocess.run(["ip", "link", *words.split()], check=True)
ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3)) for _ in range(2)]
for end, name in zip(ends, ("one", "two")):
    end.bind((name, 0))
received = b""
while len(received) < 1000:  # a new link takes a moment to carry anything
    ends[0].send(bytes(1000))
    if select.select(ends[1:], (), (), 0.01)[0]:
        received = ends[1].recv(2000)
loopback = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(20):
    loopback.sendto(bytes(50_000), ("127.0.0.1", 9))
print("ready", flush=True)
sys.stdin.read()
"""


def test_network_counters_are_those_of_all_links_but_loopback(driver: Driver, parent: str) -> None:
    group = driver.create(f"{parent}/one", Limits())
    command = ["unshare", "--net", sys.executable, "-I", "-S", "-c", PAIR]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def counted(kind: str) -> int:
        inside = ["nsenter", f"--net=/proc/{process.pid}/ns/net", "ip", "-s", "-j", "link"]
        links = json.loads(subprocess.run(inside, capture_output=True, check=True).stdout)
        return sum(link["stats64"][kind]["bytes"] for link in links if link["ifname"] != "lo")

    with process:
        wait_ready(process)
        reader = group.reader(net_pid=process.pid)
        low = counted("rx"), counted("tx")
        row = list(reader.read())
        high = counted("rx"), counted("tx")
        reader.close()
        process.communicate()
    assert 1000 <= low[0] <= row[NET_RX] <= high[0] < 1_000_000
    assert 1000 <= low[1] <= row[NET_TX] <= high[1] < 1_000_000
    group.remove()


async def test_the_sampler_sees_use_and_an_out_of_memory_kill(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    told: list[str] = []
    sampler = Sampler(on_oom=lambda box, kills: told.append(box))
    group = driver.create(f"{parent}/one", Limits(memory=48 * MIB, pids=20))
    sampler.add("box", group)
    await sampler.tick()
    spinning = spawn(group, SPIN)
    wait_ready(spinning)
    await asyncio.sleep(0.3)
    stats = (await sampler.tick()).get("box")
    assert stats is not None
    assert stats.cpu_percent > 1
    assert (stats.memory_limit, stats.pids_limit) == (48 * MIB, 20)
    assert spawn(group, EAT, str(100 * MIB)).wait(30) == -signal.SIGKILL
    await sampler.tick()
    assert told == ["box"]
    sampler.close()
    group.remove()


# ------------------------------------------------------------------ devices

OPEN = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        print('allowed', end=' ')
    except OSError as error:
        print(error.strerror, end=' ')
"""
REFUSED = os.strerror(errno.EPERM)


def opened(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=30)[0].decode().strip()


def test_only_allowed_devices_can_be_opened(driver: Driver, parent: str, spawn: Spawn) -> None:
    group = driver.create(f"{parent}/one", Limits())
    assert group.notices == []
    assert opened(spawn(group, OPEN, "/dev/null", "/dev/kmsg")) == f"allowed {REFUSED}"
    group.remove()


def test_a_further_device_can_be_allowed_and_all_of_them(
    driver: Driver, parent: str, spawn: Spawn
) -> None:
    more = (*DEFAULT_DEVICES, DeviceRule.of_node("/dev/kmsg", "rw"))
    for devices in (more, None):
        group = driver.create(f"{parent}/one", Limits(), devices=devices)
        assert opened(spawn(group, OPEN, "/dev/null", "/dev/kmsg")) == "allowed allowed"
        group.remove()


if KIND in ("v2", "hybrid"):

    def test_the_device_program_of_v2_holds(driver: Driver, parent: str, spawn: Spawn) -> None:
        group = driver.create(f"{parent}/one", Limits(), devices=None)
        into = group.plan().into
        if not into:  # the driver of a hybrid host that was told to leave v2 aside
            group.remove()
            return
        programs = DevicePrograms()
        programs.attach(into, DEFAULT_DEVICES)
        programs.close()  # what is attached stays in force
        assert opened(spawn(group, OPEN, "/dev/zero", "/dev/kmsg")) == f"allowed {REFUSED}"
        group.remove()


# ------------------------------------------------------------------ inside another container

NESTED = """
import os, subprocess, sys
sys.path[:0] = sys.argv[2:]
from boxy_core.models import Limits
from boxyd.cgroup import detect
root = sys.argv[1]
subprocess.run(["mount", "-t", "cgroup2", "cgroup2", root], check=True)
driver = detect(root, "boxy")
group = driver.create("boxy/one", Limits(memory=32 << 20))
print(driver.kind, len(driver.notices) - ("cpuset" not in driver.controllers), flush=True)
print(open("/proc/self/cgroup").read().strip(), flush=True)
print(open(group.plan().into + "/memory.max").read().strip(), flush=True)
group.remove()
"""

if KIND == "v2":

    def test_boxes_run_inside_a_container_of_another_runtime(
        driver: Driver, parent: str, spawn: Spawn, workspace: Workspace
    ) -> None:
        outer = driver.create(f"{parent}/outer", Limits(), devices=None)
        unshare = "import os, sys; os.execvp('unshare', ['unshare', '-m', '-C', *sys.argv[1:]])"
        place = workspace.folder / "cgroup"
        place.mkdir()
        python = [sys.executable, "-c", NESTED, str(place), os.getcwd()]
        process = spawn(outer, unshare, *python)
        answer = process.communicate(timeout=60)[0].decode().splitlines()
        assert answer == ["v2 0", "0::/boxyd", str(32 * MIB)]
        outer.remove()
