"""What was seen of a box becomes sections of true facts, each with its command."""

from __future__ import annotations

from dataclasses import replace as replace_seen
from typing import Any

import pytest
from msgspec.structs import replace

from boxy_core import glass
from boxy_core.flags.shared import LIMITS
from boxy_core.models import Box, BoxSpec, Limits, Status
from boxy_core.models_network import Endpoint, Network, Published
from boxyd.cgroup.interface import CgroupFile
from boxyd.cgroup.limits import WHAT
from boxyd.explain import explain
from boxyd.explain.sections import FLAGS
from boxyd.explain.seen import Proc, Seen, Value, mount_line
from boxyd.runtime import capabilities, seccomp
from tests.support.images import REPOSITORY

BOX = Box(
    id="ab" * 32, name="web", image="alpine", status=Status.RUNNING, pid=70, shim_pid=69,
    spec=BoxSpec(image="alpine", limits=Limits(memory=64 << 20)), layers=["/layers/a"],
)  # fmt: skip
PLAN: dict[str, Any] = {
    "steps": [
        {"do": "overlay", "lowers": ["/layers/a", "/layers/b"], "upper": "/boxes/x/upper"},
        {"do": "proc"},
        {"do": "bind", "source": "/srv", "target": "/data/", "optional": False},
        {"do": "mask", "paths": [f"/proc/secret{n}" for n in range(9)]},
    ]
}
MOUNTS = [
    "100 90 0:87 / / rw,relatime - overlay boxy rw",
    "101 100 0:91 / /proc rw,nosuid - proc proc rw",
    r"102 100 254:0 /srv/my\040files /data ro shared:7 master:2 - ext4 /dev/vda rw",
    *(f"{110 + n} 101 0:89 /null /proc/secret{n} rw - tmpfs tmpfs rw" for n in range(9)),
    "130 100 0:99 / /mnt/own rw - tmpfs tmpfs rw",
]


def seen(**more: Any) -> Seen:
    values: dict[str, Any] = {
        "box": BOX, "folder": "/boxes/x", "pid": 70, "plan": PLAN,
        "namespaces": {"net": ("net:[2]", "net:[1]"), "time": ("time:[3]", "time:[3]")},
        "uid_map": ["         0 1073741824      65536"],
        "mounts": [mount_line(text) for text in MOUNTS],
        "status": {"CapEff": "0000000000000401", "NoNewPrivs": "1", "Seccomp": "2"},
        "refused": (["mount", "reboot"], ["clone"]),
    }  # fmt: skip
    return Seen(**{**values, **more})


def facts(given: Seen, key: str) -> dict[str, tuple[str, str, str]]:
    section = next(section for section in explain(given).sections if section.key == key)
    return {fact.what: (fact.value, fact.note, fact.by_hand) for fact in section.facts}


def test_a_shared_namespace_is_told_apart_from_an_own_one() -> None:
    found = facts(seen(), "namespaces")
    assert found["net"][0] == "net:[2], its own; the host's is net:[1]"
    assert found["time"][0] == "time:[3], THE HOST'S"
    assert found["net"][2] == "readlink /proc/70/ns/net"


def test_an_id_map_is_read_out() -> None:
    value, note, _ = facts(seen(), "users")["user map"]
    assert value == "0 1073741824 65536"
    assert note.startswith("0 in the box is 1073741824 on the host")
    whole = facts(seen(uid_map=["0 0 4294967295"]), "users")["user map"]
    assert "root in the box is root outside" in whole[1]


def test_every_mount_has_its_reason_and_many_of_one_reason_are_one_fact() -> None:
    found = facts(seen(), "mounts")
    assert found["/data"][:2] == ("ext4 (ro)", "asked for: the host's /srv")
    assert found["9 places"][0].startswith("/proc/secret0, /proc/secret1")
    assert found["9 places"][1].startswith("hidden")
    assert found["/mnt/own"][1].startswith("made by a process in the box")
    assert found["/"][1].startswith("the layers below")


def test_blanks_in_mount_points_are_read_as_the_kernel_writes_them() -> None:
    line = mount_line(MOUNTS[2])
    assert (line.root, line.target, line.kind, line.source) == (
        "/srv/my files", "/data", "ext4", "/dev/vda",
    )  # fmt: skip


def test_layers_come_from_the_plan_of_this_run() -> None:
    found = facts(seen(), "layers")
    assert [found[name][0] for name in ("layer 1", "layer 2", "writable")] == [
        "/layers/a", "/layers/b", "/boxes/x/upper",
    ]  # fmt: skip


def test_capabilities_and_refused_calls_bear_their_names() -> None:
    found = facts(seen(), "powers")
    assert found["CapEff"][0] == "chown, net_bind_service"
    assert found["refused"][0] == "mount, reboot"
    assert found["in part"][0] == "clone"
    everything = (1 << len(capabilities.NAMES)) - 1
    powers = facts(seen(status={"CapEff": f"{everything:016x}", "Seccomp": "0"}), "powers")
    assert powers["CapEff"][0] == "all"
    assert "refused" not in powers


def test_a_limit_names_the_flag_that_set_it() -> None:
    values = [
        Value(CgroupFile("/cg/memory.max", "memory"), "67108864"),
        Value(CgroupFile("/cg/memory.swap.max", "memory_swap"), "0"),
        Value(CgroupFile("/cg/cpu.weight", "cpu_shares"), "100"),
        Value(CgroupFile("/cg/cpu.stat", ""), "a 1\nb 2\nc 3\nd 4\ne 5"),
    ]
    found = facts(seen(cgroup=values), "cgroup")
    assert found["memory.max"][1:] == ("set by --memory 67108864", "cat /cg/memory.max")
    assert found["memory.swap.max"][1] == "follows --memory; --memory-swap sets it"
    assert found["cpu.weight"][1] == "as usual; --cpu-shares sets it"
    assert found["cpu.stat"][0] == "a 1, b 2, c 3, d 4 ..."


def test_processes_are_a_tree_with_both_numbers() -> None:
    processes = [
        Proc(70, 69, 1, "sh"), Proc(80, 70, 7, "sleep 9"), Proc(81, 80, 8, "x"),
        Proc(90, 69, 12, "from exec"),
    ]  # fmt: skip
    found = facts(seen(processes=processes), "processes")
    assert list(found) == ["1", "  7", "    8", "12"]
    assert found["  7"][:2] == ("sleep 9", "80 on the host")


def test_a_box_that_does_not_run_tells_what_needs_no_process() -> None:
    given = Seen(BOX, "/boxes/x")
    assert [section.key for section in explain(given).sections] == ["box", "layers"]
    assert "does not run" in explain(given).sections[0].about


def test_the_way_of_a_packet_is_told_hop_by_hop_as_far_as_it_exists() -> None:
    end = Endpoint(network="lan", address="10.77.0.2/24", interface="eth0", host_interface="bv1")
    port = Published(box=80, host=8080, address="127.0.0.1", to="10.77.0.2")
    spec = BoxSpec(image="alpine", network="lan")
    box = replace(BOX, spec=spec, networks=[end], ports=[port])
    lan = Network(id="0" * 12, name="lan", gateway="10.77.0.1", table="boxy_x", dns="10.77.0.1:53")
    given = seen(box=box, interfaces=["lo", "eth0"], networks=[lan], masters={"bv1": "boxy-1"},
                 way_out="wan0")  # fmt: skip
    hops = facts(given, "network")
    assert list(hops) == [
        "interfaces", "eth0", "  ↓ bv1", "  ↓ boxy-1", "  ↓ nftables", "  ↓ wan0", "published",
    ]  # fmt: skip
    assert hops["published"][0] == "127.0.0.1:8080 → 10.77.0.2:80/tcp"
    cut = facts(replace_seen(given, masters={}), "network")
    assert list(cut) == ["interfaces", "eth0", "published"]
    inner = facts(replace_seen(given, networks=[replace(lan, internal=True)]), "network")
    assert "  ✕ outside" in inner
    assert "  ↓ wan0" not in inner


def test_every_section_leads_to_a_page_of_the_tutorial() -> None:
    for section in explain(seen()).sections:
        assert (REPOSITORY / glass.TUTORIAL / f"{section.learn}.md").is_file(), section.key


def test_every_limit_has_a_flag_that_the_command_line_knows() -> None:
    assert set(FLAGS) == set(WHAT)
    of_files = {"disk", "storage_opt"}  # kept by the file system, not by a cgroup
    for option in LIMITS:
        assert (
            option.key in of_files or not option.parse or set(option.flags) & set(FLAGS.values())
        ), option.flags


def test_refused_calls_follow_profile_and_capabilities() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "no_such_call"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW",
             "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
        ],
    }  # fmt: skip
    refused, in_part = seccomp.refused(profile, [], "x86_64")
    assert "read" not in refused
    assert {"mount", "write"} <= set(refused)
    assert in_part == ["clone"]
    assert "mount" not in seccomp.refused(profile, ["sys_admin"], "x86_64")[0]


def test_what_is_allowed_by_default_is_refused_by_name_only() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}],
    }
    assert seccomp.refused(profile, [], "x86_64") == (["reboot"], [])


@pytest.mark.parametrize("text", ["1 2 3 / / rw - overlay", "1 2 3 / / rw a b c - k s o extra"])
def test_a_mount_line_with_more_or_fewer_fields_is_read(text: str) -> None:
    assert mount_line(text).target == "/"
