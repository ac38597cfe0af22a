"""The leak checker sees what bears the test's mark, and nothing else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.leaks import TAG_VARIABLE, Leak, LeakChecker

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]


@pytest.fixture
def checker(tmp_path: Path) -> LeakChecker:
    return LeakChecker("test-0badcafe", tmp_path)


def _found(checker: LeakChecker) -> list[str]:
    return [leak.kind for leak in checker.find()]


def _start(**options: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(SLEEP, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload]
    process.stdout.readline()
    return process  # type: ignore[no-any-return]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def test_a_clean_machine_has_no_leaks(checker: LeakChecker) -> None:
    assert checker.wait_until_clean(seconds=0) == []


def test_a_process_is_known_by_its_environment(checker: LeakChecker) -> None:
    process = _start(env={**os.environ, TAG_VARIABLE: checker.tag})
    try:
        (leak,) = checker.find()
        assert (leak.kind, leak.pid) == ("process", process.pid)
    finally:
        _end(process)
    assert _found(checker) == []


def test_a_process_is_known_by_a_file_that_it_holds_open(
    checker: LeakChecker, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("w") as log:
        process = _start(stderr=log)
    try:
        assert _found(checker) == ["process"]
    finally:
        _end(process)


def test_other_processes_are_left_out(checker: LeakChecker) -> None:
    process = _start(env={**os.environ, TAG_VARIABLE: "test-of-another"})
    try:
        assert _found(checker) == []
    finally:
        _end(process)


def test_clear_ends_a_process_that_was_left(checker: LeakChecker) -> None:
    process = _start(env={**os.environ, TAG_VARIABLE: checker.tag})
    checker.clear(checker.find())
    assert process.wait(30) == -9
    process.communicate()


def test_a_listening_socket_is_seen() -> None:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short}/s")
        listener.listen()
        assert _found(LeakChecker("test-0badcafe", Path(short))) == ["socket"]


def test_a_leak_says_what_and_where() -> None:
    assert str(Leak("mount", "/tmp/x/merged")) == "mount /tmp/x/merged"
