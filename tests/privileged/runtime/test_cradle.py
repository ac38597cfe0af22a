"""A box that is born in what was made before it was asked for is like any other."""

# ruff: noqa: ASYNC240 - nothing else runs in a test's loop

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from boxy_core.errors import CommandNotFound, StartFailed
from boxy_core.models import Limits
from tests.privileged.runtime.rig import Rig, alive
from tests.support.waiting import eventually_async as eventually

LOOK = r"""
exec 2>&1
cut -d' ' -f4- /proc/self/mountinfo | sort
grep -E 'Cap|Seccomp|NoNew|Groups|Uid|Gid|NSpid|NSsid|SigBlk|SigIgn|Umask' /proc/self/status
cat /proc/1/comm /proc/1/oom_score_adj /proc/self/cgroup
ls -ln /proc/1/ns | sed 's/.*:[0-9]* //; s/:\[.*//'
ls -lnd / /proc /sys /dev/* /dev/pts/* /proc/keys /sys/firmware /sys/class/net/lo |
    sed 's/ [A-Z][a-z][a-z] .*:[0-9]*//; s/^\([^ ]*\) *[0-9]*/\1/'
ls /proc/self/fd /sys/class/net
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range
cat /proc/1/limits
env | sort; pwd; id; ip addr
touch /dev/shm/mine && ls -ln /dev/shm/mine | cut -c1-30
echo 1 > /proc/sysrq-trigger; echo 1 > /proc/sys/kernel/panic; mount -t tmpfs none /mnt
"""


def plain(text: bytes, base: int) -> list[str]:
    """What a box saw, without the numbers that are its own."""
    words = re.sub(r"\b[0-9a-f]{12,}\b", "ID", text.decode())
    words = re.sub(rf"\b{base}\b", "BASE", re.sub(rf"\b{base + 5}\b", "TTY", words))
    # who made a memory file system as the box's root says so, who did so before must name him
    words = words.replace(",uid=BASE,gid=BASE", "")
    return re.sub(r"\b(shared|master):\d+ ", "", words).splitlines()


@pytest.mark.parametrize("more", [{}, {"tty": True}, {"user": "daemon", "init": True}])
async def test_it_cannot_be_told_from_one_that_was_made_the_long_way(
    rig: Rig, more: dict[str, Any]
) -> None:
    seen, took = [], []
    for _ in range(2):
        link, client = await rig.launch(rig.plan("sh", "-c", LOOK, **more))
        await client.finish()
        await link.wait_exit()
        seen.append(plain(client.output(), rig.bases[-1]))
        took.append(link.took)
        await rig.cradle()
    assert ["ahead" in times for times in took] == [False, True], "the first one taught it"
    assert seen[1] == seen[0]
    assert len(seen[0]) > 100


async def test_nothing_is_left_of_what_it_was_made_of(rig: Rig) -> None:
    await rig.run("true")
    cradle = await rig.cradle()
    link = await rig.detached("sleep", "1000")
    assert "ahead" in link.took
    shim = psutil.Process(link.shim_pid)
    await eventually(lambda: [child.pid for child in shim.children()] == [link.pid])
    assert not psutil.pid_exists(cradle)
    status = Path(f"/proc/{link.pid}/status").read_text()
    assert re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE), "it is PID 1 of its own namespace"
    await link.signal(signal.SIGKILL)
    assert (await link.wait_exit()).signal == signal.SIGKILL


async def test_a_box_that_wants_something_else_is_made_the_long_way(rig: Rig) -> None:
    await rig.run("true")
    cradle = await rig.cradle()
    link, client = await rig.launch(rig.plan("df", "-k", "/dev/shm", shm_size=3 << 20))
    await client.finish()
    assert b" 3072 " in client.output()
    await link.wait_exit()
    assert "ahead" not in link.took
    await eventually(lambda: not alive(cradle))
    await rig.cradle()
    link = await rig.detached("true")
    await link.wait_exit()
    assert "ahead" in link.took, "one that is not like the others changes nothing"


async def test_where_it_died_the_box_is_made_the_long_way(rig: Rig) -> None:
    await rig.run("true")
    os.kill(await rig.cradle(), signal.SIGKILL)
    info, client = await rig.run("echo", "here")
    assert (info.status, client.output()) == (0, b"here\n")
    assert "ahead" not in rig.links[-1].took


async def test_while_it_waits_it_holds_nothing_of_the_host(rig: Rig) -> None:
    await rig.run("true")
    cradle = await rig.cradle()
    kinds = {
        line.partition(" - ")[2].split()[0]
        for line in Path(f"/proc/{cradle}/mountinfo").read_text().splitlines()
    }
    assert kinds == {"tmpfs", "proc", "sysfs"}
    assert os.readlink(f"/proc/{cradle}/cwd") == "/"
    held = {fd.stat().st_dev for fd in Path(f"/proc/{cradle}/fd").iterdir()}
    assert not held & {os.stat(place).st_dev for place in ("/", rig.tree, rig.paths.root)}
    await rig.launcher.close()
    await eventually(lambda: not psutil.pid_exists(cradle))


async def test_a_start_that_fails_in_it_says_why_and_leaves_nothing(rig: Rig) -> None:
    await rig.run("true")
    for _ in range(2):
        await rig.cradle()
        with pytest.raises(CommandNotFound, match="nonesuch"):
            await rig.launch(rig.plan("nonesuch"), following=rig.following)
    await rig.cradle()
    with pytest.raises(StartFailed, match="nobody-here"):
        await rig.launch(rig.plan("true", user="nobody-here"), following=rig.following)
    cradle = await rig.cradle()
    zygote = psutil.Process(rig.launcher.pid)
    await eventually(lambda: len(zygote.children()) == 1)
    assert alive(cradle)


async def test_a_cgroup_that_cannot_be_made_ends_it_unborn(rig: Rig) -> None:
    def refuse() -> None:
        raise OSError(28, "no space left")

    await rig.run("true")
    cradle = await rig.cradle()
    with pytest.raises(OSError, match="no space"):
        await rig.launch(rig.plan("true"), meanwhile=refuse)
    await eventually(lambda: not alive(cradle))


async def test_too_little_memory_is_told_as_ever(rig: Rig) -> None:
    await rig.run("true")
    await rig.cradle()
    made = rig.plan("sh", "-c", "head -c 64m /dev/zero | tail", limits=Limits(memory=8 << 20))
    link, client = await rig.launch(made)
    await client.finish()
    info = await link.wait_exit()
    assert "ahead" in link.took
    assert info.oom
