"""Which namespaces a box has of its own, and what stands in those that it shares.  Pure.

Constraint: a kernel file system shows the namespace that it was mounted in and may only be
mounted by that namespace's owner.  So what a box shares with the host is a copy of the host's
mount, and what it shares with another box is mounted in that box's user namespace.
"""

from __future__ import annotations

import os
from typing import Any

from boxy_core.models import BoxSpec
from boxyd.host import HostFacts
from boxyd.isolation import OTHER
from boxyd.plan_network import owns_network, sysfs
from boxyd.ports import Joined
from boxyd.runtime import steps

SHM_SIZE = 64 << 20
SCRATCH = ("/run", "/tmp", "/var/tmp")
"""memory in a box whose root is read-only: where every program expects to write"""
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/buddyinfo", "/proc/bus", "/proc/cmdline",
    "/proc/config.gz", "/proc/consoles", "/proc/dma", "/proc/execdomains", "/proc/fb",
    "/proc/interrupts", "/proc/iomem", "/proc/ioports", "/proc/kallsyms", "/proc/kcore",
    "/proc/key-users", "/proc/keys", "/proc/kmsg", "/proc/kpagecgroup", "/proc/kpagecount",
    "/proc/kpageflags", "/proc/latency_stats", "/proc/locks", "/proc/mdstat", "/proc/modules",
    "/proc/mtrr", "/proc/pagetypeinfo", "/proc/partitions", "/proc/sched_debug",
    "/proc/schedstat", "/proc/scsi", "/proc/slabinfo", "/proc/sysrq-trigger", "/proc/timer_list",
    "/proc/timer_stats", "/proc/vmallocinfo", "/proc/vmcore", "/proc/zoneinfo", "/sys/block",
    "/sys/devices/virtual/dmi", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/bpf",
    "/sys/fs/pstore", "/sys/fs/selinux", "/sys/hypervisor", "/sys/kernel/boot_params",
    "/sys/kernel/btf", "/sys/kernel/debug", "/sys/kernel/notes", "/sys/kernel/security",
    "/sys/kernel/slab", "/sys/kernel/tracing", "/sys/kernel/vmcoreinfo", "/sys/module",
]  # fmt: skip
"""What tells of the host, or helps to attack its kernel, and no program in a box needs."""
READ_ONLY = ["/proc/fs", "/proc/irq", "/proc/sys"]
PRIVILEGED_DEVICES = ("/dev/fuse", "/dev/net/tun")
"""what a privileged box gets of the host's devices while it has users of its own"""


def namespaces(spec: BoxSpec, mapped: bool, host: HostFacts) -> list[str]:
    """Those that are made for the box."""
    modes = {
        "net": "private" if owns_network(spec) else "host",
        "pid": spec.pid, "ipc": spec.ipc, "uts": spec.uts, "cgroup": spec.cgroupns,
        "user": "private" if mapped else "host",
    }  # fmt: skip
    own = [name for name in host.namespaces if modes.get(name, "private") == "private"]
    if _joins(spec) and "user" in own:
        own.remove("user")  # it is the other box's
    if spec.timens == "private" and host.time_namespaces:
        own.append("time")
    return own


def join(spec: BoxSpec, joined: Joined | None, mapped: bool) -> dict[str, Any] | None:
    """What the shim needs to enter another box's namespaces."""
    if joined is None:
        return None
    names = _joins(spec) + (["user"] if mapped else [])
    return {"pid": joined.pid, "start_time": joined.start_time, "namespaces": sorted(names)}


def _joins(spec: BoxSpec) -> list[str]:
    return [name for name in ("pid", "ipc") if getattr(spec, name).startswith(OTHER)]


def kernel_filesystems(
    spec: BoxSpec, joined: Joined | None, mapped: bool, host: HostFacts
) -> list[steps.Step]:
    """/proc and /sys before anything hides the host's, which the kernel wants to see; then /dev
    with what stands in it."""
    extra = list(spec.devices)
    devices = [[device.source, device.target or device.source] for device in extra]
    whole = spec.privileged and not mapped
    if spec.privileged and mapped:
        devices += [[path, path] for path in PRIVILEGED_DEVICES if path in host.devices]
    return [
        steps.Proc(shared=spec.pid == "host"),
        sysfs(spec),
        steps.Dev(devices=devices, whole=whole),
        steps.Devpts(),
        *_ipc(spec, joined),
    ]


def _ipc(spec: BoxSpec, joined: Joined | None) -> list[steps.Step]:
    if spec.ipc == "host":
        return [
            steps.Bind(source=path, target=path, optional=True, recursive=False, map_ids=shm)
            for path, shm in (("/dev/shm", True), ("/dev/mqueue", False))
        ]
    if spec.ipc.startswith(OTHER) and joined is not None:
        shm: steps.Step = steps.SharedShm(pid=joined.pid, start_time=joined.start_time)
    else:
        size = SHM_SIZE if spec.shm_size is None else spec.shm_size
        shm = steps.Tmpfs(target="/dev/shm", size=size)
    return [shm, steps.Mqueue()]


def scratch(spec: BoxSpec) -> list[steps.Step]:
    """Memory where a box with a read-only root may write, unless something else stands there."""
    if not spec.read_only:
        return []
    taken = {os.path.normpath(mount.target) for mount in spec.mounts}
    return [steps.Tmpfs(target=path, exec=path != "/run") for path in SCRATCH if path not in taken]


def settings(spec: BoxSpec, host: HostFacts) -> list[steps.Step]:
    """Loopback, the kernel's settings of the box's own namespaces, its name."""
    made: list[steps.Step] = []
    values = dict(spec.sysctls)
    if owns_network(spec) and "net" in host.namespaces:
        made.append(steps.Loopback())
        usual = {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 65535",
        }
        values = {**usual, **values}
    return [*made, steps.Sysctl(values=values)] if values else made


def hidden(spec: BoxSpec) -> list[steps.Step]:
    """What tells of the host, and what would change it."""
    if spec.privileged or spec.system_paths == "unconfined":
        return []
    below = [[path for path in MASKED if path.startswith(top)] for top in ("/proc/", "/sys/")]
    return [*(steps.Mask(paths=paths) for paths in below), steps.Readonly(paths=READ_ONLY)]
