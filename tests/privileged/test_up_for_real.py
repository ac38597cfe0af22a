"""`make run`'s errand on a real machine: a daemon, a box on `host`, and both stay."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from boxy_core.errors import DaemonUnreachable
from tests.support.daemon import Daemon


@pytest.fixture
def unborn(new_daemon: Callable[[], Daemon]) -> Iterator[Daemon]:
    """A corner where no daemon runs yet; one that `up` starts is ended with its boxes."""
    daemon = new_daemon()
    yield daemon
    try:
        pid = daemon.request("GET", "/version")["pid"]
    except DaemonUnreachable:
        return
    daemon.remove_boxes()
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    ended, _, _ = select.select([handle], [], [], 15)
    os.close(handle)
    assert ended, "the daemon did not end on SIGTERM"


def _up(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "boxy_cli.up"],
        env=daemon.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def test_up_starts_a_daemon_and_a_box_that_outlive_it(unborn: Daemon) -> None:
    first = _up(unborn)
    assert (first.returncode, "Boxy is up" in first.stdout) == (0, True), first.stderr
    (box,) = unborn.request("GET", "/boxes")
    assert (box["name"], box["image"], box["status"]) == ("welcome", "host", "running")
    pid = unborn.request("GET", "/version")["pid"]

    second = _up(unborn)
    assert second.returncode == 0, second.stderr
    assert "Starting boxyd" not in second.stderr
    assert unborn.request("GET", "/version")["pid"] == pid
    assert [box["id"] for box in unborn.request("GET", "/boxes")] == [box["id"]]


def test_up_shows_why_the_daemon_ended_at_once(unborn: Daemon) -> None:
    root = unborn.folder / "root"
    root.write_text("a file where the daemon wants its folder\n")
    done = _up(unborn)
    assert done.returncode == 1
    assert "boxyd ended with status" in done.stderr
    assert "root" in done.stderr
