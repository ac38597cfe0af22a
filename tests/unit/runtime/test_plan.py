"""Plans are plain data, made without touching the machine."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from boxy_core.errors import InvalidRequest
from boxy_core.models import Box, BoxSpec, Image, Mount
from boxy_core.paths import Paths
from boxyd import plan
from boxyd.host import HostFacts
from boxyd.ports import Setting
from boxyd.runtime import steps

PATHS = Paths("/var/lib/boxy", "/run/boxy", "/run/boxy/boxyd.sock", (), "boxy")
HOST = HostFacts(kernel=(6, 18), release="6.18.0", arch="x86_64", nofile=20000)
IMAGE = Image(
    name="alpine", id="sha256:1", source="/registry/alpine", layers=["/layers/1", "/layers/2"],
    env={"PATH": "/bin", "LANG": "C"}, workdir="/srv", user="daemon",
)  # fmt: skip
ID = "0123456789ab" + "0" * 52


class Cgroup(NamedTuple):
    tasks: list[str]
    procs: list[str]
    into: str
    oom: str


HYBRID = Cgroup(
    ["/sys/fs/cgroup/memory/boxy/0123456789ab/tasks", "/sys/fs/cgroup/cpu,cpuacct/boxy/0123/tasks"],
    ["/sys/fs/cgroup/memory/boxy/0123456789ab/cgroup.procs"],
    "/sys/fs/cgroup/unified/boxy/0123456789ab",
    "/sys/fs/cgroup/memory/boxy/0123456789ab/memory.oom_control",
)
UNIFIED = Cgroup([], ["/sys/fs/cgroup/boxy/0123456789ab/cgroup.procs"],
                 "/sys/fs/cgroup/boxy/0123456789ab", "")  # fmt: skip


def build(
    cgroup: Any = HYBRID, host: HostFacts = HOST, image: Image = IMAGE, base: int = 1 << 30,
    setting: Setting | None = None, **spec: Any,
) -> dict[str, Any]:  # fmt: skip
    box = Box(id=ID, name="web", image="alpine", args=["sh", "-c", "true"], id_base=base,
              layers=image.layers, spec=BoxSpec(image="alpine", **spec))  # fmt: skip
    return plan.build(box, image, PATHS, cgroup, host, setting)


def names(made: dict[str, Any]) -> list[str]:
    return [step["do"] for step in made["steps"]]


def step(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in made["steps"] if s["do"] == name)
    return found


def test_the_steps_come_in_the_order_that_the_kernel_needs() -> None:
    assert names(build(tty=True, read_only=True, mounts=[Mount(source="/s", target="/t")])) == [
        "overlay", "proc", "sysfs", "dev", "devpts", "tmpfs", "mqueue", "cgroupfs",
        "tmpfs", "tmpfs", "tmpfs", "share", "file", "file", "file", "console", "loopback",
        "sysctl", "hostname", "mask", "mask", "readonly", "readonly_root", "pivot", "keyring",
        "capabilities", "user", "no_new_privs", "seccomp",
    ]  # fmt: skip


def test_a_plan_is_json_and_every_step_can_be_read_back() -> None:
    made = build(tty=True)
    assert json.loads(json.dumps(made)) == made
    assert [steps.from_json(s).to_json() for s in made["steps"]] == made["steps"]


def test_what_belongs_to_the_box() -> None:
    made = build()
    assert made["box"] == "/var/lib/boxy/boxes/0123456789ab"
    assert made["run"] == "/run/boxy/boxes/0123456789ab"
    assert made["id_map"] == [[0, 1 << 30, 65536]]
    assert made["rlimits"] == {"core": [0, 0], "nofile": [20000, 20000]}
    overlay = step(made, "overlay")
    assert overlay["lowers"] == ["/layers/1", "/layers/2"]
    assert overlay["upper"] == "/var/lib/boxy/boxes/0123456789ab/upper"
    assert made["process"]["cwd"] == "/srv"
    assert step(made, "user")["name"] == "daemon"


def test_the_environment_is_the_images_then_the_users() -> None:
    env = build(env={"LANG": "de", "X": "1"}, tty=True)["process"]["env"]
    assert env == {
        "PATH": "/bin", "LANG": "de", "X": "1", "HOSTNAME": "0123456789ab",
        "TERM": "xterm-256color",
    }  # fmt: skip
    assert "TERM" not in build()["process"]["env"]


def test_without_a_path_there_is_the_usual_one() -> None:
    bare = Image(name="x", id="", source="", layers=["/l"])
    assert build(image=bare)["process"]["env"]["PATH"] == plan.PATH


def test_all_namespaces_are_new() -> None:
    spaces = ["user", "mount", "pid", "ipc", "uts", "net", "cgroup"]
    assert build()["namespaces"] == spaces


def test_the_hosts_users() -> None:
    made = build(base=0, userns="host")
    assert made["id_map"] == []
    assert "user" not in made["namespaces"]
    assert "seccomp" in names(made)


def test_a_box_on_a_network_waits_for_it_last_and_reads_its_files() -> None:
    setting = Setting("nameserver 10.0.0.1\n", "10.0.0.2\tweb\n", ("app",))
    made = build(setting=setting, network="app")
    assert names(made)[names(made).index("pivot") - 1] == "network"
    assert step(made, "network")["networks"] == ["app"]
    texts = {s["target"]: s["text"] for s in made["steps"] if s["do"] == "file"}
    assert texts["/etc/resolv.conf"] == setting.resolv
    assert texts["/etc/hosts"] == setting.hosts
    assert "network" not in names(build(network="none"))


def test_another_boxs_network_is_joined_with_its_files_and_its_sys() -> None:
    made = build(setting=Setting(joins="/r/boxes/other"), network="box:other")
    assert "net" not in made["namespaces"]
    assert {"loopback", "sysctl", "sysfs"}.isdisjoint(names(made))
    assert "joined_sysfs" in names(made)
    binds = {s["source"]: s["target"] for s in made["steps"] if s["do"] == "bind"}
    assert binds["/r/boxes/other/etc/hosts"] == "/etc/hosts"


def test_the_hosts_network() -> None:
    made = build(network="host", setting=Setting())
    assert "net" not in made["namespaces"]
    assert "loopback" not in names(made)
    assert "sysctl" not in names(made)
    assert step(made, "sysfs")["shared"] is True
    shown = {s["target"] for s in made["steps"] if s["do"] == "bind"}
    assert shown == {"/etc/hosts", "/etc/resolv.conf"}


def test_a_file_of_the_users_own_stands_in_place_of_ours() -> None:
    made = build(mounts=[Mount(source="/my/hosts", target="//etc/./hosts")])
    files = {s["target"] for s in made["steps"] if s["do"] == "file"}
    assert files == {"/etc/hostname", "/etc/resolv.conf"}


def test_only_an_unconfined_box_has_no_filter() -> None:
    assert "seccomp" not in names(build(seccomp="unconfined"))
    assert "seccomp" not in names(build(host=HostFacts(
        kernel=(6, 1), release="6.1", arch="x86_64", seccomp=False)))  # fmt: skip


def test_capabilities_go_to_every_step_that_needs_them() -> None:
    made = build(cap_drop=["ALL"], cap_add=["NET_RAW"])
    assert step(made, "capabilities")["keep"] == ["net_raw"]
    assert step(made, "user")["keep"] == ["net_raw"]
    assert step(made, "seccomp")["capabilities"] == ["net_raw"]
    assert step(made, "seccomp")["program"] != step(build(), "seccomp")["program"]


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="levitate"):
        build(cap_add=["levitate"])


def test_an_older_kernel_gets_its_layers_by_path() -> None:
    facts = HostFacts(kernel=(6, 1), release="6.1", arch="x86_64", fd_layers=False)
    assert step(build(host=facts), "overlay")["by_path"] is True
    assert step(build(), "overlay")["by_path"] is False


def test_a_box_that_goes_when_it_ends_need_not_reach_the_disk() -> None:
    assert step(build(auto_remove=True), "overlay")["volatile"] is True
    assert step(build(), "overlay")["volatile"] is False


def test_the_boxs_view_of_its_cgroup() -> None:
    assert step(build(), "cgroupfs")["folders"] == {
        "memory": "/sys/fs/cgroup/memory/boxy/0123456789ab",
        "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct/boxy/0123",
        "unified": "/sys/fs/cgroup/unified/boxy/0123456789ab",
    }
    assert step(build(UNIFIED), "cgroupfs")["folders"] == {"": UNIFIED.into}
    assert "cgroupfs" not in names(build(plan.EMPTY_CGROUP))


@pytest.mark.parametrize(
    "target",
    ["/", "//", "/proc", "/proc/sys", "/sys/fs/cgroup", "/dev", "/dev/pts/0", "/a/../proc",
     "/dev/../", ""],
)  # fmt: skip
def test_nothing_can_be_mounted_where_the_boxs_safety_rests(target: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing can be mounted"):
        build(mounts=[Mount(source="/s", target=target)])


def test_outer_mounts_come_before_inner_ones() -> None:
    made = build(mounts=[Mount(source="/1", target="/a/b/c"), Mount(source="/2", target="/a")])
    assert [s["target"] for s in made["steps"] if s["do"] == "share"] == ["/a", "/a/b/c"]


def test_an_images_parts_of_the_host_belong_to_nobody_in_the_box() -> None:
    image = Image(name="host", id="", source="", layers=["/l"],
                  mounts=[Mount(source="/usr", target="/usr", read_only=True)])  # fmt: skip
    bind = step(build(image=image, mounts=[Mount(source="/data", target="/data")]), "bind")
    assert bind == {"do": "bind", "source": "/usr", "target": "/usr", "read_only": True,
                    "recursive": True, "optional": True, "map_ids": False}  # fmt: skip


def test_the_explanation_names_the_steps_and_the_command() -> None:
    lines = plan.describe(build(tty=True, init=True))
    text = "\n".join(lines)
    for word in ("overlayfs", "pivot_root", "seccomp", "namespaces", "cgroup", "sh -c true"):
        assert word in text
    assert all("\n" not in line for line in lines)
    assert "reaps" in lines[-1]
