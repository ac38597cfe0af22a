"""The daemon as a process of its own: starting, sharing a machine, ending."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boxyd import main
from tests.support import probe
from tests.support.daemon import Daemon
from tests.support.images import REPOSITORY

needs_root = pytest.mark.skipif(bool(probe.privileged()), reason="a daemon needs root")
NewDaemon = Callable[..., Daemon]


@pytest.fixture
def new_daemon(new_daemon: NewDaemon) -> NewDaemon:
    """Daemons that are programs of their own from their first instruction, as a user's are."""

    def make(*registries: Path) -> Daemon:
        daemon = new_daemon(*registries)
        daemon.forked = False
        return daemon

    return make


def boxyd(daemon: Daemon, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "boxyd", *options],
        env={**daemon.env, **env}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@needs_root
def test_it_serves_says_so_and_ends_cleanly(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.start()
    assert daemon.request("GET", "/version")["pid"] == daemon.pid
    assert daemon.stop() == 0
    assert "serves 0 boxes" in daemon.log_text()
    assert "has ended" in daemon.log_text()
    assert "Traceback" not in daemon.log_text()
    assert not os.path.exists(daemon.paths.socket)


@needs_root
def test_ctrl_c_ends_it_cleanly_too(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.start()
    os.kill(daemon.pid, signal.SIGINT)
    assert daemon.stop() == 0


@needs_root
def test_a_second_one_on_the_same_places_says_who_has_them(
    new_daemon: NewDaemon, tmp_path: Path
) -> None:
    daemon = new_daemon()
    daemon.start()
    for options in ([], ["--socket", f"{tmp_path}/other"], ["--root", f"{tmp_path}/other"]):
        done = boxyd(daemon, *options)
        assert done.returncode == 1
        assert f"pid {daemon.pid}" in done.stderr
        assert done.stderr.count("\n") == 1
        assert "--root, --run and --socket" in done.stderr
    assert daemon.request("GET", "/version")["pid"] == daemon.pid


@needs_root
def test_two_daemons_live_side_by_side_and_know_nothing_of_each_other(
    new_daemon: NewDaemon, workspace: object
) -> None:
    registry = Path(new_daemon().folder) / "registry"
    (registry / "tiny/rootfs/bin").mkdir(parents=True)
    (registry / "tiny/image.json").write_text('{"name": "tiny", "cmd": "/bin/true"}')
    first, second = new_daemon(registry), new_daemon(registry)
    first.start()
    second.start()
    first.request("POST", "/boxes", body={"image": "tiny", "name": "one"})
    assert [box["name"] for box in first.request("GET", "/boxes", query={"all": 1})] == ["one"]
    assert second.request("GET", "/boxes", query={"all": 1}) == []


@needs_root
def test_a_killed_daemons_socket_and_locks_are_no_obstacle(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.start()
    daemon.kill()
    assert os.path.exists(daemon.paths.socket)
    daemon.start()


@needs_root
def test_systemds_socket_is_taken_over_and_ready_is_told(
    new_daemon: NewDaemon, tmp_path: Path
) -> None:
    daemon = new_daemon()
    folder = Path(daemon.folder)
    with (
        socket.socket(socket.AF_UNIX) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        listening.bind(str(folder / "activated"))
        listening.listen()
        notices.bind(str(folder / "n"))
        notices.settimeout(20)
        script = (
            "import os, sys\n"
            "fd = int(sys.argv[1])\n"
            "os.dup2(fd, 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.executable, [sys.executable, '-P', '-m', 'boxyd'])\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            env={**daemon.env, "NOTIFY_SOCKET": str(folder / "n")},
            stderr=subprocess.PIPE,
        )
        try:
            assert notices.recv(100) == b"READY=1"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(folder / "activated"))
                client.sendall(b"GET /boxy/v1/version HTTP/1.1\r\nHost: b\r\n\r\n")
                answer = client.recv(65536)
            assert f'"socket":"{folder}/activated"'.encode() in answer
            process.terminate()
            assert notices.recv(100) == b"STOPPING=1"
        finally:
            process.terminate()
            _, said = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert (folder / "activated").exists()  # it is systemd's


@needs_root
def test_the_log_as_json_is_one_object_a_line(new_daemon: NewDaemon) -> None:
    daemon = new_daemon()
    daemon.start("--log-format", "json", "--log-level", "debug")
    daemon.request("GET", "/version")
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    assert any("/boxy/v1/version 200" in line["message"] for line in lines)


def test_without_root_it_says_what_to_do(tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if os.geteuid() == 0 and setpriv is None:
        pytest.fail("setpriv (util-linux) is needed to become somebody else")
    become = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = become if os.geteuid() == 0 and setpriv else []
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from boxyd.main import main; "
    done = subprocess.run(
        [str(word) for word in command] + [sys.executable, "-c", code + "sys.exit(main([]))"],
        capture_output=True, text=True, timeout=30, check=False, cwd="/",
        env={"BOXY_ROOT": str(tmp_path), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("boxyd: boxyd makes mounts and cgroups and must run as root")
    assert done.stderr.endswith(f"; say: sudo env BOXY_ROOT={tmp_path} boxyd\n")


def test_options_win_over_the_environment_and_that_over_defaults() -> None:
    env = {"BOXY_LOG_LEVEL": "debug", "BOXY_STOP_BOXES": "1", "BOXY_SOCKET_GROUP": "g"}
    options = main.parse(["--log-level", "error", "--root", "/r"], env)
    assert (options.log_level, options.stop_boxes, options.socket_group) == ("error", True, "g")
    paths = main.paths_of(options)
    assert paths.root == "/r"


@pytest.mark.parametrize("argv", [["--log-format", "xml"], ["--nope"], ["stray"]])
def test_wrong_options_are_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.parse(argv, {})
    assert caught.value.code == 2
    assert "usage: boxyd" in capsys.readouterr().err


def test_a_wrong_word_in_the_environment_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.parse([], {"BOXY_LOG_LEVEL": "loud"})
    assert "BOXY_LOG_LEVEL" in capsys.readouterr().err


@pytest.fixture
def busy(new_daemon: NewDaemon) -> Iterator[Daemon]:
    """A daemon with connections of every kind open."""
    daemon = new_daemon()
    daemon.start()
    socks = []
    for text in (b"", b"GET /boxy/v1/wa", b"GET /boxy/v1/watch HTTP/1.1\r\nHost: b\r\n\r\n"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(daemon.paths.socket)
        sock.sendall(text)
        socks.append(sock)
    time.sleep(0.1)
    yield daemon
    for sock in socks:
        sock.close()


@needs_root
def test_open_connections_do_not_hold_up_its_end(busy: Daemon) -> None:
    began = time.monotonic()
    assert busy.stop() == 0
    assert time.monotonic() - began < 8
