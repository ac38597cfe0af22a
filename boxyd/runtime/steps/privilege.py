"""Steps that give power away: what the command can no longer do once it runs.

They are taken last, in the order in which they stand in the plan, by the main process and by
every further command alike (`joins`).
"""

from __future__ import annotations

import os

from boxyd.runtime import capabilities, users
from boxyd.runtime import syscalls as sys_
from boxyd.runtime.steps.base import Host, Inside, Step

LAST_CAPABILITY = len(capabilities.NAMES) - 1
try:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as _file:
        LAST_CAPABILITY = int(_file.read())
except OSError:
    pass


class Keyring(Step):
    """Keys of the one who started the daemon are not inherited."""

    do = "keyring"
    joins = True

    def describe(self) -> str:
        """One line for a learner."""
        return "start with an empty keyring"

    def apply(self, inside: Inside) -> None:
        """keyctl(2)."""
        try:
            sys_.join_session_keyring()
        except OSError as error:
            if error.errno not in {1, 38, 122, 13}:  # hidden, lacking, or the quota is used up
                raise


class Capabilities(Step):
    """Root in the box keeps a few of root's powers; nobody can get others back."""

    do = "capabilities"
    joins = True
    keep: list[str]

    def describe(self) -> str:
        """One line for a learner."""
        if not self.keep:
            return "drop every capability"
        return f"keep {len(self.keep)} capabilities of root's {LAST_CAPABILITY + 1}: " + ", ".join(
            self.keep
        )

    def ahead(self) -> bool:
        """Always: what it takes is the way back, not what the process has."""
        return True

    def apply(self, inside: Inside) -> None:
        """Bounding set first, while CAP_SETPCAP is still there; SETUID and SETGID stay for
        `user`, which is why the rest is dropped there (capabilities(7))."""
        mask = capabilities.mask(self.keep)
        for number in range(LAST_CAPABILITY + 1):
            if not mask >> number & 1:
                sys_.prctl(sys_.PR_CAPBSET_DROP, number)
        sys_.prctl(sys_.PR_CAP_AMBIENT, sys_.PR_CAP_AMBIENT_CLEAR_ALL)


class User(Step):
    """The command's user, looked up in the box's own /etc/passwd and /etc/group."""

    do = "user"
    joins = True
    name: str = ""
    """"", "name", "uid", "name:group", "uid:gid" """
    keep: list[str] = []  # noqa: RUF012
    """capabilities that root keeps"""
    _permitted: int = 0

    def describe(self) -> str:
        """One line for a learner."""
        return f"become {self.name or 'root'} and drop the other powers"

    def apply(self, inside: Inside) -> None:
        """Groups, group, user; a user other than root is left without any capability.

        Nobody gets what this process has not: without a user namespace, what the daemon lacks.
        """
        user = users.resolve(self.name)
        self._permitted = sys_.permitted_capabilities()
        for fd in (0, 1, 2):
            users.give(fd, user)
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
        mask = capabilities.mask(self.keep) if user.uid == 0 else 0
        mask &= self._permitted
        sys_.capset(mask, mask, 0)
        inside.home = user.home


class NoNewPrivs(Step):
    """execve(2) gives no power that the caller has not: set-uid files have no effect."""

    do = "no_new_privs"
    joins = True

    def describe(self) -> str:
        """One line for a learner."""
        return "let no program gain powers by being started (no_new_privs)"

    def apply(self, inside: Inside) -> None:
        """prctl(2)."""
        sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)


class Seccomp(Step):
    """System calls that no box needs are refused."""

    do = "seccomp"
    joins = True
    program: str
    """a compiled filter; its name is a digest of what it was made from"""
    profile: str
    """the profile in the OCI form that it was compiled from"""
    capabilities: list[str]
    """the profile allows more calls to those who may use them"""
    _code: bytes = b""

    def describe(self) -> str:
        """One line for a learner."""
        name = os.path.basename(self.profile)
        return f"refuse the system calls that the profile {name} does not list (seccomp)"

    def prepare(self, host: Host) -> None:
        """Read the program."""
        fd = os.open(self.program, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._code = os.read(fd, 1 << 20)
        finally:
            os.close(fd)

    def apply(self, inside: Inside) -> None:
        """seccomp(2); needs no_new_privs, which the plan sets before."""
        sys_.seccomp_load(self._code)
