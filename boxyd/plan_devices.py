"""Which devices a box's cgroup admits, by what was asked for.

Constraint: numbers are looked up on the host at each start, since a device may come back under
another one.
"""

from __future__ import annotations

import os

from boxy_core.models import BoxSpec
from boxyd.cgroup.devices import DEFAULT_DEVICES, DeviceRule
from boxyd.plan_spaces import PRIVILEGED_DEVICES
from boxyd.runtime import devices


def rules(spec: BoxSpec, *, mapped: bool) -> tuple[DeviceRule, ...] | None:
    """The rules; None: every device.  Raises NotFound, InvalidRequest naming the device."""
    if spec.privileged and not mapped:
        return None
    found = list(DEFAULT_DEVICES)
    for device in spec.devices:
        nodes = [path for path, _ in devices.expanded([(device.source, device.source)])]
        found += [DeviceRule.of_node(path, device.access) for path in nodes]
    if spec.privileged:
        found += [DeviceRule.of_node(path) for path in PRIVILEGED_DEVICES if os.path.exists(path)]
    found += [DeviceRule.parse(text) for text in spec.device_rules]
    return tuple(dict.fromkeys(found))
