"""Explanations and traces as a reader sees them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from boxy_core import glass
from tests.support.fake_daemon import FakeDaemon

MakeDaemon = Callable[..., FakeDaemon]
Boxy = Callable[..., subprocess.CompletedProcess[str]]

FOUND: dict[str, Any] = {
    "id": "ab" * 32, "name": "web", "status": "running",
    "sections": [
        {"key": "namespaces", "title": "Namespaces", "about": "An idea. " * 20,
         "learn": "02-mount-namespace",
         "facts": [
             {"what": "net", "value": "net:[4026532410], its own", "note": "ports",
              "by_hand": "readlink /proc/7/ns/net"},
             {"what": "evil\x1b[2J", "value": "word " * 60, "note": "", "by_hand": ""},
             {"what": "a" * 60, "value": "", "note": "", "by_hand": "cat " + "b" * 150},
         ]},
    ],
}  # fmt: skip
TRACE: dict[str, Any] = {
    "id": "ab" * 32, "name": "web", "created": 1.0,
    "start": {"total_ms": 40.0, "steps": [
        {"step": "cgroup", "ms": 10.0}, {"step": "launch", "ms": 30.0, "inner": {"fork": 20.0}},
    ]},
    "lines": [
        {"at": 1.0, "what": "create", "ms": 5.0, "pid": 9, "uid": 1000},
        {"at": 2.0, "what": "start", "ms": 41.0},
        {"at": 3.0, "what": "exec", "ms": 2.0, "error": "no \x1b[2J"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("width", [0, 40, 79, 200])
def test_an_explanation_fits_its_width_but_for_commands_to_copy(width: int) -> None:
    text = glass.explanation(FOUND, width=width, colour=False)
    assert "\x1b" not in text
    for line in text.splitlines():
        assert "$ " in line or "a" * 60 in line or len(line) <= (width or 100), line
    assert "$ readlink /proc/7/ns/net\n" in text
    assert ("docs/tutorial/build-your-own/02-mount-namespace.md" in text) == (width != 40)


def test_a_trace_shows_the_last_start_in_its_parts() -> None:
    lines = glass.trace(TRACE, width=100, colour=False).splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["cgroup", "launch", "fork"]
    assert lines[3].index("█") < lines[4].index("█") == lines[5].index("█")
    assert lines[4].count("█") > lines[5].count("█") > lines[3].count("█")
    assert "pid 9 uid 1000" in lines[1]
    assert "failed: no \\e[2J" in lines[-1]


def test_a_long_word_in_a_trace_keeps_the_columns() -> None:
    deeds = [
        {"at": 1.0, "what": "create", "ms": 5.0, "pid": 9},
        {"at": 2.0, "what": "change_ports", "ms": 10234.5, "pid": 9},
    ]
    _, *lines = glass.trace(TRACE | {"lines": deeds}, width=100, colour=False).splitlines()
    assert len({line.index(" ms  pid 9") for line in lines}) == 1


def test_one_section_can_be_asked_for(daemon: MakeDaemon, boxy: Boxy) -> None:
    fake = daemon({"GET /boxes/web/explain": FOUND, "GET /boxes/web/trace": TRACE})
    assert boxy(fake, "explain", "-s", "namespaces", "web").stdout.startswith("Namespaces")
    wrong = boxy(fake, "explain", "-s", "moons", "web")
    assert wrong.returncode == 1
    assert "there are namespaces" in wrong.stderr
    assert "cgroup" in boxy(fake, "trace", "web").stdout
    assert boxy(fake, "trace", "--json", "web").stdout.startswith("{")
