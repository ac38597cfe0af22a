"""Processes of a box, with the uids that it sees."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from boxyd import top


def test_a_real_process_is_described_truly() -> None:
    program = "print(1, flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", program, "a  b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()  # before its execve(2) is through it has no memory to tell of
        (process,) = top.read([child.pid], 0)
        assert process.pid == child.pid
        assert process.ppid == os.getpid()
        assert process.uid == os.getuid()
        assert process.command.endswith("input() a  b")
        assert abs(process.started - time.time()) < 60
        assert process.rss > 0
    finally:
        child.communicate(b"\n")


def test_a_process_that_vanished_is_left_out() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert [p.pid for p in top.read([child.pid, os.getpid(), 999_999_999], 0)] == [os.getpid()]


def test_a_uid_outside_the_boxes_range_is_nobody() -> None:
    assert top.uid_in_box(65536, 65536) == 0
    assert top.uid_in_box(65536 + 1000, 65536) == 1000
    assert top.uid_in_box(0, 65536) == 65534
    assert top.uid_in_box(65536 * 2, 65536) == 65534
    assert top.uid_in_box(7, 0) == 7


def test_hostile_names_and_command_lines_are_harmless(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1\nbtime 1000\n")
    numbers = " ".join(["7", *["0"] * 9, "100", "50", *["0"] * 5, "0", "300", "0", "5"])
    for pid, cmdline in ((1, b"a\x1b[2J\0\xff\0"), (2, b"")):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_bytes(b"1 (a) R (b\x1b) S %s" % numbers.encode())
        (folder / "cmdline").write_bytes(cmdline)
    first, second = top.read([1, 2], 0, str(tmp_path))
    assert first.command == "a?[2J �"
    assert second.command == "[a) R (b?]"
    assert first.state == "S"
    assert first.ppid == 7
    assert first.cpu_seconds == 150 / os.sysconf("SC_CLK_TCK")
