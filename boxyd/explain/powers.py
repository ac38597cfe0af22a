"""What the box's processes may do: users, capabilities, system calls, limits.  Pure."""

from __future__ import annotations

from typing import Any

from boxy_core.explanation import Fact, Section
from boxyd.explain.seen import Seen
from boxyd.runtime import capabilities

_SETS = {
    "CapEff": "effective: what counts when the kernel asks",
    "CapPrm": "permitted: what it may make effective",
    "CapBnd": "bounding: what no program can ever gain beyond",
}
_FILTERS = {"0": "none", "1": "strict", "2": "a filter"}
_SHOWN_LIMITS = {
    "Max open files": "--ulimit nofile",
    "Max core file size": "--ulimit core: 0 leaves no core dumps on the host",
    "Max processes": "--ulimit nproc",
}


def users(seen: Seen) -> Section:
    """The id map of the user namespace."""
    pid = seen.pid
    facts = [
        _map(f"{kind} map", lines, f"cat /proc/{pid}/{file}")
        for kind, lines, file in (
            ("user", seen.uid_map, "uid_map"), ("group", seen.gid_map, "gid_map"),
        )
        if lines
    ]  # fmt: skip
    about = (
        "Root in the box is user 0 inside and somebody without any right outside. Each line of the "
        "map reads: the first id inside, the first id outside, how many."
    )
    return Section(key="users", title="Users", about=about, learn="07-user-namespace", facts=facts)


def _map(what: str, lines: list[str], by_hand: str) -> Fact:
    inside, outside, count = (int(word) for word in lines[0].split())
    text = "; ".join(" ".join(line.split()) for line in lines)
    if inside == outside == 0 and count > 1 << 31:
        note = "no map: root in the box is root outside (--userns host)"
    else:
        note = f"{inside} in the box is {outside} on the host, and so on for {count} ids"
    return Fact(what=what, value=text, note=note, by_hand=by_hand)


def powers(seen: Seen) -> Section:
    """Capabilities, no_new_privs, seccomp."""
    status, pid = seen.status, seen.pid
    by_hand = f"grep Cap /proc/{pid}/status"
    facts = [
        Fact(what=name, value=_names(int(status[name], 16)), note=note, by_hand=by_hand)
        for name, note in _SETS.items()
        if name in status
    ]
    if "NoNewPrivs" in status:
        on = status["NoNewPrivs"] == "1"
        note = "no program gains powers by being started, set-uid or not" if on else "off"
        facts.append(Fact(what="NoNewPrivs", value=status["NoNewPrivs"], note=note,
                          by_hand=f"grep NoNewPrivs /proc/{pid}/status"))  # fmt: skip
    if "Seccomp" in status:
        facts += _filter(seen, status["Seccomp"])
    about = (
        "Root's power is cut into capabilities, of which the box keeps the few that ordinary "
        "programs need. A filter in the kernel refuses system calls that none of them needs."
    )
    return Section(key="powers", title="Powers", about=about, learn="09-lock-down", facts=facts)


def _names(bits: int) -> str:
    names = [name for number, name in enumerate(capabilities.NAMES) if bits >> number & 1]
    if len(names) == len(capabilities.NAMES):
        return "all"
    return ", ".join(names) or "none"


def _filter(seen: Seen, mode: str) -> list[Fact]:
    by_hand = f"grep Seccomp /proc/{seen.pid}/status"
    value = f"{mode} ({_FILTERS.get(mode, '?')})"
    facts = [Fact(what="Seccomp", value=value, note="the mode of seccomp(2)", by_hand=by_hand)]
    refused, conditional = seen.refused
    if mode == "2" and refused:
        step = _step(seen.plan, "seccomp")
        profile = step["profile"].rsplit("/", 1)[-1] if step else "?"
        facts.append(Fact(
            what="refused", value=", ".join(refused),
            note=f"{len(refused)} system calls, by the profile {profile} and these capabilities",
        ))  # fmt: skip
        if conditional:
            facts.append(Fact(what="in part", value=", ".join(conditional),
                              note="refused with certain arguments only"))  # fmt: skip
    return facts


def _step(plan: dict[str, Any], do: str) -> dict[str, Any] | None:
    return next((step for step in plan.get("steps", ()) if step["do"] == do), None)


def rlimits(seen: Seen) -> list[Fact]:
    """The limits of each process that a user may ask about."""
    return [
        Fact(what=name, value=f"{soft} (hard: {hard})", note=_SHOWN_LIMITS[name],
             by_hand=f"grep '{name}' /proc/{seen.pid}/limits")
        for name, (soft, hard) in seen.limits.items()
        if name in _SHOWN_LIMITS
    ]  # fmt: skip
