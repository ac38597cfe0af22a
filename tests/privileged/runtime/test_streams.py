"""Terminals and pipes: nothing lost, nobody waited for."""

# ruff: noqa: ASYNC110, ASYNC240 - nothing else runs in a test's loop

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
import struct
from pathlib import Path

import pytest

from boxy_core import protocol
from boxy_core.errors import CommandNotFound, NotFound, StartFailed
from boxyd.launcher import ShimLink
from tests.privileged.runtime.rig import Rig, alive
from tests.support.waiting import eventually_async as eventually

MEGA = 1 << 20


async def test_twenty_megabytes_through_a_slow_owner_arrive_whole(rig: Rig) -> None:
    script = "head -c 20971520 /dev/urandom > /d; sha256sum < /d; cat /d >&2"
    _, client = await rig.launch(rig.plan("sh", "-c", script))
    while await client.read(200_000):
        await asyncio.sleep(0.001)
    told = client.output(protocol.STDOUT).split()[0].decode()
    data = client.output(protocol.STDERR)
    assert len(data) == 20 * MEGA
    assert hashlib.sha256(data).hexdigest() == told
    assert client.frames[-1][0] == protocol.EXIT


async def test_an_owner_that_does_not_read_holds_the_box_back(rig: Rig) -> None:
    script = "yes | head -c 4000000; echo done >&2"
    link, _ = await rig.launch(rig.plan("sh", "-c", script))
    watcher = await rig.attach(link, replay=False)
    await asyncio.sleep(0.5)
    assert (await link.sessions())[0]["session"] == "main"
    rig.clients[0].close()
    await watcher.finish()
    assert watcher.output(protocol.STDERR) == b"done\n"


async def test_a_stalled_viewer_does_not_hold_the_box_and_catches_up(rig: Rig) -> None:
    script = "read x; yes 0123456789abcde | head -c 6000000; echo the end; read y"
    link, owner = await rig.launch(rig.plan("sh", "-c", script, stdin=True))
    viewer = await rig.attach(link, stdin=False)
    await owner.type(b"go\n")
    await owner.until(b"the end\n")  # though the viewer has not read a byte
    await viewer.until(b"the end\n")
    lagged = [payload for kind, payload in viewer.frames if kind == protocol.LAGGED]
    assert len(lagged) == 1
    (missed,) = struct.unpack(">Q", lagged[0])
    assert missed > 4 * MEGA
    at = [kind for kind, _ in viewer.frames].index(protocol.LAGGED)
    replay = b"".join(p for k, p in viewer.frames[at:] if k == protocol.STDOUT)
    assert owner.output(protocol.STDOUT).endswith(replay)
    assert len(owner.output(protocol.STDOUT)) == 6_000_000 + len("the end\n")
    await owner.type(b"bye\n")
    await viewer.finish()
    assert viewer.frames[-1][0] == protocol.EXIT


async def test_who_hangs_up_is_no_viewer_any_more_though_the_box_is_silent(rig: Rig) -> None:
    link, _ = await rig.launch(rig.plan("sleep", "60", tty=True))
    staying, leaving = await rig.attach(link), await rig.attach(link)
    with contextlib.suppress(TimeoutError):  # who leaves bytes unread resets the connection
        while True:
            await asyncio.wait_for(leaving.read(), 0.3)
    leaving.close()

    def counts() -> list[int]:
        told = [payload for kind, payload in staying.frames if kind == protocol.VIEWERS]
        return [json.loads(payload)["count"] for payload in told]

    while counts()[-1:] != [2] or 3 not in counts():
        assert await staying.read(), counts()


async def test_input_reaches_the_command_and_its_end_does(rig: Rig) -> None:
    _, client = await rig.launch(rig.plan("sh", "-c", "sha256sum; echo x >&2", stdin=True))
    data = os.urandom(3 * MEGA)

    async def feed() -> None:
        for at in range(0, len(data), 65536):
            await client.type(data[at : at + 65536])
        await client.send(protocol.frame(protocol.STDIN_EOF))

    await asyncio.gather(feed(), client.finish())
    assert client.output(protocol.STDOUT).split()[0].decode() == hashlib.sha256(data).hexdigest()


async def test_input_to_a_command_that_does_not_read_waits_in_bounds(rig: Rig) -> None:
    link, client = await rig.launch(rig.plan("sleep", "1000", stdin=True))
    sent, left = 0, b""
    client.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while sent < 50 * MEGA:
            left = left or protocol.frame(protocol.STDIN, b"x" * 65000)
            done = client.sock.send(left)  # a part of it, where there is no room for all
            sent, left = sent + done, left[done:]
            await asyncio.sleep(0.002)
    assert sent < 4 * MEGA
    status = Path(f"/proc/{link.shim_pid}/status").read_text()
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    assert int(resident) < 40_000


async def test_what_was_typed_before_hanging_up_reaches_the_command(rig: Rig) -> None:
    plan = rig.plan("sh", "-c", "read x; echo got $x", tty=True, stdin=True)
    link, owner = await rig.launch(plan)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(protocol.frame(protocol.STDIN, b"this\n"))
        ours.close()  # the first thing that the shim would send it fails
        await link.attach(theirs.fileno(), stdin=True, replay=True)
    await owner.until(b"got this")


async def test_an_owner_that_goes_ends_the_input(rig: Rig) -> None:
    link, client = await rig.launch(rig.plan("sh", "-c", "cat > /dev/null; exit 9", stdin=True))
    client.close()
    assert (await link.wait_exit()).status == 9


async def test_half_a_close_ends_the_input_only(rig: Rig) -> None:
    _, client = await rig.launch(rig.plan("sh", "-c", "cat; echo after", stdin=True))
    await client.type(b"data\n")
    client.sock.shutdown(socket.SHUT_WR)
    await client.finish()
    assert client.output() == b"data\nafter\n"


async def test_a_viewers_going_does_not_end_the_input(rig: Rig) -> None:
    link, owner = await rig.launch(rig.plan("cat", stdin=True))
    viewer = await rig.attach(link)
    await viewer.type(b"from the viewer\n")
    await owner.until(b"viewer\n")
    await viewer.send(protocol.frame(protocol.STDIN_EOF))
    viewer.close()
    await asyncio.sleep(0.1)
    await owner.type(b"still open\n")
    await owner.until(b"still open\n")


async def test_without_stdin_nothing_can_be_typed(rig: Rig) -> None:
    link, client = await rig.launch(rig.plan("sh", "-c", "cat; echo eof; exec sleep 1000"))
    await client.type(b"nobody reads this\n")
    await client.until(b"eof\n")
    await link.signal(9)
    await client.finish()
    assert client.output() == b"eof\n"


async def test_stdout_can_be_opened_anew_by_any_user(rig: Rig) -> None:
    script = "echo out > /dev/stdout; echo err > /dev/stderr"
    _, client = await rig.run("sh", "-c", script, user="guest")
    assert client.output(protocol.STDOUT) == b"out\n"
    assert client.output(protocol.STDERR) == b"err\n"


async def test_the_log_has_every_byte_of_both_streams(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "printf 'a\\nb'; sleep 0.1; printf 'c\\n\\nd' ; printf 'E\\n' >&2")
    _, client = await rig.launch(made)
    await client.finish()
    text = Path(made["box"] + "/log").read_bytes()
    streams = {b"stdout": b"", b"stderr": b""}
    for line in text.splitlines():
        _, name, tag, rest = line.split(b" ", 3)
        streams[name] += rest + (b"\n" if tag == b"F" else b"")
    assert streams == {b"stdout": b"a\nbc\n\nd", b"stderr": b"E\n"}
    assert os.stat(made["box"] + "/log").st_mode & 0o777 == 0o600


async def test_history_then_a_mark_then_live(rig: Rig) -> None:
    link, owner = await rig.launch(rig.plan("sh", "-c", "echo old; read x; echo new", stdin=True))
    await owner.until(b"old\n")
    viewer = await rig.attach(link)
    await viewer.until_kind(protocol.REPLAY_END)
    assert viewer.output() == b"old\n"
    fresh = await rig.attach(link, replay=False)
    await fresh.until_kind(protocol.REPLAY_END)
    assert fresh.output() == b""
    await owner.type(b"\n")
    for client in (viewer, fresh):
        await client.finish()
        assert client.output().endswith(b"new\n")


async def test_the_preamble_comes_first_and_unframed(rig: Rig) -> None:
    made = rig.plan("echo", "hi")
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    _, client = await rig.launch(made, preamble=head)
    assert await client.raw(len(head)) == head
    await client.finish()
    assert client.output() == b"hi\n"


async def test_bytes_that_the_daemon_had_read_are_not_lost(rig: Rig) -> None:
    early = protocol.frame(protocol.STDIN, b"early ") + protocol.frame(protocol.STDIN, b"x")[:5]
    _, client = await rig.launch(rig.plan("cat", stdin=True), early=early)
    rest = protocol.frame(protocol.STDIN, b"x")[5:]
    await client.send(rest, protocol.frame(protocol.STDIN_EOF))
    await client.finish()
    assert client.output() == b"early x"


@pytest.mark.parametrize("bad", [b"\x63garbage", protocol.frame(protocol.STDOUT, b"x"),
                                 protocol.frame(protocol.RESIZE, b"x"),
                                 protocol.frame(protocol.SIGNAL, b"\xff")])  # fmt: skip
async def test_a_client_that_breaks_the_rules_is_dropped_alone(rig: Rig, bad: bytes) -> None:
    link, owner = await rig.launch(rig.plan("cat", stdin=True))
    rude = await rig.attach(link)
    await rude.send(bad + b"\0" * 8)
    await rude.finish()
    await owner.type(b"fine\n")
    await owner.until(b"fine\n")


async def test_a_client_can_send_signals(rig: Rig) -> None:
    script = "trap 'echo usr1; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    link, client = await rig.launch(rig.plan("sh", "-c", script))
    await client.until(b"ready")
    await client.send(protocol.frame(protocol.SIGNAL, b"\x0a"))
    await client.finish()
    assert client.output().endswith(b"usr1\n")
    assert (await link.wait_exit()).status == 3


# ------------------------------------------------------------------------ terminals


async def test_a_terminal_is_one_from_the_first_byte(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "stty size; tty; [ -t 0 ] && echo yes; ls -l /dev/console",
                    tty=True, stdin=True, rows=33, cols=111)  # fmt: skip
    _, client = await rig.launch(made)
    await client.finish()
    lines = client.output().split(b"\r\n")
    assert lines[:3] == [b"33 111", b"/dev/pts/0", b"yes"]
    assert b"136,   0" in lines[3]


async def test_the_size_is_that_of_the_client_active_last(rig: Rig) -> None:
    made = rig.plan("cat", tty=True, stdin=True, rows=24, cols=80)
    link, first = await rig.launch(made)

    async def size() -> tuple[int, int]:
        facts = (await link.sessions())[0]
        return facts["rows"], facts["cols"]

    assert await size() == (24, 80)
    second = await rig.attach(link, rows=50, cols=132)
    await second.until_kind(protocol.VIEWERS)
    assert await size() == (50, 132)
    await first.type(b"x")
    await eventually_size(size, (24, 80))
    await second.send(protocol.resize(10, 20))
    await eventually_size(size, (10, 20))
    second.close()
    await eventually_size(size, (24, 80))
    told = [json.loads(p) for k, p in first.frames if k == protocol.VIEWERS]
    while (told[-1] if len(told) > 3 else None) != {"count": 1, "rows": 24, "cols": 80}:
        assert await first.read()
        told = [json.loads(p) for k, p in first.frames if k == protocol.VIEWERS]
    assert {"count": 2, "rows": 50, "cols": 132} in told


async def eventually_size(size: object, wanted: tuple[int, int]) -> None:
    for _ in range(2000):
        if await size() == wanted:  # type: ignore[operator]
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the size is {await size()}, not {wanted}")  # type: ignore[operator]


async def test_resizing_tells_the_program(rig: Rig) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    _, client = await rig.launch(rig.plan("sh", "-c", script, tty=True, stdin=True))
    await client.until(b"ready")
    await client.send(protocol.resize(7, 9))
    await client.until(b"7 9\r\n")


async def test_control_c_interrupts_what_runs_in_the_terminal(rig: Rig) -> None:
    link, client = await rig.launch(rig.plan("sh", tty=True, stdin=True))
    # a command of its own says ready: busybox's shell loses a SIGINT that comes while it forks
    await client.type(b"sh -c 'echo rea\"\"dy; exec sleep 1000'\n")
    await client.until(b"ready\r\n")
    await client.type(b"\x03")
    await client.type(b"echo st''ill here; exit 4\n")
    await client.finish()
    assert b"still here" in client.output()
    assert (await link.wait_exit()).status == 4


async def test_a_flood_on_a_terminal_with_nobody_looking(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "yes flood | head -n 300000; exit 6", tty=True)
    link = await rig.launcher.launch(made)
    rig.links.append(link)
    assert (await link.wait_exit()).status == 6
    names = sorted(name for name in os.listdir(made["box"]) if name.startswith("log"))
    assert names == ["log", "log.1"]
    text = Path(made["box"] + "/log").read_bytes()
    assert text.endswith(b" stdout F flood\r\n")


async def test_detached_and_reattached_with_nothing_lost(rig: Rig) -> None:
    link, client = await rig.launch(rig.plan("sh", tty=True, stdin=True))
    await client.type(b"echo fir''st\n")
    await client.until(b"first\r\n")
    client.close()
    link.close()
    again = await ShimLink.connect(rig.paths, link.box_id)
    rig.links[:] = [again]
    back = await rig.attach(again)
    await back.until(b"first\r\n")
    await back.type(b"echo sec''ond; exit\n")
    await back.finish()
    assert b"second\r\n" in back.output()


# ------------------------------------------------------------------------ further commands


async def test_a_further_command_has_streams_and_status_of_its_own(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    events: list[dict[str, object]] = []
    link.subscribe(events.append)
    session, client = await rig.exec(link, "sh", "-c", "cat; echo err >&2; exit 8", stdin=True)
    await client.type(b"in\n")
    await client.send(protocol.frame(protocol.STDIN_EOF))
    await client.finish()
    assert client.output(protocol.STDOUT) == b"in\n"
    assert client.output(protocol.STDERR) == b"err\n"
    assert json.loads(client.frames[-1][1])["status"] == 8
    assert {"event": "exec-exit", "session": session, "status": 8, "signal": 0} in events
    with pytest.raises(NotFound):
        await link.signal(9, session)


async def test_a_further_command_with_a_terminal(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    _, client = await rig.exec(link, "sh", "-c", "tty; echo $TERM; stty size",
                               tty=True, rows=11, cols=22)  # fmt: skip
    await client.finish()
    assert client.output().split(b"\r\n")[:3] == [b"/dev/pts/0", b"xterm-256color", b"11 22"]


async def test_a_further_command_that_cannot_start(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    with pytest.raises(CommandNotFound):
        await rig.exec(link, "nonesuch")
    with pytest.raises(StartFailed, match="workdir"):
        await rig.exec(link, "true", workdir="/no/such/folder")
    with pytest.raises(StartFailed, match="nosuch"):
        await rig.exec(link, "true", user="nosuch")
    assert len(await link.sessions()) == 1


async def test_further_commands_end_with_the_box_and_are_told_of(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000", init=True)
    events: list[dict[str, object]] = []
    link.subscribe(events.append)
    session, client = await rig.exec(link, "sh", "-c", "echo here; sleep 1000")
    await client.until(b"here\n")
    await link.signal(9)
    await link.wait_exit()
    await client.finish()
    assert json.loads(client.frames[-1][1])["status"] == 137
    kinds = [event["event"] for event in events if event["event"] in {"exit", "exec-exit"}]
    assert kinds == ["exec-exit", "exit"]
    await eventually(lambda: not alive(link.shim_pid))
    assert session


async def test_a_commands_background_children_do_not_delay_its_end(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    _, client = await rig.exec(link, "sh", "-c", "sleep 900 & echo done")
    await client.finish()
    assert client.output() == b"done\n"
    _, count = await rig.exec(link, "pgrep", "-f", "sleep 900")
    await count.finish()
    assert count.output()


async def test_ten_commands_at_once(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    done = await asyncio.gather(*(rig.exec(link, "echo", str(n)) for n in range(10)))
    await asyncio.gather(*(client.finish() for _, client in done))
    assert sorted(int(client.output()) for _, client in done) == list(range(10))
    assert len({session for session, _ in done}) == 10


async def test_no_zombies_and_no_descriptors_pile_up_in_a_shim(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")

    async def once() -> None:
        _, client = await rig.exec(link, "true", tty=True)
        await client.finish()
        with pytest.raises(CommandNotFound):
            await rig.exec(link, "nonesuch")

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{link.shim_pid}/fd"))

    def children() -> list[str]:
        return Path(f"/proc/{link.shim_pid}/task/{link.shim_pid}/children").read_text().split()

    await once()  # what is there once is there to stay
    await eventually(lambda: children() == [str(link.pid)])
    before = descriptors()
    for _ in range(5):
        await once()
    await eventually(lambda: descriptors() <= before)
    await eventually(lambda: children() == [str(link.pid)])
