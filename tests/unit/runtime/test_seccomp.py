"""The profile compiler, judged by an interpreter of what it makes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyd.runtime import capabilities, seccomp

_spec = importlib.util.spec_from_file_location("bpf", Path(__file__).with_name("bpf.py"))
assert _spec
assert _spec.loader
bpf = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bpf)

ARCHES = sorted(seccomp.AUDIT_ARCH)
EPERM, ENOSYS = seccomp.errno_action(1), seccomp.errno_action(38)
with open(seccomp.DEFAULT_PROFILE, "rb") as _file:
    PROFILE: dict[str, Any] = json.load(_file)


def compiled(arch: str = "x86_64", caps: tuple[str, ...] = capabilities.DEFAULT) -> bytes:
    return seccomp.compile_profile(PROFILE, caps, arch)


def verdict(program: bytes, name: str, *arguments: int, arch: str = "x86_64") -> int:
    number = seccomp.table(arch)[name]
    found: int = bpf.run(program, number, seccomp.AUDIT_ARCH[arch], arguments)
    return found


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", ["read", "openat", "execve", "futex", "clone", "ioctl", "socket"])
def test_programs_can_run(arch: str, name: str) -> None:
    assert verdict(compiled(arch), name, arch=arch) == seccomp.ALLOW


DENIED = (
    "mount", "umount2", "pivot_root", "unshare", "setns", "bpf", "keyctl", "add_key",
    "request_key", "io_uring_setup", "io_uring_enter", "init_module", "finit_module",
    "kexec_load", "open_by_handle_at", "perf_event_open", "reboot", "swapon", "syslog",
    "userfaultfd", "settimeofday", "fsopen", "move_mount", "open_tree", "mount_setattr", "acct",
)  # fmt: skip


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", DENIED)
def test_what_no_box_needs_is_not_permitted(arch: str, name: str) -> None:
    assert verdict(compiled(arch), name, arch=arch) == EPERM


@pytest.mark.parametrize("arch", ARCHES)
def test_every_number_that_no_call_has_is_unknown(arch: str) -> None:
    program, known = compiled(arch), set(seccomp.table(arch).values())
    for number in {*range(max(known) + 50), 5000, 0x3FFFFFFF, 0xFFFFFFFF} - known:
        assert bpf.run(program, number, seccomp.AUDIT_ARCH[arch]) == ENOSYS, number


@pytest.mark.parametrize("arch", ARCHES)
def test_every_known_call_is_allowed_or_not_permitted(arch: str) -> None:
    program = compiled(arch)
    for name in seccomp.table(arch):
        answer = verdict(program, name, arch=arch)
        assert answer in {seccomp.ALLOW, EPERM} or (name, answer) == ("clone3", ENOSYS), name


@pytest.mark.parametrize("foreign", [0x40000003, 0xC00000B7, 0x40000028])
def test_calls_of_another_architecture_are_refused(foreign: int) -> None:
    assert bpf.run(compiled(), 0, foreign) == ENOSYS


def test_the_x32_abi_is_refused() -> None:
    for number in (0, 59, 520):
        assert bpf.run(compiled(), 0x40000000 | number, seccomp.AUDIT_ARCH["x86_64"]) == ENOSYS


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
def test_bits_that_the_kernel_does_not_look_at_hide_nothing(high: int) -> None:
    program = compiled()
    assert verdict(program, "ioctl", 0, high | 0x5412) == EPERM  # TIOCSTI
    assert verdict(program, "ioctl", 0, high | 0x541C) == EPERM  # TIOCLINUX
    assert verdict(program, "ioctl", 0, high | 0x5413) == seccomp.ALLOW
    assert verdict(program, "socket", high | 40) == EPERM  # AF_VSOCK
    assert verdict(program, "socket", high | 38) == EPERM  # AF_ALG
    assert verdict(program, "socket", high | 2) == seccomp.ALLOW


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000,
                                  0x20000000, 0x40000000])  # fmt: skip
def test_clone_makes_no_namespace(flag: int) -> None:
    assert verdict(compiled(), "clone", flag | 17) == EPERM
    assert verdict(compiled(), "clone", 0x3D0F00) == seccomp.ALLOW  # what pthread_create asks


def test_only_harmless_personalities() -> None:
    program = compiled()
    for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF):
        assert verdict(program, "personality", value) == seccomp.ALLOW
    assert verdict(program, "personality", 0x40000) == EPERM  # ADDR_NO_RANDOMIZE


@pytest.mark.parametrize(
    ("capability", "call"),
    [("sys_admin", "mount"), ("sys_admin", "clone3"), ("sys_admin", "unshare"),
     ("sys_time", "settimeofday"), ("sys_module", "init_module"), ("syslog", "syslog"),
     ("sys_boot", "reboot"), ("dac_read_search", "open_by_handle_at"), ("bpf", "bpf")],
)  # fmt: skip
def test_a_capability_opens_the_calls_that_it_is_for(capability: str, call: str) -> None:
    program = compiled(caps=(*capabilities.DEFAULT, capability))
    assert verdict(program, call) == seccomp.ALLOW
    assert verdict(compiled(), call) in {EPERM, ENOSYS}


def test_without_sys_chroot_there_is_no_chroot() -> None:
    assert verdict(compiled(caps=()), "chroot") == EPERM
    assert verdict(compiled(), "chroot") == seccomp.ALLOW


U64 = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 8).map(lambda n: n << 32),
    st.integers(-3, 3).map(lambda n: (1 << 32) + n),
    st.integers(0, 5),
)
OPERATIONS = {
    "EQ": lambda a, v: a == v,
    "NE": lambda a, v: a != v,
    "LT": lambda a, v: a < v,
    "LE": lambda a, v: a <= v,
    "GT": lambda a, v: a > v,
    "GE": lambda a, v: a >= v,
}


@given(st.sampled_from(sorted(OPERATIONS)), U64, U64, st.integers(0, 5))
def test_arguments_are_compared_with_all_their_bits(
    op: str, argument: int, value: int, index: int
) -> None:
    program = one_rule([{"index": index, "op": f"SCMP_CMP_{op}", "value": value}])
    arguments = [0] * 6
    arguments[index] = argument
    expected = seccomp.ALLOW if OPERATIONS[op](argument, value) else EPERM
    assert verdict(program, "read", *arguments) == expected


@given(U64, U64, U64)
def test_a_mask_is_applied_before_the_comparison(argument: int, mask: int, value: int) -> None:
    rule = {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value}
    expected = seccomp.ALLOW if argument & mask == value & mask else EPERM
    assert verdict(one_rule([rule]), "read", argument) == expected


@given(U64, U64, U64, U64)
def test_all_tests_of_a_rule_must_hold(a: int, b: int, x: int, y: int) -> None:
    rules = [
        {"index": 0, "op": "SCMP_CMP_GE", "value": x},
        {"index": 1, "op": "SCMP_CMP_LT", "value": y},
    ]
    expected = seccomp.ALLOW if a >= x and b < y else EPERM
    assert verdict(one_rule(rules), "read", a, b) == expected


def one_rule(arguments: list[dict[str, Any]]) -> bytes:
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": arguments}
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}
    return seccomp.compile_profile(profile, (), "x86_64")


def test_special_cases_go_before_the_general_rule_wherever_they_stand() -> None:
    special = {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
               "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 7}]}  # fmt: skip
    general = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    for rules in ([special, general], [general, special]):
        profile = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules}
        program = seccomp.compile_profile(profile, (), "x86_64")
        assert verdict(program, "read", 7) == seccomp.errno_action(5)
        assert verdict(program, "read", 8) == seccomp.ALLOW
        assert verdict(program, "write") == seccomp.KILL_PROCESS


def test_a_profile_that_allows_by_default_stays_so() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    }
    program = seccomp.compile_profile(profile, (), "x86_64")
    assert verdict(program, "mkdir") == seccomp.errno_action(13)
    assert verdict(program, "read") == seccomp.ALLOW
    assert bpf.run(program, 9999, seccomp.AUDIT_ARCH["x86_64"]) == seccomp.ALLOW


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {"names": []}},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "no"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6}]}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG",
             "args": [{"index": 1, "op": "SCMP_CMP_XX", "value": 1}]}]},
    ],
)  # fmt: skip
def test_a_malformed_profile_is_refused(profile: dict[str, Any]) -> None:
    with pytest.raises(seccomp.ProfileError):
        seccomp.compile_profile(profile, (), "x86_64")


def test_an_unknown_machine_is_refused() -> None:
    with pytest.raises(seccomp.ProfileError, match="vax"):
        seccomp.table("vax")


def test_the_cached_program_depends_on_all_that_it_was_made_from() -> None:
    names = {
        seccomp.program_name(b"{}", ["chown"], "x86_64"),
        seccomp.program_name(b"{ }", ["chown"], "x86_64"),
        seccomp.program_name(b"{}", ["chown", "kill"], "x86_64"),
        seccomp.program_name(b"{}", ["chown"], "aarch64"),
    }
    assert len(names) == 4
    assert seccomp.program_name(b"", ["a", "b"], "x") == seccomp.program_name(b"", ["b", "a"], "x")


def test_a_program_is_compiled_once(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "p.bpf"
    seccomp.ensure_program(str(path), seccomp.DEFAULT_PROFILE, capabilities.DEFAULT, "x86_64")
    assert path.read_bytes() == compiled()
    path.write_bytes(b"mark")
    seccomp.ensure_program(str(path), seccomp.DEFAULT_PROFILE, capabilities.DEFAULT, "x86_64")
    assert path.read_bytes() == b"mark"
    assert [p.name for p in path.parent.iterdir()] == ["p.bpf"]


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_profile_file_that_is_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text, encoding="latin-1")
    with pytest.raises(seccomp.ProfileError, match=r"p\.json"):
        seccomp.ensure_program(str(tmp_path / "p.bpf"), str(tmp_path / "p.json"), (), "x86_64")
    assert not (tmp_path / "p.bpf").exists()


def test_names_in_the_profile_exist_somewhere() -> None:
    known = {name for arch in ARCHES for name in seccomp.table(arch)}
    named = {name for rule in PROFILE["syscalls"] for name in rule["names"]}
    assert named <= known
