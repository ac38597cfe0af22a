"""The names of Linux's capabilities, as sets of numbers.  Pure.

Constraint: numbers are the kernel's (capabilities(7), linux/capability.h) and never change.
"""

from __future__ import annotations

NAMES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
    "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
    "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
    "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
    "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip

DEFAULT = (
    "chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setfcap", "setgid",
    "setpcap", "setuid", "sys_chroot",
)  # fmt: skip
"""The usual fourteen less three: audit_write and mknod have no effect in a user namespace, and
net_raw forges packets (ping does without, see the sysctl ping_group_range)."""


def plain(name: str) -> str:
    """`CAP_NET_ADMIN`, `net_admin`, `Net_Admin` -> `net_admin`.  Raises ValueError if unknown."""
    short = name.lower().removeprefix("cap_")
    if short not in NAMES:
        raise ValueError(name)
    return short


def selected(add: list[str], drop: list[str]) -> list[str]:
    """The default set, less `drop`, plus `add`; "all" stands for every one.  Sorted.

    As in Docker, what is named beats "all": dropping all and adding one leaves that one.
    Raises ValueError with the first unknown name.
    """
    every, added, dropped = set(NAMES), _split(add), _split(drop)
    kept = every if added[0] else set(DEFAULT)
    kept = set() if dropped[0] else kept
    return sorted((kept - dropped[1]) | added[1] if not dropped[0] else kept | added[1])


def _split(names: list[str]) -> tuple[bool, set[str]]:
    """Whether "all" is among them, and the others."""
    lowered = [name.lower() for name in names]
    return "all" in lowered, {plain(name) for name in lowered if name != "all"}


def mask(names: list[str]) -> int:
    """The bit mask that capset(2) takes."""
    return sum(1 << NAMES.index(name) for name in names)
