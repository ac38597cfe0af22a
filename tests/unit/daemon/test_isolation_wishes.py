"""What may be asked for about a box's isolation, what is refused, and what it gives away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import BoxyError, InvalidRequest
from boxy_core.models import BoxSpec, Device, Mount, Ulimit
from boxyd import isolation, plan_devices
from boxyd.boxes_check import check_spec
from boxyd.cgroup.devices import DEFAULT_DEVICES
from boxyd.claims import Claims
from boxyd.disk import size_of
from boxyd.ids import COUNT
from boxyd.runtime import seccomp
from boxyd.runtime.syscalls import ARCH


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": "box:"},
        {"pid": "other"},
        {"ipc": "box:"},
        {"pid": "box:a", "ipc": "box:b"},
        {"pid": "box:a", "userns": "host"},
        {"uts": "box:a"},
        {"timens": "own"},
        {"cgroupns": "x"},
        {"system_paths": "x"},
        {"seccomp": "custom"},
        {"seccomp_profile": {"defaultAction": "SCMP_ACT_NOTIFY"}},
        {"seccomp_profile": {}},
        {"shm_size": 1},
        {"ulimits": {"files": Ulimit(soft=1, hard=1)}},
        {"ulimits": {"nofile": Ulimit(soft=5, hard=1)}},
        {"ulimits": {"nofile": Ulimit(soft=-1, hard=1)}},
        {"ulimits": {"nofile": Ulimit(soft=-2, hard=-1)}},
        {"sysctls": {"kernel.panic": "1"}},
        {"sysctls": {"vm.overcommit_memory": "1"}},
        {"sysctls": {"net/ipv4/../../kernel/panic": "1"}},
        {"sysctls": {"net.ipv4..x": "1"}},
        {"sysctls": {"net.ipv4.ip_forward": "1\n0"}},
        {"sysctls": {"net.ipv4.ip_forward": "1"}, "network": "host"},
        {"sysctls": {"kernel.msgmax": "1"}, "ipc": "host"},
        {"sysctls": {"kernel.msgmax": "1"}, "ipc": "box:a"},
        {"sysctls": {"kernel.domainname": "x"}, "uts": "host"},
        {"devices": [Device(source="/etc/passwd")]},
        {"devices": [Device(source="/dev/../etc/shadow")]},
        {"devices": [Device(source="/dev")]},
        {"devices": [Device(source="/dev/fuse", target="/proc/x")]},
        {"devices": [Device(source="/dev/fuse", target="/dev/pts/0")]},
        {"devices": [Device(source="/dev/fuse", access="rx")]},
        {"devices": [Device(source="/dev/fuse", access="")]},
        {"device_rules": ["c 1:3"]},
        {"mounts": [Mount(type="nfs", target="/x")]},
        {"mounts": [Mount(type="tmpfs", source="/x", target="/x")]},
        {"mounts": [Mount(type="tmpfs", target="/x", size=1)]},
        {"mounts": [Mount(type="tmpfs", target="/x", mode=0o17777)]},
        {"mounts": [Mount(type="tmpfs", target="x")]},
        {"mounts": [Mount(source="/x", target="/x", size=1 << 20)]},
        {"cap_add": ["everything"]},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused_by_name(wrong: dict[str, object]) -> None:
    spec = BoxSpec(**{"image": "i", **wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest) as caught:
        check_spec(spec)
    assert caught.value.hint


@pytest.mark.parametrize(
    "right",
    [
        {"pid": "box:web", "ipc": "box:web"},
        {
            "sysctls": {
                "net.core.somaxconn": "9",
                "fs.mqueue.msg_max": "20",
                "kernel.sem": "1 2 3 4",
            }
        },
        {"devices": [Device(source="/dev/net/tun", target="/dev/tun", access="rw")]},
        {"device_rules": ["c 10:* rwm", "a *:* m"]},
        {"ulimits": {"memlock": Ulimit(soft=-1, hard=-1), "core": Ulimit(soft=0, hard=-1)}},
        {"seccomp_profile": {"defaultAction": "SCMP_ACT_ALLOW"}},
        {"mounts": [Mount(type="tmpfs", target="/run", size=1 << 20, mode=0o755, exec=True)]},
    ],
)
def test_what_makes_sense_passes(right: dict[str, object]) -> None:
    check_spec(BoxSpec(**{"image": "i", **right}))  # type: ignore[arg-type]


def test_a_box_by_default_gives_nothing_away() -> None:
    assert isolation.weakened(BoxSpec(image="i")) == []


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"privileged": True}, "privileged"),
        ({"privileged": True, "userns": "host"}, "root of this machine"),
        ({"userns": "host"}, "root outside"),
        ({"seccomp": "unconfined"}, "seccomp unconfined"),
        ({"system_paths": "unconfined"}, "/proc and /sys"),
        ({"no_new_privs": False}, "set-uid"),
        ({"network": "host"}, "loopback"),
        ({"pid": "host"}, "every process"),
        ({"ipc": "host"}, "shared memory"),
        ({"uts": "host"}, "host's name"),
        ({"cgroupns": "host"}, "cgroups"),
        ({"pid": "box:abc"}, "one user namespace"),
        ({"cap_add": ["NET_ADMIN"]}, "net_admin"),
        ({"devices": [Device(source="/dev/fuse")]}, "/dev/fuse"),
        ({"device_rules": ["c 10:* rwm"]}, "c 10:* rwm"),
        ({"mounts": [Mount(source="/", target="/host")]}, "root folder"),
    ],
)
def test_each_thing_that_is_given_away_has_its_sentence(wish: dict[str, object], word: str) -> None:
    (sentence,) = isolation.weakened(BoxSpec(**{"image": "i", **wish}))  # type: ignore[arg-type]
    assert word in sentence


def test_devices_of_the_host_become_rules_by_their_numbers() -> None:
    asked = BoxSpec(image="i", devices=[Device(source="/dev/null", access="r")])
    rules = plan_devices.rules(asked, mapped=True)
    assert rules is not None
    assert [str(rule) for rule in rules[len(DEFAULT_DEVICES) :]] == ["c 1:3 r"]
    gone = BoxSpec(image="i", devices=[Device(source="/dev/nosuch")])
    with pytest.raises(BoxyError, match="/dev/nosuch"):
        plan_devices.rules(gone, mapped=True)


def test_only_privileged_with_the_hosts_users_has_every_device() -> None:
    spec = BoxSpec(image="i", privileged=True)
    assert plan_devices.rules(spec, mapped=False) is None
    assert plan_devices.rules(spec, mapped=True) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=12,
)
RULE = st.fixed_dictionaries(
    {},
    optional={
        "names": JSON | st.lists(st.sampled_from(["read", "open", "nosuch"])),
        "action": JSON | st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]),
        "errnoRet": JSON,
        "args": JSON | st.lists(st.fixed_dictionaries({"index": JSON, "value": JSON, "op": JSON})),
        "includes": JSON | st.dictionaries(st.sampled_from(["caps", "arches", "minKernel"]), JSON),
        "excludes": JSON,
    },
)
PROFILE = st.fixed_dictionaries(
    {"defaultAction": JSON | st.just("SCMP_ACT_ERRNO")},
    optional={"defaultErrnoRet": JSON, "syscalls": JSON | st.lists(RULE, max_size=4)},
)


@given(profile=PROFILE)
def test_any_profile_compiles_or_is_refused_with_the_place(profile: dict[str, object]) -> None:
    try:
        code = seccomp.compile_profile(profile, [], ARCH)
    except seccomp.ProfileError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert len(code) % 8 == 0


# ------------------------------------------------------------------------ ranges of ids


def make_box(root: Path, name: str) -> None:
    (root / "boxes" / name).mkdir(parents=True)


def test_daemons_side_by_side_never_give_one_range_twice(tmp_path: Path) -> None:
    one, two = (Claims(str(tmp_path / "ids"), str(tmp_path / name)) for name in ("one", "two"))
    make_box(tmp_path / "one", "a" * 12)
    first = one.allocate([], "a" * 64)
    second = two.allocate([], "b" * 64)
    assert first != second
    assert not two.keep(first, "c" * 64)
    assert one.keep(first, "a" * 64)
    one.free(first, "a" * 64)
    three = Claims(str(tmp_path / "ids"), str(tmp_path / "three"))
    assert three.allocate([], "d" * 64) == first


def test_ranges_are_given_in_turn_so_that_the_next_is_known(tmp_path: Path) -> None:
    claims = Claims(str(tmp_path / "ids"), str(tmp_path / "one"))
    first = claims.allocate([], "a" * 64)
    claims.free(first, "a" * 64)
    expected = claims.following()
    assert claims.allocate([]) == expected, "asking claims nothing"
    assert claims.allocate([], "b" * 64) == expected != first
    assert claims.following() == expected + COUNT


def test_a_range_whose_box_is_gone_is_free_after_a_while(tmp_path: Path) -> None:
    import os

    ids = tmp_path / "ids"
    one, two = Claims(str(ids), str(tmp_path / "one")), Claims(str(ids), str(tmp_path / "two"))
    base = one.allocate([], "a" * 64)
    assert two.allocate([]) != base, "its box may just be being made"
    os.utime(ids / str(base), (1, 1))
    assert two.allocate([], "b" * 64) == base
    assert json.loads((ids / str(base)).read_text())["box"] == "b" * 12


def test_where_claims_cannot_be_written_boxes_run_and_it_is_said() -> None:
    claims = Claims("/proc/nosuch", "/x")
    assert "/proc/nosuch" in claims.notices[0]
    assert claims.allocate([]) > 0
    assert claims.keep(1 << 30, "a" * 64)
    claims.free(1 << 30, "a" * 64)


# ------------------------------------------------------------------------ the size of a layer


def test_a_layer_is_measured_whole_however_deep_and_each_file_once(tmp_path: Path) -> None:
    import os

    (tmp_path / "a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "link").symlink_to("/")
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):  # deeper than recursion goes, longer than a path may be
        os.mkdir("deep-folder", dir_fd=at)
        below = os.open("deep-folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    fd = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at)
    os.write(fd, b"y" * 50_000)
    os.close(fd)
    os.close(at)
    size = size_of(str(tmp_path))
    assert 150_000 <= size < 150_000 + 1600 * 8192
    from boxyd.trees import remove_tree

    remove_tree(str(tmp_path))
