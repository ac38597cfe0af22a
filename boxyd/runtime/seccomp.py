"""Seccomp profiles in the OCI form, compiled to classic BPF.

Constraints: no library at run time; standard library only.  The kernel's words are in
seccomp(2) and Documentation/userspace-api/seccomp_filter.rst, the form is that of the OCI
runtime specification with Docker's `includes` and `excludes`.

Two things are stricter than in libseccomp.  Rules with arguments are tried before one without,
so a profile can refuse a special case of a call that it allows; and a number that no call of
this version of Boxy's table has is answered with ENOSYS, not EPERM, so that programs which try
newer calls fall back to older ones.  Calls of a foreign ABI (32-bit, x32) are refused whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from boxyd.runtime.seccomp_form import ProfileError, check

__all__ = ["ProfileError", "compile_profile", "ensure_program", "program_name"]

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
DEFAULT_PROFILE = DATA + "/seccomp.json"
VERSION = 1
"""part of each program's name: grows when the compiler's output changes"""

ALLOW, LOG, KILL_THREAD, KILL_PROCESS, TRAP = (
    0x7FFF0000, 0x7FFC0000, 0x00000000, 0x80000000, 0x00030000,
)  # fmt: skip
ENOSYS = 38
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_X32 = 0x40000000
MAX_INSTRUCTIONS = 4096
"""BPF_MAXINSNS"""

LD, JEQ, JGE, JGT, AND, JA, RET = 0x20, 0x15, 0x35, 0x25, 0x54, 0x05, 0x06


class Test(NamedTuple):
    """One comparison of a 64-bit argument: `argument & mask` `op` `value`."""

    argument: int
    op: str
    value: int
    mask: int


class Rule(NamedTuple):
    """All tests must hold; none: always."""

    tests: tuple[Test, ...]
    action: int


class Instruction(NamedTuple):
    """struct sock_filter; jumps count from the next instruction, as in the kernel."""

    code: int
    k: int
    jt: int = 0
    jf: int = 0


def errno_action(number: int) -> int:
    """SECCOMP_RET_ERRNO with this error."""
    return 0x00050000 | (number & 0xFFFF)


def table(arch: str) -> dict[str, int]:
    """System call numbers by name.  Raises ProfileError for an unknown architecture."""
    with open(DATA + "/syscalls.json", "rb") as file:
        tables: dict[str, dict[str, int]] = json.load(file)
    if arch not in tables:
        raise ProfileError(f"there is no table of system calls for {arch}")
    return tables[arch]


def program_name(profile: bytes, capabilities: Iterable[str], arch: str) -> str:
    """The file name of a compiled profile: a digest of all that it depends on."""
    release = ".".join(os.uname().release.split(".")[:2])
    parts = [str(VERSION), arch, release, *sorted(capabilities)]
    digest = hashlib.sha256("\0".join(parts).encode() + b"\0" + profile)
    return digest.hexdigest()[:24] + ".bpf"


# ------------------------------------------------------------------------ the profile


def compile_profile(profile: dict[str, Any], capabilities: Iterable[str], arch: str) -> bytes:
    """The BPF program for a box with these capabilities (plain names).  Raises ProfileError."""
    check(profile)
    numbers = table(arch)
    default = _action(profile, "defaultAction", profile.get("defaultErrnoRet"))
    caps = {"CAP_" + name.upper() for name in capabilities}
    rules: dict[int, list[Rule]] = {}
    for entry in _listed(profile, "syscalls"):
        if not _applies(entry, caps, arch):
            continue
        action = _action(entry, "action", entry.get("errnoRet"))
        tests = tuple(_test(argument) for argument in entry.get("args") or ())
        for name in _listed(entry, "names"):
            if name in numbers:
                rules.setdefault(numbers[name], []).append(Rule(tests, action))
    return assemble(_leaves(rules, numbers, default), arch)


def refused(
    profile: dict[str, Any], capabilities: Iterable[str], arch: str
) -> tuple[list[str], list[str]]:
    """For people: the calls that a box with these capabilities may never make, and those that it
    may make with some arguments only.  Raises ProfileError."""
    numbers = table(arch)
    passing = {ALLOW, LOG}
    default = _action(profile, "defaultAction", profile.get("defaultErrnoRet"))
    caps = {"CAP_" + name.upper() for name in capabilities}
    always, sometimes = set(numbers) if default in passing else set(), set[str]()
    for entry in _listed(profile, "syscalls"):
        if _applies(entry, caps, arch):
            names = {name for name in _listed(entry, "names") if name in numbers}
            if entry.get("args"):
                sometimes |= names
            elif _action(entry, "action", entry.get("errnoRet")) in passing:
                always |= names
            else:
                always -= names
    return sorted(set(numbers) - always - sometimes), sorted(sometimes - always)


def _listed(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key) or []
    if not isinstance(value, list):
        raise ProfileError(f'"{key}" is not a list')
    return value


def _applies(entry: dict[str, Any], caps: set[str], arch: str) -> bool:
    """Docker's conditions: everything included must be there, nothing excluded may be."""
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    here = _GO_ARCH[arch]
    if not set(includes.get("caps") or ()) <= caps or set(excludes.get("caps") or ()) & caps:
        return False
    if includes.get("arches") and here not in includes["arches"]:
        return False
    least = includes.get("minKernel")
    if least and _kernel() < tuple(int(part) for part in str(least).split(".")):
        return False
    return here not in (excludes.get("arches") or ())


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def _action(entry: dict[str, Any], key: str, number: int | None) -> int:
    name = entry.get(key)
    if name == "SCMP_ACT_ERRNO":
        return errno_action(1 if number is None else int(number))
    actions = {
        "SCMP_ACT_ALLOW": ALLOW,
        "SCMP_ACT_LOG": LOG,
        "SCMP_ACT_KILL": KILL_THREAD,
        "SCMP_ACT_KILL_THREAD": KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
        "SCMP_ACT_TRAP": TRAP,
    }
    if name not in actions:
        raise ProfileError(f'the action {name!r} in "{key}" is not one that Boxy knows')
    return actions[name]


def _test(data: dict[str, Any]) -> Test:
    op = str(data.get("op", "")).removeprefix("SCMP_CMP_")
    every = (1 << 64) - 1
    try:
        index, value = int(data["index"]), int(data["value"]) & every
        second = int(data.get("valueTwo") or 0) & every
    except (KeyError, TypeError, ValueError):
        raise ProfileError(f"the argument rule {data!r} is malformed") from None
    if not 0 <= index <= 5 or op not in {"EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"}:
        raise ProfileError(f"the argument rule {data!r} is malformed")
    if op == "MASKED_EQ":
        return Test(index, "EQ", second & value, value)
    return Test(index, op, value, every)


def _leaves(
    rules: dict[int, list[Rule]], numbers: dict[str, int], default: int
) -> list[tuple[int, tuple[Rule, ...]]]:
    """(first number, what holds from there on), in order; the last holds to the end."""
    unknown = errno_action(ENOSYS) if default & 0xFFFF0000 == 0x00050000 else default
    known = set(numbers.values())
    leaves: list[tuple[int, tuple[Rule, ...]]] = []
    for number in range(max(known) + 2):
        found = rules.get(number, [])
        special = [rule for rule in found if rule.tests]
        plain = [rule for rule in found if not rule.tests]
        last = plain[-1] if plain else Rule((), default if number in known else unknown)
        leaf = (*dict.fromkeys(special), last)
        if not leaves or leaves[-1][1] != leaf:
            leaves.append((number, leaf))
    return leaves


# ------------------------------------------------------------------------ the code


def assemble(leaves: list[tuple[int, tuple[Rule, ...]]], arch: str) -> bytes:
    """A program that finds the leaf of a call's number by halving.  Raises ProfileError."""
    refuse = errno_action(ENOSYS)
    code = [
        Instruction(LD, 4),  # seccomp_data.arch
        Instruction(JEQ, AUDIT_ARCH[arch], 1, 0),
        Instruction(RET, refuse),
        Instruction(LD, 0),  # seccomp_data.nr
    ]
    if arch == "x86_64":
        code += [Instruction(JGE, _X32, 0, 1), Instruction(RET, refuse)]
    code += _search(leaves)
    if len(code) > MAX_INSTRUCTIONS:
        raise ProfileError(f"the profile needs {len(code)} instructions, the kernel takes 4096")
    return b"".join(struct.pack("=HBBI", i.code, i.jt, i.jf, i.k) for i in code)


def _search(leaves: list[tuple[int, tuple[Rule, ...]]]) -> list[Instruction]:
    if len(leaves) == 1:
        return _leaf(leaves[0][1])
    middle = len(leaves) // 2
    low, high = _search(leaves[:middle]), _search(leaves[middle:])
    first = leaves[middle][0]
    if len(low) < 256:
        return [Instruction(JGE, first, len(low), 0), *low, *high]
    return [Instruction(JGE, first, 0, 1), Instruction(JA, len(low)), *low, *high]


def _leaf(rules: tuple[Rule, ...]) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in rules:
        code += _rule(rule)
    return code


_FAIL, _PASS = -1, -2
"""jump targets that are filled in once lengths are known: the next rule, the next test"""


def _rule(rule: Rule) -> list[Instruction]:
    """Each test falls through when it holds, and jumps behind the RET when it does not."""
    tests = [_compare(test) for test in rule.tests]
    code: list[Instruction] = []
    total = sum(len(test) for test in tests) + 1
    for test in tests:
        end = len(code) + len(test)
        for instruction in test:
            here = len(code) + 1
            targets = {_FAIL: total - here, _PASS: end - here}
            jt, jf = (targets.get(jump, jump) for jump in (instruction.jt, instruction.jf))
            if max(jt, jf) > 255:
                raise ProfileError("a rule has too many argument tests")
            code.append(instruction._replace(jt=jt, jf=jf))
    return [*code, Instruction(RET, rule.action)]


def _compare(test: Test) -> list[Instruction]:
    """Compare 64 bits by halves, the high one first (little-endian: it is the later word)."""
    at = 16 + 8 * test.argument
    high, low = test.value >> 32, test.value & 0xFFFFFFFF
    head = _load(at + 4, test.mask >> 32)
    tail = _load(at, test.mask & 0xFFFFFFFF)
    op = test.op
    if op == "EQ":
        return [*head, Instruction(JEQ, high, 0, _FAIL), *tail, Instruction(JEQ, low, 0, _FAIL)]
    if op == "NE":
        return [*head, Instruction(JEQ, high, 0, _PASS), *tail, Instruction(JEQ, low, _FAIL, 0)]
    greater = op in {"GT", "GE"}
    won, lost = (_PASS, _FAIL) if greater else (_FAIL, _PASS)
    last = Instruction(JGT if op in {"GT", "LE"} else JGE, low, 0, _FAIL)
    if not greater:
        last = Instruction(last.code, low, _FAIL, 0)
    return [
        *head,
        Instruction(JGT, high, won, 0),
        Instruction(JEQ, high, 0, lost),
        *tail,
        last,
    ]


def _load(offset: int, mask: int) -> list[Instruction]:
    load = [Instruction(LD, offset)]
    return load if mask == 0xFFFFFFFF else [*load, Instruction(AND, mask)]


# ------------------------------------------------------------------------ the cache


def ensure_program(path: str, profile: str, capabilities: Iterable[str], arch: str) -> None:
    """Compile `profile` to `path` unless that is done.  Raises ProfileError, OSError."""
    if os.path.exists(path):
        return
    try:
        with open(profile, "rb") as file:
            data = json.load(file)
    except ValueError as error:
        raise ProfileError(f"{profile} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ProfileError(f"{profile} is not a JSON object")
    code = compile_profile(data, capabilities, arch)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(code)
    os.rename(temporary, path)
