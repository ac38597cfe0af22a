"""How commands start, end and are told of."""

# ruff: noqa: ASYNC240 - nothing else runs in a test's loop

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest

from boxy_core import protocol
from boxy_core.errors import (
    CommandNotExecutable,
    CommandNotFound,
    NotFound,
    StartFailed,
    Unsupported,
)
from boxy_core.models import Limits, Mount
from boxyd.launcher import Lost, ShimLink
from tests.privileged.runtime.rig import Rig, alive
from tests.support.waiting import eventually_async as eventually


@pytest.mark.parametrize("status", [0, 1, 42, 255])
async def test_the_commands_own_status(rig: Rig, status: int) -> None:
    info, client = await rig.run("sh", "-c", f"echo out; echo err >&2; exit {status}")
    assert (info.status, info.signal, info.oom) == (status, 0, False)
    assert client.output(protocol.STDOUT) == b"out\n"
    assert client.output(protocol.STDERR) == b"err\n"
    kind, payload = client.frames[-1]
    assert kind == protocol.EXIT
    assert json.loads(payload) == {"status": status, "signal": 0, "oom": False}
    assert info.started <= info.finished


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
async def test_a_signal_that_ends_the_box(rig: Rig, number: int) -> None:
    link = await rig.detached("sleep", "1000", init=True)
    await link.signal(number)
    info = await link.wait_exit()
    assert info.status == 128 + number
    assert info.signal == (number if number == signal.SIGKILL else 0)


async def test_a_command_that_does_not_exist(rig: Rig) -> None:
    with pytest.raises(CommandNotFound, match="nonesuch") as caught:
        await rig.launch(rig.plan("nonesuch"))
    assert caught.value.exit_status == 127
    with pytest.raises(CommandNotFound):
        await rig.launch(rig.plan("/bin/nonesuch"))


async def test_a_cgroup_that_cannot_be_made_while_the_box_is_made_ends_that(rig: Rig) -> None:
    def refuse() -> None:
        raise Unsupported("the cgroup could not be made")

    made = rig.plan("sleep", "1000")
    with pytest.raises(Unsupported, match="could not be made"):
        await rig.launch(made, meanwhile=refuse)
    assert not set(os.listdir(made["run"])) - {"plan.json"}
    assert not rig.groups[-1].pids()


async def test_a_box_waits_for_its_cgroup(rig: Rig) -> None:
    made = rig.plan("cat", "/proc/self/cgroup")
    where = rig.paths.box_cgroup(made["id"])
    rig.groups.pop().remove()
    link, client = await rig.launch(
        made, meanwhile=lambda: rig.groups.append(rig.driver.create(where, Limits(pids=200)))
    )
    await client.finish()
    assert (await link.wait_exit()).status == 0
    assert client.output(protocol.STDOUT)


async def test_a_command_that_may_not_be_executed(rig: Rig) -> None:
    for name in ("/etc/passwd", "/etc"):
        with pytest.raises(CommandNotExecutable, match=name) as caught:
            await rig.launch(rig.plan(name))
        assert caught.value.exit_status == 126


async def test_a_script_whose_interpreter_is_missing_says_so(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/no/such/shell\n")
    (tmp_path / "script").chmod(0o755)
    made = rig.plan("/s/script", mounts=[Mount(source=str(tmp_path), target="/s")])
    with pytest.raises(CommandNotFound, match="interpreter"):
        await rig.launch(made)


async def test_a_failed_start_leaves_nothing_and_the_connection_untouched(rig: Rig) -> None:
    made = rig.plan("nonesuch")
    with pytest.raises(CommandNotFound):
        await rig.launch(made, preamble=b"HTTP/1.1 101\r\n\r\n")
    assert not await rig.clients[-1].read()
    assert rig.clients[-1].frames == []
    assert os.listdir(made["run"]) == ["plan.json"]
    assert not os.path.exists(made["box"] + "/exit.json")
    assert rig.groups[-1].pids() == []


async def test_a_user_that_the_box_does_not_have(rig: Rig) -> None:
    with pytest.raises(StartFailed, match="nosuch") as caught:
        await rig.launch(rig.plan("id", user="nosuch"))
    assert caught.value.step == "user"
    assert caught.value.hint


async def test_a_mount_source_that_is_not_there(rig: Rig) -> None:
    made = rig.plan("id", mounts=[Mount(source="/nonexistent/x", target="/x")])
    with pytest.raises(StartFailed, match="/nonexistent/x") as caught:
        await rig.launch(made)
    assert (caught.value.step, caught.value.errno) == ("share", 2)


async def test_the_exit_is_on_disk_before_anyone_is_told(rig: Rig) -> None:
    link = await rig.detached("sh", "-c", "read x; exit 5", stdin=True)
    seen: list[bool] = []

    def heard(event: dict[str, object]) -> None:
        if event["event"] == "exit":
            seen.append(ShimLink.read_exit(rig.paths, link.box_id) is not None)

    link.subscribe(heard)
    await link.signal(9)
    await link.wait_exit()
    assert seen == [True]


async def test_memory_beyond_the_limit_is_told_apart(rig: Rig) -> None:
    if "memory" not in rig.driver.controllers:
        pytest.skip("this machine has no memory controller")
    hog = "x=a; while :; do x=$x$x; done"
    info, _ = await rig.run("sh", "-c", hog, limits=Limits(memory=24 << 20, pids=50))
    assert (info.status, info.signal, info.oom) == (137, 9, True)
    link = await rig.detached("sleep", "100", limits=Limits(memory=24 << 20, pids=50))
    await link.signal(9)
    assert (await link.wait_exit()).oom is False


async def test_pid_1_of_ours_hands_signals_on_and_reaps(rig: Rig) -> None:
    script = (
        "trap 'echo got; exit 7' TERM; (sleep 0.05 &) ; echo ready; while :; do sleep 0.1; done"
    )
    link, client = await rig.launch(rig.plan("sh", "-c", script, init=True))
    await client.until(b"ready")
    _, ps = await rig.exec(link, "ps", "-o", "pid,args")
    await ps.finish()
    assert b"boxy-init" in ps.output()
    left = True
    while left:  # what has lost its parent is 1's: it ends, and is reaped
        _, stat = await rig.exec(link, "sh", "-c", "cat /proc/[0-9]*/stat")
        await stat.finish()
        ours = re.findall(rb"^\d+ \((.*)\) (\w) 1 ", stat.output(), re.MULTILINE)
        assert ours
        left = any(name == b"sleep" or state == b"Z" for name, state in ours)
    await link.signal(signal.SIGTERM)
    await client.finish()
    assert client.output().endswith(b"got\n")
    assert (await link.wait_exit()).status == 7


async def test_a_killed_shim_takes_the_box_along_and_is_seen_as_lost(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    os.kill(link.shim_pid, signal.SIGKILL)
    with pytest.raises(Lost):
        await link.wait_exit()
    await eventually(lambda: not alive(link.pid))
    with pytest.raises(NotFound):
        await ShimLink.connect(rig.paths, link.box_id)


async def test_signals_meant_for_others_do_not_end_a_shim(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
        os.kill(link.shim_pid, number)
    assert (await link.sessions())[0]["session"] == "main"


async def test_a_killed_zygote_leaves_boxes_alone_and_is_replaced(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    first = rig.launcher.pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: not alive(first))
    assert (await link.sessions())[0]["session"] == "main"
    info, _ = await rig.run("true")
    assert info.status == 0
    assert rig.launcher.pid not in {0, first}
    assert alive(link.pid)


async def test_a_spare_whose_midwife_was_killed_is_replaced(rig: Rig) -> None:
    await rig.run("true")
    await eventually(lambda: _titled("boxy-shim (midwife)", rig.launcher.pid))
    midwife = _titled("boxy-shim (midwife)", rig.launcher.pid)[0]
    os.kill(midwife, signal.SIGKILL)
    await eventually(lambda: not alive(midwife))
    info, _ = await rig.run("true")
    assert info.status == 0


def _titled(title: str, zygote: int) -> list[int]:
    """Grandchildren of the zygote with that title."""
    found = [pid for shim in _children(zygote) for pid in _children(shim)]
    return [pid for pid in found if _of_process(f"{pid}/cmdline").startswith(title)]


def _children(pid: int) -> list[int]:
    """The living children of a process (proc(5), children)."""
    words = _of_process(f"{pid}/task/{pid}/children").split()
    return [int(word) for word in words if alive(int(word))]


def _of_process(file: str) -> str:
    """A file of a process, which may end at any time: "" if it has."""
    try:
        return Path("/proc", file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def test_a_shim_keeps_little_memory_of_its_own(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    await eventually(lambda: not _children(link.shim_pid)[1:])  # its midwife has ended
    text = Path(f"/proc/{link.shim_pid}/smaps_rollup").read_text()
    private = sum(int(line.split()[1]) for line in text.splitlines() if "Private_" in line)
    assert private < 2048


async def test_a_closed_launcher_leaves_boxes_and_no_spare(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    zygote = rig.launcher.pid
    await rig.launcher.close()
    assert not alive(zygote)
    again = await ShimLink.connect(rig.paths, link.box_id)
    assert (again.pid, again.shim_pid, again.started) == (link.pid, link.shim_pid, link.started)
    again.close()


async def test_several_links_hear_of_the_end(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    other = await ShimLink.connect(rig.paths, link.box_id)
    await other.signal(9)
    assert await link.wait_exit() == await other.wait_exit()
    with pytest.raises(NotFound):
        await other.signal(9)


async def test_a_shim_is_gone_after_its_box(rig: Rig) -> None:
    made = rig.plan("true")
    link, client = await rig.launch(made)
    await client.finish()
    await link.wait_exit()
    await eventually(lambda: not alive(link.shim_pid))
    assert os.listdir(made["run"]) == ["plan.json"]


async def test_a_box_can_run_again_in_the_same_folder(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "cat /kept; echo more >> /kept", auto_remove=True)
    seen = []
    for _ in range(3):
        _, client = await rig.launch(made)
        await client.finish()
        seen.append(client.output(protocol.STDOUT))
    assert seen == [b"", b"more\n", b"more\nmore\n"]


async def test_forty_starts_at_once(rig: Rig) -> None:
    done = await asyncio.gather(*(rig.run("sh", "-c", f"exit {n}") for n in range(40)))
    assert [info.status for info, _ in done] == list(range(40))


async def test_a_malformed_request_does_not_end_the_shim(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    for request in (
        {"op": "attach"}, {"op": "nonsense"}, {"op": ["x"]}, {"op": "signal", "number": 9999},
        {"op": "exec", "spec": None}, {"op": "resize", "rows": "x", "cols": 1}, {},
        {"op": "signal", "number": "x"}, {"op": "signal", "session": {}, "number": 9},
    ):  # fmt: skip
        with pytest.raises(Exception, match=r".") as caught:
            await link.ask(request)
        assert not isinstance(caught.value, AssertionError)
    assert (await link.sessions())[0]["session"] == "main"


async def test_an_environment_of_the_greatest_length_reaches_the_command(rig: Rig) -> None:
    env = {f"V{n}": "x" * 100_000 for n in range(8)}
    link = await rig.detached("sleep", "1000", env=env)
    _, client = await rig.exec(link, "sh", "-c", "env | wc -c", env=env)
    await client.finish()
    assert int(client.output()) > 800_000


async def test_the_time_of_each_part_of_the_start_is_told(rig: Rig) -> None:
    made = rig.plan("true")
    link, client = await rig.launch(made)
    await client.finish()
    assert list(link.took)[:3] == ["prepare", "clone", "inside"]
    inside = {step["do"] for step in made["steps"]}
    assert {"overlay", "proc", "mask", "pivot"} <= inside & set(link.took)
    assert sum(link.took[name] for name in inside & set(link.took)) < link.took["inside"] * 2


async def test_ps_shows_readable_names(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    shim = Path(f"/proc/{link.shim_pid}/cmdline").read_bytes().rstrip(b"\0")
    assert shim == b"boxy-shim box-under-test"
    assert Path(f"/proc/{rig.launcher.pid}/comm").read_text() == "boxy-zygote\n"
