"""`boxy` and a real daemon, with no box: what it says of itself, and when the daemon is gone."""

from __future__ import annotations

import json

from tests.support.daemon import Daemon


def test_version_info_and_images_are_told(daemon: Daemon) -> None:
    assert "daemon: " in daemon.run("version")
    assert json.loads(daemon.run("version", "--json"))["daemon"]["api"] == 1
    assert daemon.env["BOXY_SOCKET"] in daemon.run("info")
    assert "alpine" in daemon.run("images", "-q").splitlines()
    assert json.loads(daemon.run("inspect", "alpine"))[0]["name"] == "alpine"
    assert daemon.run("ps", "-a").split() == ["ID", "NAME", "IMAGE", "COMMAND", "CREATED", "STATUS"]


def test_an_unknown_box_is_one_sentence_and_a_next_step_everywhere(daemon: Daemon) -> None:
    for words in (["stop"], ["start"], ["rm"], ["logs"], ["top"], ["attach"], ["kill"], ["pause"],
                  ["wait"], ["stats", "--no-stream"], ["update", "-m", "64m"]):  # fmt: skip
        done = daemon.boxy(*words, "ghost")
        assert done.returncode in (1, 125), words
        message, hint = done.stderr.splitlines()
        assert message.startswith("boxy: "), words
        assert "ghost" in message
        assert hint.startswith("      ")
    assert daemon.boxy("exec", "ghost", "true").returncode == 125


def test_a_daemon_that_died_is_told_from_one_that_never_ran(daemon: Daemon) -> None:
    daemon.kill()
    dead = daemon.boxy("ps")
    assert dead.returncode == 1
    assert "nobody listens" in dead.stderr
    assert "start it with: " in dead.stderr
    daemon.start()
    assert daemon.boxy("ps").returncode == 0


def test_a_request_that_the_daemon_refuses_says_which_field(daemon: Daemon) -> None:
    done = daemon.boxy("run", "--memory", "1k", "alpine")
    assert done.returncode == 125
    assert "memory" in done.stderr
    assert daemon.boxy("run", "--name", "bad name", "alpine").returncode == 125
    assert daemon.boxy("run", "nosuchimage").returncode == 125
    assert daemon.run("ps", "-aq") == ""
