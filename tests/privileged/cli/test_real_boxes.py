"""`boxy` with real boxes: streams, statuses, every command, as a script would use it."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.support.daemon import Daemon
from tests.support.waiting import eventually


def pipeline(daemon: Daemon, script: str) -> subprocess.CompletedProcess[str]:
    """Run a bash script in which `boxy` is ours."""
    ours = " ".join(daemon.command())
    return subprocess.run(
        ["bash", "-c", f'boxy() {{ {ours} "$@"; }}\n{script}'],
        env=daemon.env, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_streams_come_apart_and_the_status_is_the_command_s(daemon: Daemon) -> None:
    done = daemon.boxy("run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "status"), [("nosuch", 127), ("/etc/passwd", 126), ("/nosuch/file", 127)]
)
def test_a_command_that_cannot_run_has_its_own_status_and_leaves_no_rm_box(
    daemon: Daemon, command: str, status: int
) -> None:
    done = daemon.boxy("run", "--rm", "alpine", command)
    assert done.returncode == status
    assert done.stderr.startswith("boxy: ")
    assert daemon.request("GET", "/boxes", query={"all": 1}) == []


def test_a_box_works_in_a_pipeline_byte_for_byte(daemon: Daemon) -> None:
    done = pipeline(
        daemon,
        "head -c 3000000 /dev/urandom > $BOXY_ROOT/big\n"
        "cat $BOXY_ROOT/big | boxy run -i --rm alpine cat | cmp - $BOXY_ROOT/big\n"
        'echo "${PIPESTATUS[@]}"; echo hi | boxy run -i --rm alpine tr a-z A-Z',
    )
    assert (done.stdout, done.stderr) == ("0 0 0\nHI\n", "")


def test_a_reader_that_stops_early_ends_the_box(daemon: Daemon) -> None:
    done = pipeline(daemon, 'boxy run --rm alpine yes | head -1; echo "${PIPESTATUS[@]}"')
    assert done.stdout == "y\n141 0\n"
    eventually(lambda: daemon.request("GET", "/boxes", query={"all": 1}) == [])


def test_signals_reach_the_command(daemon: Daemon) -> None:
    trap = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    command = daemon.command("run", "--rm", "alpine", "sh", "-c", trap)
    with subprocess.Popen(command, env=daemon.env, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        client.send_signal(signal.SIGTERM)
        assert client.stdout.readline() == "got\n"
        assert client.wait(20) == 9


def test_ctrl_c_three_times_ends_what_ignores_it(daemon: Daemon) -> None:
    script = "trap 'echo heard' INT; echo ready; while :; do sleep 0.1; done"
    command = daemon.command("run", "--rm", "alpine", "sh", "-c", script)
    with subprocess.Popen(
        command, env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stderr is not None
        assert client.stdout.readline() == "ready\n"
        client.send_signal(signal.SIGINT)
        assert client.stdout.readline() == "heard\n"
        client.send_signal(signal.SIGINT)
        assert "ctrl-c once more kills it" in client.stderr.readline()
        client.send_signal(signal.SIGINT)
        assert client.wait(20) == 137


def test_a_daemon_that_is_killed_changes_nothing_for_a_pipeline(daemon: Daemon) -> None:
    command = daemon.command("run", "-i", "--name", "keep", "alpine", "cat")
    with subprocess.Popen(
        command, env=daemon.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("before\n")
        assert client.stdout.readline() == "before\n"
        daemon.kill()
        client.stdin.write("after\n")
        assert client.stdout.readline() == "after\n"
        daemon.start()
        client.stdin.close()
        assert client.wait(20) == 0
    assert daemon.wait_status("keep", "exited")["exit"]["status"] == 0


def test_a_box_goes_through_its_whole_life(daemon: Daemon) -> None:
    loop = "trap 'exit 5' TERM; echo started; while :; do sleep 0.1; done"
    identity = daemon.run("run", "-d", "--name", "web", "-m", "64m", "alpine", "sh", "-c", loop)
    assert daemon.run("ps", "-q", "--no-trunc") == identity
    assert "Up " in daemon.run("ps")
    assert daemon.run("exec", "web", "cat", "/proc/1/comm") == "sh"
    assert daemon.boxy("exec", "web", "sh", "-c", "exit 5").returncode == 5
    assert daemon.run("exec", "-i", "web", "cat", stdin="piped") == "piped"
    assert "sleep" in daemon.run("top", "web")
    assert "web" in daemon.run("stats", "--no-stream")
    assert daemon.run("pause", "web") == "web"
    assert "(paused)" in daemon.run("ps")
    assert daemon.boxy("exec", "web", "true").returncode == 125
    daemon.run("unpause", identity[:6])
    daemon.run("update", "-m", "32m", "--pids-limit", "20", "web")
    assert daemon.run("inspect", "-f", "spec.limits.memory", "web") == str(32 << 20)
    daemon.run("rename", "web", "www")
    assert daemon.boxy("rm", "www").returncode == 1
    daemon.run("stop", "-t", "20", "www")
    assert daemon.run("wait", "www") == "5"
    assert "Exited (5)" in daemon.run("ps", "-a")
    assert daemon.run("logs", "www") == "started"
    assert daemon.run("stop", "www") == "www"
    daemon.run("restart", "www")
    daemon.run("kill", "www")
    assert daemon.run("wait", "www") == "137"
    types = daemon.run("events", "--since", "1h", "--until", "now", "-f", "box=www", "--json")
    assert [json.loads(line)["type"] for line in types.splitlines()][-1] == "box.exited"
    assert daemon.run("rm", "www") == "www"
    assert daemon.run("ps", "-aq") == ""


def test_create_then_start_attached(daemon: Daemon) -> None:
    daemon.run("create", "--name", "job", "alpine", "sh", "-c", "echo job; exit 4")
    done = daemon.boxy("start", "-a", "job")
    assert (done.returncode, done.stdout) == (4, "job\n")


def test_a_box_that_runs_out_of_memory_is_told_so(daemon: Daemon) -> None:
    hog = "head -c 60000000 /dev/zero | tail -c 50000000 >/dev/null; exit 0"
    daemon.boxy("run", "--name", "hog", "-m", "16m", "alpine", "sh", "-c", f"exec sh -c '{hog}'")
    eater = daemon.boxy(
        "run", "--name", "eater", "-m", "16m", "alpine", "tail", "-c", "50000000", "/dev/zero"
    )
    assert eater.returncode == 137
    assert "ran out of memory" in eater.stderr
    assert "out of memory" in daemon.run("ps", "-a", "--filter", "name=eater")


def test_logs_follow_until_the_box_ends(daemon: Daemon) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.2; done; echo e >&2"
    daemon.run("run", "-d", "--name", "talk", "alpine", "sh", "-c", script)
    done = daemon.boxy("logs", "-f", "talk")
    assert (done.stdout, done.stderr) == ("1\n2\n3\n", "e\n")
    assert daemon.run("logs", "--tail", "1", "talk").splitlines()[-1:] in ([], ["3"])
    stamped = daemon.run("logs", "-t", "talk").splitlines()[0]
    assert stamped.endswith("Z 1")


def test_attach_shows_what_was_printed_and_what_comes(daemon: Daemon) -> None:
    script = "echo before; read line; echo got $line; exit 6"
    daemon.run("run", "-di", "--name", "ask", "alpine", "sh", "-c", script)
    done = daemon.boxy("attach", "ask", stdin="word\n")
    assert done.returncode == 6
    assert done.stdout.endswith("got word\n")


def test_explain_tells_the_steps_and_makes_nothing(daemon: Daemon) -> None:
    assert "pid" in daemon.run("run", "--dry-run", "alpine", "ls")
    assert daemon.run("ps", "-aq") == ""
    assert not os.listdir(daemon.paths.boxes)
