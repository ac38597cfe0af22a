"""What `boxy run` asks the daemon for is what the models accept, and only what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boxy_cli import table
from boxy_cli.commands import run
from boxy_core import models
from boxy_core.errors import InvalidRequest
from boxy_core.flags import options, shared


def spec(*words: str) -> dict[str, Any]:
    return run.spec(options.parse(table.load("run"), words))


def test_only_what_was_given_is_asked_for() -> None:
    assert spec("alpine") == {"image": "alpine"}


def test_every_flag_about_its_isolation_reaches_the_model(tmp_path: Path) -> None:
    profile = tmp_path / "p.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    flags = f"""
        --tmpfs /run:size=1m,mode=755,exec,ro --shm-size 8m --ulimit nofile=1:2
        --ulimit core=unlimited --sysctl net.ipv4.ip_forward=1 --device /dev/fuse
        --device /dev/a:/dev/b:rw --device /dev/c:r --device-cgroup-rule c_10:*_rwm --privileged
        --pid box:a --ipc container:a --uts host --cgroupns host --time private
        --security seccomp={profile} --security no-new-privileges=false
        --security-opt systempaths=unconfined --memory-reservation 32m --memory-swap -1
        --device-read-bps /dev/vda:1m --device-write-iops /dev/vda:100 --hugetlb 2MB=4m --disk 1g
        alpine
    """
    words = [word.replace("c_10:*_rwm", "c 10:* rwm") for word in flags.split()]
    box = models.convert(models.BoxSpec, spec(*words))
    assert box == models.BoxSpec(
        image="alpine",
        mounts=[models.Mount(type="tmpfs", target="/run", size=1 << 20, mode=0o755, exec=True,
                             read_only=True)],
        shm_size=8 << 20,
        ulimits={"nofile": models.Ulimit(soft=1, hard=2), "core": models.Ulimit(soft=-1, hard=-1)},
        sysctls={"net.ipv4.ip_forward": "1"},
        devices=[models.Device(source="/dev/fuse", target="/dev/fuse"),
                 models.Device(source="/dev/a", target="/dev/b", access="rw"),
                 models.Device(source="/dev/c", target="/dev/c", access="r")],
        device_rules=["c 10:* rwm"],
        privileged=True, pid="box:a", ipc="box:a", uts="host", cgroupns="host", timens="private",
        seccomp_profile={"defaultAction": "SCMP_ACT_ALLOW"}, no_new_privs=False,
        system_paths="unconfined",
        limits=models.Limits(
            memory_reservation=32 << 20, memory_swap=-1, io_read_bps={"/dev/vda": 1 << 20},
            io_write_iops={"/dev/vda": 100}, hugetlb={"2MB": 4 << 20}, disk=1 << 30,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "--tmpfs run", "--tmpfs /run:size", "--tmpfs /run:mode=9", "--tmpfs /run:loud",
        "--ulimit nofile", "--ulimit nofile=x", "--sysctl a", "--device fuse",
        "--device /dev/a:/dev/b:/dev/c:r", "--device /dev/a:q", "--pid other", "--pid box:",
        "--security x", "--security seccomp=/nosuch", "--security seccomp", "--storage-opt x=1",
        "--device-read-bps /dev/vda", "--device-read-iops /dev/vda:x", "--hugetlb 2MB", "--disk x",
    ],
)  # fmt: skip
def test_a_malformed_flag_is_refused_by_name(words: str) -> None:
    with pytest.raises(InvalidRequest, match=words.split(maxsplit=1)[0]):
        spec(*words.split(), "alpine")


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
        ["-v", "x", "alpine"], ["-v", "/x:y", "alpine"], ["-v", "/x:/y:wo", "alpine"],
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
