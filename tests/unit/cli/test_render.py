"""Tables: aligned, cut to the terminal, and harmless whatever the names are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_cli import render
from boxy_cli.commands.about import outline

NOW = 1_700_000_000.0


def box(**changed: Any) -> dict[str, Any]:
    return {
        "id": "0123456789ab" + "0" * 52,
        "name": "web",
        "image": "alpine",
        "spec": {"image": "alpine"},
        "args": ["httpd", "-f"],
        "status": "running",
        "created": NOW - 7200,
        "started": NOW - 180,
        "finished": 0.0,
        "exit": None,
    } | changed


def exited(status: int, *, oom: bool = False, ago: float = 7200) -> dict[str, Any]:
    info = {"status": status, "signal": 0, "oom": oom}
    return box(status="exited", exit=info, finished=NOW - ago)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (box(), "Up 3 minutes"),
        (box(started=NOW - 0.2), "Up less than a second"),
        (box(started=NOW + 5), "Up less than a second"),
        (box(status="paused"), "Up 3 minutes (paused)"),
        (box(status="stopping"), "Up 3 minutes (stopping)"),
        (box(status="created"), "Created"),
        (box(status="starting"), "Starting"),
        (box(status="lost"), "Lost"),
        (exited(0, ago=1), "Exited (0) 1 second ago"),
        (exited(137), "Exited (137) 2 hours ago"),
        (exited(137, oom=True), "Exited (137, out of memory) 2 hours ago"),
        (box(status="exited", exit=None, finished=NOW), "Exited (?) less than a second ago"),
    ],
)
def test_a_status_is_told_in_words(state: dict[str, Any], text: str) -> None:
    assert render.status_text(state, NOW) == text


def test_boxes_are_a_table_like_docker_s() -> None:
    text = render.boxes(
        [box(), exited(3) | {"name": "job", "args": ["sh", "-c", "a b"]}],
        NOW, width=0, full=False, colour=False,
    )  # fmt: skip
    assert text == (
        "ID             NAME   IMAGE    COMMAND       CREATED       STATUS\n"
        "0123456789ab   web    alpine   httpd -f      2 hours ago   Up 3 minutes\n"
        "0123456789ab   job    alpine   sh -c 'a b'   2 hours ago   Exited (3) 2 hours ago\n"
    )


def test_colours_are_only_around_the_status() -> None:
    plain = render.boxes([box()], NOW, width=0, full=False, colour=False)
    painted = render.boxes([box()], NOW, width=0, full=False, colour=True)
    assert "\x1b" not in plain
    assert painted == plain.replace("Up 3 minutes", "\x1b[32mUp 3 minutes\x1b[0m")


@pytest.mark.parametrize("width", [64, 80, 100, 200])
def test_a_table_keeps_to_the_terminal(width: int) -> None:
    long = box(name="n" * 80, image="i" * 80, args=["c" * 300])
    for line in render.boxes([long], NOW, width=width, full=False, colour=False).splitlines():
        assert render.cell_width(line) <= width


def test_nothing_is_cut_when_everything_is_wanted() -> None:
    long = box(args=["c" * 300])
    text = render.boxes([long], NOW, width=60, full=True, colour=False)
    assert "c" * 300 in text
    assert long["id"] in text


@given(st.text(max_size=40), st.text(max_size=40), st.lists(st.text(max_size=30), max_size=4))
def test_no_name_can_break_a_line_or_reach_the_terminal(
    name: str, image: str, args: list[str]
) -> None:
    evil = box(name=name, image=image, args=args)
    text = render.boxes([evil, box()], NOW, width=100, full=False, colour=False)
    assert text.count("\n") == 3
    assert all(char.isprintable() or char in "\n\u200c\u200d" for char in text)


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("👩\u200d🚀", 4), ("é", 1)]
)
def test_wide_characters_take_two_columns(text: str, columns: int) -> None:
    assert render.cell_width(text) == columns


@given(st.text(st.characters(categories=("L", "N", "So")), max_size=30), st.integers(1, 20))
def test_a_cut_text_fits(text: str, width: int) -> None:
    assert render.cell_width(render.cut(text, width)) <= width


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["ls", "-la", "/a_b/c.d"], "ls -la /a_b/c.d"),
        (["sh", "-c", "echo hi"], "sh -c 'echo hi'"),
        (["it's"], "'it'\\''s'"),
        ([""], "''"),
        (["a\x1b[2J"], "'a\\e[2J'"),
    ],
)
def test_a_command_is_quoted_where_a_shell_needs_it(args: list[str], line: str) -> None:
    assert render.command_line(args) == line


def test_stats_show_use_against_limits() -> None:
    sample = {
        "id": "0123456789ab" + "0" * 52, "time": NOW, "cpu_percent": 12.34, "memory": 64 << 20,
        "memory_limit": 128 << 20, "pids": 3, "net_rx": 1024, "net_tx": 0, "io_read": 0,
        "io_write": 1 << 30, "disk": 2 << 20,
    }  # fmt: skip
    line = render.stats([sample], {sample["id"]: "web"}, width=0).splitlines()[1]  # type: ignore[dict-item]
    shown = "0123456789ab web 12.3 64MiB / 128MiB 50.0 1KiB / 0B 0B / 1GiB 3 2MiB"
    assert " ".join(line.split()) == shown
    free = render.stats([sample | {"memory_limit": 0}], {}, width=0).splitlines()[1]
    assert "64MiB / -" in free


def test_images_say_what_is_wrong_with_them() -> None:
    images = [
        {"name": "alpine", "id": "sha256:" + "a" * 64, "size": 8 << 20, "ready": True,
         "created": NOW - 86400, "description": "small"},
        {"name": "new", "id": "", "size": 0, "ready": False, "created": 0, "problem": ""},
        {"name": "bad\x1b", "id": "", "ready": False, "problem": "no archive\nhere"},
    ]  # fmt: skip
    lines = render.images(images, NOW, width=0).splitlines()
    assert lines[1].split() == ["alpine", "a" * 12, "1", "day", "ago", "8MiB", "small"]
    assert "not unpacked" in lines[2]
    assert "bad\\e" in lines[3]
    assert "unusable: no archive\\nhere" in lines[3]


def test_processes_show_users_times_and_sizes() -> None:
    process = {"pid": 4242, "ppid": 1, "uid": 0, "state": "S", "cpu_seconds": 3723.5,
               "rss": 5 << 20, "started": NOW, "command": "sleep 1\x07"}  # fmt: skip
    assert render.processes([process], width=0).splitlines()[1].split() == [
        "4242", "1", "0", "S", "1:02:04", "5MiB", "sleep", "1\\x07",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.05, "0:00.05"), (64.5, "1:04.50"), (3600, "1:00:00")]
)
def test_cpu_time_looks_like_ps_s(seconds: float, text: str) -> None:
    assert render.cpu_time(seconds) == text


def test_an_event_is_one_line_with_what_changed() -> None:
    line = {"cursor": 3, "time": NOW, "type": "box.exited", "id": "0123456789ab" + "0" * 52,
            "name": "we\nb", "data": {"status": 137, "oom": True}}  # fmt: skip
    assert render.event(line, "T") == "T box.exited 0123456789ab we\\nb (status=137, oom=yes)"


def test_info_is_an_outline() -> None:
    found = {"boxes": {"running": 2}, "memory": 1 << 30, "notices": ["a\x1b", "b"], "swap": False}
    assert outline(found) == [
        "boxes:", "  running: 2", "memory: 1GiB", "notices:", "  - a\\e", "  - b", "swap: no",
    ]  # fmt: skip
