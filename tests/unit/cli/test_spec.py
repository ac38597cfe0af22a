"""What `boxy run` asks the daemon for is what the models accept, and only what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boxy_cli import options, table
from boxy_cli.commands import run, shared
from boxy_core import models
from boxy_core.errors import InvalidRequest


def spec(*words: str) -> dict[str, Any]:
    return run.spec(options.parse(table.load("run"), words))


def test_only_what_was_given_is_asked_for() -> None:
    assert spec("alpine") == {"image": "alpine"}


def test_every_flag_of_a_box_reaches_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "set")
    flags = """
        -i --name web --rm --hostname h -e A=1 -e HERE -e NOTSET -w /srv -u me:us
        --entrypoint /bin/sh -l a=b -l c -v /x:/y:ro -v /z:/z -m 64m --memory-swap 128m
        --cpus 1.5 -c 512 --cpuset-cpus 0-1 --pids-limit 99 --io-weight 200 --read-only
        --init --cap-add NET_ADMIN --cap-drop ALL --security-opt seccomp=unconfined
        --userns host --network host --stop-signal INT --stop-timeout 3s alpine -- ls -l
    """
    wanted = spec(*flags.split())
    box = models.convert(models.BoxSpec, wanted)
    assert box == models.BoxSpec(
        image="alpine",
        name="web",
        command=["ls", "-l"],
        entrypoint=["/bin/sh"],
        env={"A": "1", "HERE": "set"},
        workdir="/srv",
        user="me:us",
        hostname="h",
        labels={"a": "b", "c": ""},
        stdin=True,
        auto_remove=True,
        network="host",
        limits=models.Limits(
            memory=64 << 20, memory_swap=128 << 20, cpus=1.5, cpu_shares=512, cpuset="0-1",
            pids=99, io_weight=200,
        ),
        mounts=[models.Mount(source="/x", target="/y", read_only=True),
                models.Mount(source="/z", target="/z")],
        read_only=True,
        init=True,
        cap_add=["NET_ADMIN"],
        cap_drop=["ALL"],
        seccomp="unconfined",
        userns="host",
        stop_signal="INT",
        stop_timeout=3.0,
    )  # fmt: skip


def test_no_grace_at_all_can_be_asked_for() -> None:
    assert spec("--stop-timeout", "0", "alpine")["stop_timeout"] == 0.0


def test_an_empty_entrypoint_takes_the_image_s_away() -> None:
    assert spec("--entrypoint", "", "alpine")["entrypoint"] == []


@pytest.mark.parametrize(
    ("term", "given"),
    [("xterm-256color", "xterm-256color"), ("tmux-256color", "tmux-256color"),
     ("xterm-kitty", "xterm-kitty"), ("foot", "xterm-256color"), ("", "xterm-256color")],
)  # fmt: skip
def test_a_terminal_tells_the_box_what_it_is(
    monkeypatch: pytest.MonkeyPatch, term: str, given: str
) -> None:
    monkeypatch.setenv("TERM", term)
    wanted = spec("-t", "alpine")
    assert wanted["env"]["TERM"] == given
    assert wanted["rows"] > 0
    assert spec("-t", "-e", "TERM=vt100", "alpine")["env"]["TERM"] == "vt100"


@pytest.mark.parametrize(
    "words",
    [
        ["-v", "/x", "alpine"], ["-v", "/x:y", "alpine"], ["-v", "/x:/y:wo", "alpine"],
        ["-e", "=x", "alpine"], ["-l", "=x", "alpine"], ["--env-file", "/nowhere", "alpine"],
        ["--security-opt", "apparmor=x", "alpine"],
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_before_anything_is_asked(words: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        spec(*words)


def test_an_environment_file_has_lines_and_comments(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\n\nA=1\n  B=two words \nC=\n")
    assert shared.environment(["A=9"], [str(file)]) == {"A": "9", "B": "two words", "C": ""}
