"""The vocabulary of making a box: every step that a plan may name.

A plan is a list of these as JSON; `from_json` reads one, `describe()` tells a learner what it
does, `prepare()` and `apply()` do it (see `base`).
"""

from boxyd.runtime.steps.base import BY_NAME, Host, Inside, Step, from_json
from boxyd.runtime.steps.kernel import (
    Cgroupfs,
    Console,
    Devpts,
    Hostname,
    Loopback,
    Mask,
    Mqueue,
    Proc,
    Readonly,
    Sysctl,
    Sysfs,
)
from boxyd.runtime.steps.network import JoinedSysfs, Network
from boxyd.runtime.steps.privilege import Capabilities, Keyring, NoNewPrivs, Seccomp, User
from boxyd.runtime.steps.root import Bind, Dev, File, Overlay, Pivot, ReadonlyRoot, SharedShm, Tmpfs
from boxyd.runtime.steps.shares import ImageMount, Share, Volume

__all__ = [
    "BY_NAME", "Bind", "Capabilities", "Cgroupfs", "Console", "Dev", "Devpts", "File",
    "Host", "Hostname", "ImageMount", "Inside", "JoinedSysfs", "Keyring", "Loopback",
    "Mask", "Mqueue", "Network", "NoNewPrivs", "Overlay", "Pivot", "Proc", "Readonly",
    "ReadonlyRoot", "Seccomp", "Share", "SharedShm", "Step", "Sysctl", "Sysfs", "Tmpfs",
    "User", "Volume", "from_json",
]  # fmt: skip
