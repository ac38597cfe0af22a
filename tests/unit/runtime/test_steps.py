"""The vocabulary of plans: every step there is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from boxyd.runtime import steps
from boxyd.runtime.steps import base

SAMPLES: dict[str, dict[str, Any]] = {
    "overlay": {"lowers": ["/a", "/b"], "upper": "/u", "work": "/w", "volatile": True},
    "dev": {"devices": [["/dev/fuse", "/dev/fuse"]]},
    "bind": {"source": "/s", "target": "/t", "read_only": True, "map_ids": False},
    "share": {"source": "/s", "target": "/t", "propagation": "slave", "ids": "owner"},
    "volume": {"name": "v", "source": "/s", "target": "/t", "subpath": "a"},
    "image_mount": {"name": "alpine", "target": "/t", "layers": ["/l"]},
    "file": {"source": "/s", "target": "/etc/hosts", "text": "127.0.0.1\tlocalhost\n"},
    "tmpfs": {"target": "/dev/shm", "size": 1 << 26},
    "shared_shm": {"pid": 12, "start_time": 345},
    "readonly_root": {},
    "pivot": {},
    "proc": {},
    "sysfs": {"shared": True},
    "devpts": {},
    "console": {},
    "mqueue": {},
    "cgroupfs": {"folders": {"memory": "/sys/fs/cgroup/memory/boxy/x"}},
    "mask": {"paths": ["/proc/kcore"]},
    "readonly": {"paths": ["/proc/sys"]},
    "hostname": {"name": "box"},
    "loopback": {},
    "network": {"networks": ["bridge", "app"]},
    "joined_sysfs": {},
    "sysctl": {"values": {"net.ipv4.ping_group_range": "0 1"}},
    "keyring": {},
    "capabilities": {"keep": ["chown"]},
    "user": {"name": "nobody", "keep": []},
    "no_new_privs": {},
    "seccomp": {"program": "/p", "profile": "/q.json", "capabilities": []},
}


def test_each_step_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(steps.BY_NAME)


@pytest.mark.parametrize("name", sorted(steps.BY_NAME))
def test_a_step_comes_back_from_its_json(name: str) -> None:
    first = steps.from_json({"do": name, **SAMPLES[name]})
    told = json.loads(json.dumps(first.to_json()))
    assert told.items() >= SAMPLES[name].items()
    again = steps.from_json(told)
    assert type(again) is type(first)
    assert again.to_json() == told


@pytest.mark.parametrize("name", sorted(steps.BY_NAME))
def test_a_step_tells_what_it_does_in_one_line(name: str) -> None:
    line = steps.from_json({"do": name, **SAMPLES[name]}).describe()
    assert line
    assert "\n" not in line
    assert len(line) < 400


@pytest.mark.parametrize("name", sorted(steps.BY_NAME))
def test_an_unknown_value_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="surprise"):
        steps.from_json({"do": name, **SAMPLES[name], "surprise": 1})


@pytest.mark.parametrize("name", sorted(n for n, values in SAMPLES.items() if values))
def test_a_missing_value_is_named_or_has_a_default(name: str) -> None:
    for field in SAMPLES[name]:
        values = {key: value for key, value in SAMPLES[name].items() if key != field}
        if hasattr(steps.BY_NAME[name], field):
            assert hasattr(steps.from_json({"do": name, **values}), field)
        else:
            with pytest.raises(ValueError, match=f'"{field}"'):
                steps.from_json({"do": name, **values})


@pytest.mark.parametrize("bad", [{}, {"do": "explode"}, {"do": None}])
def test_an_unknown_step_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no step"):
        steps.from_json(bad)


def test_steps_share_no_state() -> None:
    one = steps.Cgroupfs(folders={"": "/x"})
    two = steps.Cgroupfs(folders={"": "/y"})
    assert one.folders != two.folders


def test_a_further_command_takes_every_step_that_drops_power() -> None:
    joining = {name for name, step in steps.BY_NAME.items() if step.joins}
    assert joining == {"keyring", "capabilities", "user", "no_new_privs", "seccomp"}


def test_a_host_closes_what_it_kept() -> None:
    import os

    read, write = os.pipe()
    host = base.Host(0, -1)
    host.keep(read)
    host.keep(write)
    host.close()
    for fd in (read, write):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
