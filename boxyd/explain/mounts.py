"""Why each mount of a box is there.  Pure.

Constraint: what is listed is the kernel's own table of the box; the plan only gives the
reasons.  Mounts with one reason are told together, or the image `host` would fill pages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from boxy_core.explanation import Fact, Section
from boxyd.explain.seen import MountLine, Seen

ABOUT = (
    "The box has a mount table of its own. Its root is an overlay: read-only layers that all boxes "
    "of the image share, and one folder on top that takes what this box writes."
)
_FEW = 6
"""mounts of one reason that are told one by one"""

_REASONS = {
    "proc": "shows this box's processes only: it belongs to the box's PID namespace",
    "sysfs": "the kernel's devices and settings, read-only",
    "dev": "nothing but null, zero, full, random, urandom, tty and the usual links",
    "devpts": "the box's own pseudo-terminals",
    "mqueue": "POSIX message queues of the box's own IPC namespace",
    "console": "the terminal that the box was given",
}
_PLACES = {"proc": "/proc", "sysfs": "/sys", "dev": "/dev", "devpts": "/dev/pts",
           "mqueue": "/dev/mqueue", "console": "/dev/console"}  # fmt: skip
_HIDDEN = "hidden: it tells of the host, or reaches into the kernel"
_LOCKED = "read-only: writing there would change the whole machine"
_CGROUP = "the box's own cgroup, to look at only"
_UNKNOWN = "made by a process in the box, or by the file system below it"


def layers(seen: Seen) -> Section:
    """Where the files come from."""
    overlay = next((s for s in seen.plan.get("steps", ()) if s["do"] == "overlay"), None)
    lowers: list[str] = overlay["lowers"] if overlay else list(seen.box.layers)
    upper = overlay["upper"] if overlay else seen.folder + "/upper"
    facts = [
        Fact(
            what=f"layer {number}",
            value=path,
            note="read-only, shared by every box of the image" + (", the lowest" * (number == 1)),
            by_hand=f"ls {path}",
        )
        for number, path in enumerate(lowers, 1)
    ]
    facts.append(Fact(
        what="writable", value=upper,
        note="what this box wrote, and the places where something is mounted",
        by_hand=f"find {upper}",
    ))  # fmt: skip
    about = (
        "An image is a stack of folders. They are unpacked once, never written again, and joined "
        "by overlayfs, so that a box starts without a copy."
    )
    return Section(key="layers", title="Layers", about=about, learn="04-overlayfs", facts=facts)


def mounts(seen: Seen) -> Section:
    """The mount table with its reasons."""
    reasons = _reasons(seen.plan)
    groups: dict[str, list[MountLine]] = {}
    for line in seen.mounts:
        groups.setdefault(_reason(line, reasons), []).append(line)
    facts = [fact for reason, lines in groups.items() for fact in _facts(seen, reason, lines)]
    return Section(key="mounts", title="Mounts", about=ABOUT, learn="02-mount-namespace",
                   facts=facts)  # fmt: skip


def _facts(seen: Seen, reason: str, lines: list[MountLine]) -> Iterable[Fact]:
    table = f"/proc/{seen.pid}/mountinfo"
    if len(lines) > _FEW:
        first = lines[0]
        yield Fact(
            what=f"{len(lines)} places",
            value=", ".join(line.target for line in lines),
            note=reason,
            by_hand=f"grep -F ' {first.target} ' {table}",
        )
        return
    for line in lines:
        yield Fact(
            what=line.target,
            value=f"{line.kind} ({line.options})",
            note=reason,
            by_hand=f"grep -F ' {line.target} ' {table}",
        )


def _reasons(plan: dict[str, Any]) -> dict[str, str]:
    """The reason for each target that the plan speaks of."""
    found = {"/": "the layers below, the writable folder on top"}
    for step in plan.get("steps", ()):
        do = step["do"]
        if do in _PLACES:
            found[_PLACES[do]] = _REASONS[do]
        elif do == "tmpfs":
            size = f"{step['size'] >> 20} MiB of " if step["size"] else ""
            found[step["target"]] = f"{size}memory, gone with the box"
        elif do == "file":
            found[step["target"]] = "written by Boxy for this box"
        elif do == "bind":
            found[_clean(step["target"])] = _bind(step)
        elif do == "mask":
            found.update(dict.fromkeys(step["paths"], _HIDDEN))
        elif do == "readonly":
            found.update(dict.fromkeys(step["paths"], _LOCKED))
    return found


def _bind(step: dict[str, Any]) -> str:
    if step.get("optional"):
        return "this machine's own files, read-only: a part of the image"
    return f"asked for: the host's {step['source']}"


def _clean(target: str) -> str:
    return os.path.normpath("/" + target.lstrip("/"))


def _reason(line: MountLine, reasons: dict[str, str]) -> str:
    if line.target in reasons:
        return reasons[line.target]
    if line.target == "/sys/fs/cgroup" or line.target.startswith("/sys/fs/cgroup/"):
        return _CGROUP
    inside = next((top for top in reasons if line.target.startswith(top + "/")), "")
    if inside and inside != "/":
        return f"comes with {inside}"
    return _UNKNOWN
