"""The device allow-list on cgroup v2: a BPF program, assembled here, asked by the kernel at each
open(2) and mknod(2) of a device.

Constraint: no compiler and no library.  The program sees struct bpf_cgroup_dev_ctx of
linux/bpf.h: access_type (low half: 1 block, 2 character; high half: 1 mknod, 2 read, 4 write),
major, minor; it returns 1 to allow.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from boxyd.cgroup.devices import DeviceRule
from boxyd.runtime import cgroup_calls

_LOAD_WORD = 0x61
_MOVE, _MOVE_NUMBER = 0xBF, 0xB7
_AND, _SHIFT_RIGHT = 0x54, 0x74  # 32 bits wide
_JUMP_IF_NOT, _EXIT = 0x55, 0x95
_RESULT, _CONTEXT, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)
_TYPES = {"b": 1, "c": 2}
_ACCESSES = {"m": 1, "r": 2, "w": 4}
_EVERYTHING = 7


def _instruction(
    code: int, target: int = 0, source: int = 0, jump: int = 0, number: int = 0
) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, jump, number)


def assemble(rules: Sequence[DeviceRule]) -> bytes:
    """The program that allows what `rules` allow and refuses all else.  Pure."""
    parts = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),
        _instruction(_MOVE, _ACCESS, _TYPE),
        _instruction(_AND, _TYPE, number=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ACCESS, number=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    parts += [_rule(rule) for rule in rules]
    return b"".join((*parts, _verdict(0)))


def _rule(rule: DeviceRule) -> bytes:
    """A block that allows on a match and else falls through to the next block."""
    conditions: list[tuple[bytes, int, int]] = []  # what to do first, a register, its value
    if rule.kind != "a":
        conditions.append((b"", _TYPE, _TYPES[rule.kind]))
    allowed = sum(_ACCESSES[letter] for letter in set(rule.access))
    if allowed != _EVERYTHING:
        beyond = _instruction(_MOVE, _RESULT, _ACCESS)
        beyond += _instruction(_AND, _RESULT, number=~allowed & 0xFFFF)
        conditions.append((beyond, _RESULT, 0))
    for register, number in ((_MAJOR, rule.major), (_MINOR, rule.minor)):
        if number is not None:
            conditions.append((b"", register, number))
    block = _verdict(1)
    for first, register, number in reversed(conditions):
        over = len(block) // 8
        block = first + _instruction(_JUMP_IF_NOT, register, jump=over, number=number) + block
    return block


def _verdict(value: int) -> bytes:
    return _instruction(_MOVE_NUMBER, _RESULT, number=value) + _instruction(_EXIT)


class DevicePrograms:
    """Loaded programs, one for each distinct set of rules, shared by the boxes that use it."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[DeviceRule, ...], int] = {}

    def attach(self, path: str, rules: Sequence[DeviceRule]) -> None:
        """Put the rules in force for the v2 cgroup at `path`; they go with it.

        Raises OSError where the kernel has no BPF for cgroups, or the right to it is missing.
        """
        key = tuple(rules)
        if key not in self._loaded:
            self._loaded[key] = cgroup_calls.bpf_load_device_program(assemble(key))
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            cgroup_calls.bpf_attach_device_program(directory, self._loaded[key])
        finally:
            os.close(directory)

    def close(self) -> None:
        """Drop the programs; what is attached stays in force."""
        for descriptor in self._loaded.values():
            os.close(descriptor)
        self._loaded.clear()
