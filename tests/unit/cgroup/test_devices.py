"""Device rules: their notation, and the BPF program made of them, run by a small interpreter."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import InvalidRequest, NotFound
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.cgroup.devices_bpf import assemble

ACCESS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}


def run(program: bytes, kind: str, access: str, major: int, minor: int) -> int:
    """Execute the few instructions that the program may use; linux/bpf.h has their meaning."""
    asked = sum(ACCESS[letter] for letter in access)
    context = [TYPES[kind] | asked << 16, major, minor]
    registers = [0] * 11
    at = 0
    while True:
        code, nibbles, jump, number = struct.unpack_from("=BBhi", program, at * 8)
        target, source = nibbles & 15, nibbles >> 4
        at += 1
        if code == 0x61:
            assert source == 1, "the context is in register 1"
            registers[target] = context[jump // 4]
        elif code == 0xBF:
            registers[target] = registers[source]
        elif code == 0xB7:
            registers[target] = number
        elif code == 0x54:
            registers[target] &= number & 0xFFFFFFFF
        elif code == 0x74:
            registers[target] = (registers[target] & 0xFFFFFFFF) >> number
        elif code == 0x55:
            at += jump if registers[target] != number else 0
        elif code == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"instruction {code:#x}")


def allowed(rules: list[DeviceRule], kind: str, access: str, major: int, minor: int) -> bool:
    """What the rules mean, in plain Python."""
    return any(
        rule.kind in ("a", kind)
        and set(access) <= set(rule.access)
        and rule.major in (None, major)
        and rule.minor in (None, minor)
        for rule in rules
    )


numbers = st.one_of(st.none(), st.integers(0, 3))
rules = st.builds(
    DeviceRule,
    st.sampled_from("abc"),
    numbers,
    numbers,
    st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
)


@given(st.lists(rules, max_size=6))
def test_the_program_allows_what_the_rules_allow(made: list[DeviceRule]) -> None:
    program = assemble(made)
    for kind, access in itertools.product("bc", ["r", "w", "m", "rw", "rwm"]):
        for major, minor in itertools.product(range(4), range(4)):
            meant = allowed(made, kind, access, major, minor)
            assert bool(run(program, kind, access, major, minor)) == meant


def test_boxes_may_use_null_but_not_memory_or_disks() -> None:
    program = assemble(DEFAULT_DEVICES)
    assert run(program, "c", "rw", 1, 3)
    assert run(program, "c", "rw", 136, 77)
    assert run(program, "b", "m", 8, 0)
    assert not run(program, "b", "r", 8, 0)
    assert not run(program, "c", "r", 1, 1)
    assert not run(program, "c", "w", 10, 232)


def test_no_rule_allows_nothing() -> None:
    assert not run(assemble([]), "c", "r", 1, 3)


@pytest.mark.parametrize("text", ["c 1:3 rwm", "b *:* m", "c 136:* rw", "a *:* rwm"])
def test_a_rule_is_printed_as_it_was_read(text: str) -> None:
    assert str(DeviceRule.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "c 1:3", "x 1:3 rwm", "c 1:3 rwx", "c -1:3 r", "c 1:3 rwm\nq"]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="device rule"):
        DeviceRule.parse(text)


def test_a_rule_is_made_of_a_node() -> None:
    assert str(DeviceRule.of_node("/dev/null", "rw")) == "c 1:3 rw"
    with pytest.raises(NotFound, match="/dev/nowhere"):
        DeviceRule.of_node("/dev/nowhere")
    with pytest.raises(InvalidRequest, match="not a device"):
        DeviceRule.of_node("/etc/passwd")
