"""What every step of making a box has in common.

A step is a few plain values, told in JSON, and up to two deeds: `prepare`, done by the shim in
the host's namespaces while it is still root there (layers, sources, devices), and `apply`, done
by the new process inside its own.  A mount travels from one to the other as a file descriptor
that fork hands down; no path of the host is opened from inside.
"""

from __future__ import annotations

import errno
import os
import stat

from boxyd.runtime import syscalls as sys_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_: object):  # noqa: D103
        return lambda cls: cls


PROC_MAGIC = 0x9FA0
IN_ROOT = sys_.RESOLVE_IN_ROOT | sys_.RESOLVE_NO_MAGICLINKS
PLAIN = IN_ROOT | sys_.RESOLVE_NO_SYMLINKS
QUIET = sys_.MOUNT_ATTR_NOSUID | sys_.MOUNT_ATTR_NODEV | sys_.MOUNT_ATTR_NOEXEC

BY_NAME: dict[str, type[Step]] = {}
"""Every step that a plan may name."""


class Host:
    """The shim's side while it prepares a box.

    `base` is the host id of the box's root (0: no user namespace), `userns` the fd of a user
    namespace whose map id-maps layers (-1: none), `notices` sentences for the daemon.
    """

    def __init__(self, base: int, userns: int) -> None:
        self.base = base
        self.userns = userns
        self.notices: list[str] = []
        self.kept: list[int] = []
        self.waits: Callable[[], None] | None = None
        """returns when the box's cgroup is there; None: it is"""
        self.dev = -1
        """a /dev that was made ahead (-1: none)"""
        self.root = -1
        self.network = -1
        """a socket: the daemon connects the box, and says so there (-1: nothing to wait for)"""
        self.netns = -1
        """the network namespace to join instead of a new one (-1: none)"""

    def await_cgroup(self) -> None:
        """Return when the box's cgroup is there.  Raises OSError if it could not be made."""
        waits, self.waits = self.waits, None
        if waits is not None:
            waits()

    def keep(self, fd: int) -> int:
        """`fd`, which is closed in the shim once the box runs with its own copy."""
        self.kept.append(fd)
        return fd

    def close(self) -> None:
        """Let go of everything that was kept, except the root's mount.

        That one stays until the shim ends: the last to let go of an overlay waits until the
        disk has what was written (sync_filesystem), which must not delay the box's end.
        """
        while self.kept:
            os.close(self.kept.pop())

    def close_all(self) -> None:
        """Let go of the root's mount, too."""
        self.close()
        if self.root >= 0:
            os.close(self.root)
            self.root = -1


class Inside:
    """The new process's side: `root` is an fd on the box's root as long as it is not `/`."""

    def __init__(self, terminal: bool) -> None:
        self.root = -1
        self.terminal = terminal
        self.master = -1
        self.slave = -1
        self.devices: dict[str, int] = {}
        self.covers: list[int] = []
        """mounts of the null device, to be put over files"""
        self.home = ""

    def attach(self, mount: int, path: str, *, folder: bool = True, resolve: int = IN_ROOT) -> None:
        """Put the detached mount `mount` at `path` in the box; closes it."""
        target = self.target(path, folder=folder, resolve=resolve)
        try:
            sys_.move_mount(mount, "", directory=target)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(target)
            os.close(mount)

    def attach_own(self, mount: int, path: str) -> None:
        """Put one of the kernel's file systems at `path`, where the image may have no link."""
        self.attach(mount, path, resolve=PLAIN)
        fd = self.open(path, PLAIN)
        self.devices[path] = os.fstat(fd).st_dev
        os.close(fd)

    def attach_users(self, mount: int, path: str, *, folder: bool) -> None:
        """Put what the user asked for at `path`, unless the image led that into /proc or /sys.

        A link in the image may point there; covering parts of them would fool the kernel's
        own tools, and ours (CVE-2019-19921).
        """
        target = self.target(path, folder=folder)
        try:
            if os.fstat(target).st_dev in {self.devices.get("/proc"), self.devices.get("/sys")}:
                raise OSError(errno.EPERM, "the image leads it into /proc or /sys", path)
            sys_.move_mount(mount, "", directory=target)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(target)
            os.close(mount)

    def open(self, path: str, resolve: int = IN_ROOT) -> int:
        """An O_PATH fd of `path` in the box; links never lead out of it (openat2(2))."""
        return sys_.openat2(self.root, path, os.O_PATH, resolve)

    def target(
        self, path: str, *, folder: bool = True, resolve: int = IN_ROOT, links: int = 16
    ) -> int:
        """Like `open`, making what is missing: folders, and at the end a folder or a file.

        A link that leads to nothing is followed inside the box, up to `links` of them.
        """
        try:
            return self.open(path, resolve)
        except FileNotFoundError:
            pass
        names = [name for name in path.split("/") if name]
        at = os.dup(self.root)
        for depth, name in enumerate(names, 1):
            so_far = "/".join(names[:depth])
            try:
                following = self._open_or_make(
                    at, name, so_far, folder or depth < len(names), resolve
                )
            except FileExistsError:
                if not links:
                    raise
                leads = os.readlink(name, dir_fd=at)
                before = "" if leads.startswith("/") else "/".join(names[: depth - 1])
                path = "/".join((before, leads, *names[depth:]))
                return self.target(path, folder=folder, resolve=resolve, links=links - 1)
            finally:
                os.close(at)
            at = following
        return at

    def _open_or_make(self, at: int, name: str, path: str, folder: bool, resolve: int) -> int:
        try:
            return self.open(path, resolve)
        except FileNotFoundError:
            if folder:
                os.mkdir(name, 0o755, dir_fd=at)
            else:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(name, flags, 0o644, dir_fd=at))
            return self.open(path, resolve)


@dataclass_transform(kw_only_default=True, eq_default=False)
class Step:
    """One step.  A subclass names its values as annotated attributes; `do` is its JSON name, ""
    for one that no plan may name."""

    do: ClassVar[str] = ""
    joins: ClassVar[bool] = False
    """whether a further command in a running box takes this step, too"""
    fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = [name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind)]
        named = [name for name in own if not name.startswith("_")]
        cls.fields = tuple(dict.fromkeys([*cls.fields, *named]))
        if cls.do:
            BY_NAME[cls.do] = cls

    if not TYPE_CHECKING:

        def __init__(self, **values):
            for name in self.fields:
                if name in values:
                    setattr(self, name, values.pop(name))
                elif not hasattr(type(self), name):
                    raise ValueError(f'the step "{self.do}" needs "{name}"')
            if values:
                raise ValueError(f'the step "{self.do}" knows no "{min(values)}"')

    @classmethod
    def of(cls, **values: Any) -> Self:
        """An instance from JSON values.  Raises ValueError for one missing or unknown."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The step as plain data; `from_json` is the way back."""
        return {"do": self.do, **{name: getattr(self, name) for name in self.fields}}

    def describe(self) -> str:
        """One line that tells a learner what happens and why."""
        raise NotImplementedError

    def prepare(self, host: Host) -> None:
        """What is done in the host's namespaces, by the shim.  Raises OSError."""

    def ahead(self) -> bool:
        """Whether it is the same for every box whose plan has it, so that `apply` can be done
        before the box is asked for, by a process that has no image and makes no file."""
        return False

    def prepared(self) -> dict[str, Any]:
        """What `prepare` keeps, for a process that was there before; in it every int is a
        descriptor."""
        return {name: value for name, value in vars(self).items() if name[0] == "_"}

    def take_over(self, prepared: dict[str, Any]) -> None:
        """Keep what another process's step of the same kind had prepared."""
        for name, value in prepared.items():
            setattr(self, name, value)

    def apply(self, inside: Inside) -> None:
        """What is done in the box's namespaces, by its first process.  Raises OSError."""


def from_json(data: dict[str, Any]) -> Step:
    """The step that `data` names.  Raises ValueError when there is none or its values differ."""
    values = dict(data)
    name = values.pop("do", None)
    if name not in BY_NAME:
        raise ValueError(f'a plan has no step "{name}"')
    return BY_NAME[name].of(**values)


# ------------------------------------------------------------------------ helpers for mounts


def new_filesystem(kind: str, attributes: int = 0, **options: str | None) -> int:
    """A fresh file system of the kernel's as a detached mount; an option of None is a flag."""
    context = sys_.fsopen(kind)
    try:
        sys_.fsconfig(context, sys_.FSCONFIG_SET_STRING, "source", kind)
        for key, value in options.items():
            how = sys_.FSCONFIG_SET_FLAG if value is None else sys_.FSCONFIG_SET_STRING
            sys_.fsconfig(context, how, key, value)
        sys_.fsconfig(context, sys_.FSCONFIG_CMD_CREATE)
        return sys_.fsmount(context, attributes)
    finally:
        os.close(context)


def is_folder(fd: int) -> bool:
    """Whether the fd stands on a folder."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)
