"""The OCI form of a seccomp profile, checked before it is compiled.  Pure.

Constraint: a profile of a user's own is hostile or mistaken.  What is wrong is refused with its
place (`syscalls[3].args[0].op`); nothing is guessed and nothing dropped, because half a filter
looks like a whole one.  The form: runtime-spec, config-linux.md, "Seccomp", with Docker's
`includes` and `excludes`.
"""

from __future__ import annotations

from typing import Any

MAX_ERRNO = 4095
OPS = frozenset({"EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"})
ACTIONS = frozenset({
    "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP",
})  # fmt: skip
_ROOT = frozenset({
    "defaultAction", "defaultErrnoRet", "architectures", "archMap", "syscalls", "flags", "comment",
    "listenerPath", "listenerMetadata",
})  # fmt: skip
_ENTRY = frozenset({
    "names", "name", "action", "errnoRet", "args", "includes", "excludes", "comment",
})  # fmt: skip
_CONDITION = frozenset({"caps", "arches", "minKernel"})


class ProfileError(Exception):
    """The profile is malformed; the text says where."""


def check(profile: object) -> None:
    """Raises ProfileError unless the profile has the form."""
    root = _object(profile, "the profile")
    _known(root, _ROOT, "")
    _action(root, "defaultAction", "")
    _number(root, "defaultErrnoRet", "", MAX_ERRNO)
    for at, entry in enumerate(_list(root, "syscalls", "")):
        _check_entry(entry, f"syscalls[{at}]")


def _check_entry(data: object, place: str) -> None:
    entry = _object(data, place)
    _known(entry, _ENTRY, place)
    _action(entry, "action", place)
    _number(entry, "errnoRet", place, MAX_ERRNO)
    names = _list(entry, "names", place)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ProfileError(f"{place}.names is not a list of system calls")
    for at, argument in enumerate(_list(entry, "args", place)):
        _check_argument(argument, f"{place}.args[{at}]")
    for key in ("includes", "excludes"):
        if entry.get(key) is not None:
            _check_condition(entry[key], f"{place}.{key}")


def _check_argument(data: object, place: str) -> None:
    argument = _object(data, place)
    _known(argument, frozenset({"index", "value", "valueTwo", "op"}), place)
    for key, largest in (("index", 5), ("value", (1 << 64) - 1), ("valueTwo", (1 << 64) - 1)):
        _number(argument, key, place, largest, needed=key != "valueTwo")
    op = argument.get("op")
    if not isinstance(op, str) or op.removeprefix("SCMP_CMP_") not in OPS:
        raise ProfileError(f"{place}.op is {_shown(op)}, which is no comparison")


def _check_condition(data: object, place: str) -> None:
    condition = _object(data, place)
    _known(condition, _CONDITION, place)
    for key in ("caps", "arches"):
        if not all(isinstance(word, str) for word in _list(condition, key, place)):
            raise ProfileError(f"{place}.{key} is not a list of names")
    least = condition.get("minKernel")
    if least is None:
        return
    parts = least.split(".") if isinstance(least, str) else []
    if len(parts) != 2 or not all(p.isascii() and p.isdecimal() and len(p) < 6 for p in parts):
        raise ProfileError(f"{place}.minKernel is {_shown(least)}, not as in 5.10")


def _object(data: object, place: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ProfileError(f"{place} is {_shown(data)}, not an object")
    return data


def _known(data: dict[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(set(data) - known)
    if unknown:
        where = f"{place} has" if place else "there is"
        raise ProfileError(f"{where} a field {_shown(unknown[0])}, which the form does not know")


def _list(data: dict[str, Any], key: str, place: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ProfileError(f"{_path(place, key)} is {_shown(value)}, not a list")
    return value


def _action(data: dict[str, Any], key: str, place: str) -> None:
    value = data.get(key)
    if not isinstance(value, str) or value not in ACTIONS:
        raise ProfileError(f"{_path(place, key)} is {_shown(value)}, no action that Boxy knows")


def _number(
    data: dict[str, Any], key: str, place: str, largest: int, *, needed: bool = False
) -> None:
    value = data.get(key)
    if value is None and not needed:
        return
    if type(value) is not int or not 0 <= value <= largest:
        raise ProfileError(f"{_path(place, key)} is {_shown(value)}, not 0 to {largest}")


def _path(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."
