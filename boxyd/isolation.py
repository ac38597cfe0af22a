"""What was asked for about a box's isolation: whether it makes sense, and what it gives away.

Pure.  Constraint: everything here comes from a stranger.  A wish that would reach beyond the
box's own namespaces without saying so (a setting of the whole machine, a device outside of
/dev) is refused by name; one that says so is written down in `weakened`, which every reader of
the box is shown.
"""

from __future__ import annotations

import re
import resource

from boxy_core.errors import InvalidRequest
from boxy_core.models import BoxSpec, Device
from boxyd.cgroup.devices import DeviceRule
from boxyd.runtime import capabilities, seccomp
from boxyd.runtime.syscalls import ARCH

OTHER = "box:"
"""what stands before the box whose namespace is to be shared"""
SHARED = ("pid", "ipc")
"""namespaces that can be another box's"""
MINIMUM_SHM, MINIMUM_DISK = 4096, 1 << 20

_CHOICES = {
    "uts": ("private", "host"),
    "cgroupns": ("private", "host"),
    "timens": ("host", "private"),
    "userns": ("private", "host"),
    "seccomp": ("default", "unconfined", "custom"),
    "system_paths": ("default", "unconfined"),
}
_ULIMITS = frozenset(
    name.removeprefix("RLIMIT_").lower()
    for name in dir(resource)
    if name.startswith("RLIMIT_") and name not in ("RLIMIT_OFILE", "RLIMIT_AS")
)
_IPC_SYSCTLS = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
})  # fmt: skip
_SYSCTL = re.compile(r"[a-zA-Z0-9_]+(\.[a-zA-Z0-9_@:-]+)+")


def check(spec: BoxSpec) -> None:
    """Raises InvalidRequest naming the field that is wrong and what would be right."""
    for field, allowed in _CHOICES.items():
        if getattr(spec, field) not in allowed:
            raise wrong(field, getattr(spec, field), f"it is one of {', '.join(allowed)}")
    for field in SHARED:
        _check_shared(field, getattr(spec, field))
    joined(spec)
    kept_capabilities(spec)
    _check_ulimits(spec)
    _check_sysctls(spec)
    for device in spec.devices:
        _check_device(device)
    for rule in spec.device_rules:
        DeviceRule.parse(rule)
    if spec.shm_size is not None and spec.shm_size < MINIMUM_SHM:
        raise wrong("shm_size", spec.shm_size, f"it is {MINIMUM_SHM} bytes or more")
    _check_profile(spec)


def joined(spec: BoxSpec) -> str:
    """The one box whose namespaces are to be shared, as it was named; "": none.

    Raises InvalidRequest if two are named: each has a user namespace of its own, and nobody
    is in two of them.
    """
    values = [getattr(spec, field) for field in SHARED]
    named = {value.removeprefix(OTHER) for value in values if value.startswith(OTHER)}
    if len(named) > 1:
        both = " and ".join(sorted(named))
        raise InvalidRequest(
            f"a box can share the namespaces of one other box, not of {both}",
            hint="each box has a user namespace of its own, and nobody can be in two",
        )
    if named and spec.userns == "host":
        raise wrong(
            "userns", "host", "who shares another box's namespaces is in its user namespace"
        )
    return named.pop() if named else ""


def _check_shared(field: str, value: str) -> None:
    if value in ("private", "host") or (value.startswith(OTHER) and value != OTHER):
        return
    raise wrong(field, value, f"it is private, host, or {OTHER}NAME for another box's")


def _check_ulimits(spec: BoxSpec) -> None:
    for name, limit in spec.ulimits.items():
        if name not in _ULIMITS:
            raise wrong("ulimits", name, f"it is one of {', '.join(sorted(_ULIMITS))}")
        highest = 1 << 63
        if not (-1 <= limit.soft < highest and -1 <= limit.hard < highest):
            raise wrong(f"ulimits.{name}", f"{limit.soft}:{limit.hard}", "numbers; -1 is no limit")
        if limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            raise wrong(f"ulimits.{name}", f"{limit.soft}:{limit.hard}",
                        "the first number, the soft limit, is not above the hard one")  # fmt: skip


def _check_sysctls(spec: BoxSpec) -> None:
    for name, value in spec.sysctls.items():
        if not _SYSCTL.fullmatch(name) or ".." in name:
            raise wrong("sysctls", name, "a name with dots, as in net.ipv4.ip_forward")
        if not value or len(value) > 4096 or not value.isprintable():
            raise wrong(f"sysctls.{name}", value, "one line of text")
        _check_namespaced(spec, name)


def _check_namespaced(spec: BoxSpec, name: str) -> None:
    """Refuse what would set the whole machine, or another's namespace."""
    owners = (
        ("network", name.startswith("net.")),
        ("ipc", name in _IPC_SYSCTLS or name.startswith("fs.mqueue.")),
        ("uts", name == "kernel.domainname"),
    )
    for field, is_its in owners:
        if not is_its:
            continue
        mode = getattr(spec, field)
        if mode == "host" or mode.startswith(OTHER):
            raise InvalidRequest(
                f"{name} cannot be set: with {field} {mode} it is not the box's own",
                hint=f"leave out {name}, or give the box a {field} namespace of its own",
            )
        return
    raise InvalidRequest(
        f"{name} is a setting of the whole machine, which a box cannot have of its own",
        hint="net.*, kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.* and kernel.domainname can "
        "be set; for others use sysctl(8) on the host",
        field="sysctls",
    )


def _check_device(device: Device) -> None:
    for field, path in (("source", device.source), ("target", device.target or device.source)):
        parts = path.split("/")
        if parts[:2] != ["", "dev"] or len(parts) < 3 or set(parts[2:]) & {"", ".", ".."}:
            raise wrong(f"devices.{field}", path, "a path below /dev, as /dev/fuse")
        if "\0" in path or parts[2] in ("pts", "shm", "mqueue", "fd", "ptmx"):
            raise wrong(f"devices.{field}", path, "that place is the box's own")
    if not device.access or set(device.access) - set("rwm"):
        raise wrong("devices.access", device.access, "any of r (read), w (write), m (mknod)")


def _check_profile(spec: BoxSpec) -> None:
    """A profile that does not compile is refused before there is a box."""
    if spec.seccomp_profile is None:
        if spec.seccomp == "custom":
            raise wrong("seccomp", "custom", "a profile of your own goes into seccomp_profile")
        return
    try:
        seccomp.compile_profile(spec.seccomp_profile, kept_capabilities(spec), ARCH)
    except seccomp.ProfileError as error:
        raise InvalidRequest(
            f"the seccomp profile cannot be used: {error}",
            hint="its form is that of the OCI runtime specification: defaultAction, syscalls",
            field="seccomp_profile",
        ) from None


def kept_capabilities(spec: BoxSpec) -> list[str]:
    """What root in the box may do.  Raises InvalidRequest for a name that there is not."""
    try:
        if spec.privileged:
            return sorted(capabilities.NAMES)
        return capabilities.selected(spec.cap_add, spec.cap_drop)
    except ValueError as error:
        raise InvalidRequest(
            f'there is no capability "{error}"', hint="capabilities(7) lists them; or say ALL"
        ) from None


# ------------------------------------------------------------------------ what is given away


def weakened(spec: BoxSpec) -> list[str]:
    """One sentence for each wish that gives part of the isolation away, the worst first."""
    rules = (
        (spec.privileged and spec.userns == "host",
         "privileged with the host's users: root in the box is root of this machine"),
        (spec.privileged and spec.userns != "host",
         "privileged: every capability within its user namespace, no filter, nothing hidden"),
        (spec.userns == "host" and not spec.privileged,
         "userns host: root in the box is root outside, held by capabilities and the filter"),
        (_hosts_root(spec), "the host's root folder is mounted in it"),
        (spec.seccomp == "unconfined" and not spec.privileged,
         "seccomp unconfined: every system call that its capabilities permit"),
        (spec.system_paths == "unconfined" and not spec.privileged,
         "nothing is hidden in /proc and /sys"),
        (not spec.no_new_privs and not spec.privileged,
         "no-new-privileges is off: set-uid programs of its image work"),
        (spec.network == "host",
         "network host: the host's interfaces, its loopback services and abstract sockets"),
        (spec.pid == "host", "pid host: it sees every process of this machine"),
        (spec.ipc == "host", "ipc host: it shares the host's shared memory and queues"),
        (spec.uts == "host", "uts host: it has the host's name"),
        (spec.cgroupns == "host", "cgroupns host: it sees how the host names its cgroups"),
        *((getattr(spec, field).startswith(OTHER),
           f"{field} {getattr(spec, field)[:24]}: what shares it is in one user namespace")
          for field in SHARED),
        (bool(_added(spec)), f"capabilities added: {', '.join(_added(spec))}"),
        (bool(spec.devices),
         f"devices of the host: {', '.join(device.source for device in spec.devices)}"),
        (bool(spec.device_rules), f"device rules: {', '.join(spec.device_rules)}"),
    )  # fmt: skip
    return [sentence for holds, sentence in rules if holds]


def _added(spec: BoxSpec) -> list[str]:
    if spec.privileged:
        return []
    return sorted(set(kept_capabilities(spec)) - set(capabilities.DEFAULT))


def _hosts_root(spec: BoxSpec) -> bool:
    return any(not mount.source.strip("/") for mount in spec.mounts if mount.type == "bind")


def wrong(field: str, value: object, right: str) -> InvalidRequest:
    """The refusal of a value, shown shortened, with what would be right."""
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return InvalidRequest(f"{field} cannot be {shown}", hint=right, field=field)
