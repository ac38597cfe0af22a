"""Which devices a box may use: rules, and their form for cgroup v1.  Pure but for `of_node`.

The rules are those of the `devices` controller (cgroup-v1/devices.rst); for v2 they become a
BPF program (devices_bpf.py).
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from boxy_core.errors import InvalidRequest, NotFound

_RULE = re.compile(r"([abc]) (?:(\*|\d+):(\*|\d+) )?([rwm]{1,3})")


class DeviceRule(NamedTuple):
    """One kind of access that is allowed: first match wins, and what no rule names is refused."""

    kind: str
    """"c" character, "b" block, "a" either"""
    major: int | None
    """None: any"""
    minor: int | None
    access: str
    """any of r (read), w (write), m (mknod)"""

    def __str__(self) -> str:
        major, minor = ("*" if n is None else str(n) for n in (self.major, self.minor))
        return f"{self.kind} {major}:{minor} {self.access}"

    @classmethod
    def parse(cls, text: str) -> DeviceRule:
        """From the kernel's notation, `c 1:3 rwm` or `b *:* m`.  Raises InvalidRequest."""
        match = _RULE.fullmatch(text.strip())
        if match is None:
            raise InvalidRequest(
                f"{text!r} is not a device rule", hint='write it as "c 1:3 rwm" or "b *:* m"'
            )
        kind, major, minor, access = match.groups()
        numbers = [None if n in (None, "*") else int(n) for n in (major, minor)]
        return cls(kind, numbers[0], numbers[1], "".join(a for a in "rwm" if a in access))

    @classmethod
    def of_node(cls, path: str, access: str = "rwm") -> DeviceRule:
        """The rule for a device node of the host.  Raises NotFound, InvalidRequest."""
        try:
            info = os.stat(path)
        except OSError as error:
            raise NotFound(
                f"there is no device {path} on this machine: {error.strerror}",
                hint="ls /dev shows what is there; a driver may have to be loaded",
            ) from None
        if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
            raise InvalidRequest(f"{path} is not a device", hint="give a path below /dev")
        kind = "c" if stat.S_ISCHR(info.st_mode) else "b"
        return cls(kind, os.major(info.st_rdev), os.minor(info.st_rdev), access)


DEFAULT_DEVICES: tuple[DeviceRule, ...] = tuple(
    map(
        DeviceRule.parse,
        (
            "c *:* m",  # making a node is harmless where opening it is refused
            "b *:* m",
            "c 1:3 rwm",  # null
            "c 1:5 rwm",  # zero
            "c 1:7 rwm",  # full
            "c 1:8 rwm",  # random
            "c 1:9 rwm",  # urandom
            "c 5:0 rwm",  # tty
            "c 5:1 rwm",  # console
            "c 5:2 rwm",  # ptmx
            "c 136:* rwm",  # pts/*
        ),
    )
)
"""What every box may use: the same few devices as with the other runtimes."""
