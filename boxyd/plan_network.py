"""What a box's network means for its plan.  Pure.

Constraint: a /sys shows the network namespace that it was mounted in, and only that namespace's
owner may mount it: so a box in the host's network sees a copy of the host's, and one in another
box's network sees what its shim mounted there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from boxy_core.models import BoxSpec
from boxyd.ports import Setting
from boxyd.runtime import steps

SHARED = "box:"


def owns_network(spec: BoxSpec) -> bool:
    """Whether the box has a network namespace of its own."""
    return spec.network != "host" and not spec.network.startswith(SHARED)


def sysfs(spec: BoxSpec) -> steps.Step:
    """The box's /sys."""
    if spec.network.startswith(SHARED):
        return steps.JoinedSysfs()
    return steps.Sysfs(shared=spec.network == "host", read_only=not spec.privileged)


def file(name: str, folder: str, text: str, setting: Setting) -> steps.Step:
    """/etc/hosts or /etc/resolv.conf: a text, the host's own, or those of the box joined."""
    target = "/etc/" + name
    if text:
        return steps.File(source=folder + name, target=target, text=text)
    source = f"{setting.joins}{target}" if setting.joins else target
    return steps.Bind(source=source, target=target, read_only=True, optional=True, map_ids=False)


def wait(setting: Setting) -> list[steps.Step]:
    """The wait for the daemon, which connects the box meanwhile."""
    return [steps.Network(networks=list(setting.waits_for))] if setting.waits_for else []


def taken(setting: Setting) -> dict[str, Any]:
    """The box's connections and published ports; nothing of it is the runtime's."""
    told: dict[str, Any] = msgspec.to_builtins(
        {"endpoints": list(setting.endpoints), "ports": list(setting.ports)}
    )
    return told
