"""A user's first quarter of an hour with the console, on a real daemon with real boxes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Workspace
from tests.e2e.conftest import Terminal
from tests.support.daemon import Daemon

PREFIX = "C-]"


def run_from_form(console: Terminal, name: str, command: str = "") -> None:
    """A new box, from the form, with the console attached to it."""
    console.press("n")
    console.shows("New box")
    console.type("alpine")
    console.press("Tab")
    console.type(command)
    console.press("Tab")
    console.type(name)
    console.press("Enter")
    console.shows(f" {name} ", "ctrl+] keys")
    if not command:
        console.shows("/ #")


def test_a_box_is_run_from_the_form_used_left_stopped_and_removed(
    console: Terminal, daemon: Daemon
) -> None:
    run_from_form(console, "mine")
    assert console.cursor() == (4, 0)
    console.ask("echo $((6*7)) answers", "42 answers")
    console.press(PREFIX, "d")
    console.shows("Boxes 1", "mine", "up ")
    assert console.cursor() is None
    console.press("a")
    console.shows("42 answers")
    console.press(PREFIX, "d")
    console.press("k")
    console.shows("Kill mine?")
    console.press("y")
    console.shows("exited 137")
    assert daemon.request("GET", "/boxes/mine")["status"] == "exited"
    console.press("d")
    console.shows("Remove mine?")
    console.press("y")
    console.shows("Boxes 0")
    assert daemon.request("GET", "/boxes", query={"all": "1"}) == []
    console.press("q")
    console.shows("status 0")


def test_a_killed_daemon_restarts_and_the_same_pane_goes_on(
    console: Terminal, daemon: Daemon
) -> None:
    run_from_form(console, "tough")
    console.ask("cd /etc; pwd", "\n/etc")
    daemon.kill()
    console.shows("daemon lost")
    console.ask("echo without a daemon in $PWD", "without a daemon in /etc")
    daemon.start()
    console.shows("ctrl+] keys", not_="daemon lost")
    console.ask("echo the same shell in $PWD", "the same shell in /etc")
    console.press(PREFIX, "d")
    console.shows("Boxes 1", "up ")
    console.press("e")
    console.shows("2 shell")
    console.ask("echo a $((1+1))nd shell", "a 2nd shell")


def test_an_editor_edits_a_file_in_a_pane_and_follows_the_size(
    console: Terminal, daemon: Daemon
) -> None:
    run_from_form(console, "editor")
    console.ask("vi /tmp/note", "- /tmp/note")
    console.press("i")
    console.type("written in a pane")
    console.press("Escape")
    console.type(":wq\n")
    console.ask("clear; stty size; cat /tmp/note", "29 100", "written in a pane")
    console.resize(120, 40)
    console.ask("until stty size | grep '^39 12''0'; do sleep 0.1; done", "39 120")
    assert daemon.run("exec", "editor", "cat", "/tmp/note") == "written in a pane"


def test_a_console_that_is_told_to_end_gives_the_terminal_back(console: Terminal) -> None:
    run_from_form(console, "told")
    console.type("printf '\\033[5 q'\n")
    children = Path(f"/proc/{console.pane_pid()}/task/{console.pane_pid()}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGTERM)
    console.shows("status 143", not_="ctrl+] keys")
    assert console.cursor() is not None


def test_two_viewers_of_one_box_see_the_same(
    console: Terminal, daemon: Daemon, new_terminal: Callable[..., Terminal]
) -> None:
    run_from_form(console, "shared")
    other = new_terminal()
    other.start(daemon.command("attach", "shared"), daemon.env)
    console.shows("2 viewers")
    other.ask("echo from the $((1+1))nd", "from the 2nd")
    console.shows("from the 2nd")


def test_a_flood_leaves_the_console_answering(console: Terminal) -> None:
    run_from_form(console, "loud", "sh -c 'yes a very long line of output; sleep 60'")
    console.shows("a very long line of output")
    time.sleep(1)
    console.press(PREFIX, "d")
    console.shows("Boxes 1", "loud")


def test_the_end_of_a_box_shows_in_its_pane(console: Terminal) -> None:
    run_from_form(console, "short")
    console.ask("exit 3", "exited with status 3", "again")
    console.press("x")
    console.shows("exited 3")
    console.press("l")
    console.shows(" log ", "exit 3")


def test_without_a_daemon_it_says_so_and_finds_it_when_it_comes(
    workspace: Workspace, new_daemon: Callable[..., Daemon], new_terminal: Callable[..., Terminal]
) -> None:
    daemon = new_daemon()
    terminal = new_terminal(80, 24)
    terminal.start([sys.executable, "-P", "-m", "boxy_tui.app"], daemon.env)
    terminal.shows("no daemon answers", "boxyd &")
    daemon.start()
    terminal.shows("There are no boxes yet", not_="no daemon")
    assert workspace.folder.exists()
    os.kill(daemon.pid, signal.SIGTERM)
    terminal.shows("daemon lost")
    daemon.stop()
