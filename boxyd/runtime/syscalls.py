"""The system calls that Python 3.11 lacks: one thin function each, named as in its man page.

Constraints: x86_64 and aarch64.  Every prototype is built at import, and structures go to the
kernel as plain bytes, because a box's first millisecond is spent here: each new ctypes array
would be a new type, which touches hundreds of KiB that a fork shares until then.  Failures
raise OSError with the call's name and, where there is one, the path it was about.  `clone3`
may only be used in a single-threaded process.
"""

# ruff: noqa: D402 - the first line names the man page, which is named as the function is

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import errno as _errno
import os
import signal
import struct

_libc = ctypes.CDLL(None, use_errno=True)
_held = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock: for a raw fork
_api = ctypes.pythonapi

ARCH = os.uname().machine
_X86 = ARCH == "x86_64"
_NR = {
    "capget": 125 if _X86 else 90,
    "capset": 126 if _X86 else 91,
    "clone": 56 if _X86 else 220,
    "clone3": 435,
    "close_range": 436,
    "fsconfig": 431,
    "fsmount": 432,
    "fsopen": 430,
    "keyctl": 250 if _X86 else 219,
    "mount_setattr": 442,
    "move_mount": 429,
    "open_tree": 428,
    "openat2": 437,
    "pivot_root": 155 if _X86 else 41,
    "seccomp": 317 if _X86 else 277,
}

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000
CLONE_NEWTIME = 0x80
CLONE_PARENT = 0x8000
_CLONE_PIDFD = 0x1000
_CLONE_VM, _CLONE_VFORK = 0x100, 0x4000
_STACK = 64 << 10
PARKED = 5
"""seconds that a parked process lives at the most"""
_CLONE_INTO_CGROUP = 0x2_0000_0000

NAMESPACES = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "net": CLONE_NEWNET,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
MS_SLAVE, MS_SHARED = 1 << 19, 1 << 20
MNT_DETACH = 2

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE = 1
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_ATTR_IDMAP = 0x10_0000
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_SET_FD, FSCONFIG_CMD_CREATE = 0, 1, 5, 6

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_IN_ROOT = 2, 4, 16

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NAME = 1, 4, 15
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 24, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_CHILD_SUBREAPER = 36

_long, _int, _uint, _str, _ptr, _u64 = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_uint64,
)


def _prototype(library: ctypes.CDLL, name: str, *types: type) -> ctypes._FuncPointer:
    """The function `name`, its own object, so that each call has its own argument types."""
    function = library[name]
    function.argtypes = types
    function.restype = _long if name == "syscall" else _int
    return function


def _raw(*types: type, library: ctypes.CDLL = _libc) -> ctypes._FuncPointer:
    return _prototype(library, "syscall", _long, *types)


def raw_call(*types: type) -> ctypes._FuncPointer:
    """syscall(2) with these arguments behind the number; the caller looks at errno."""
    return _raw(*types)


_open_tree = _raw(_int, _str, _uint)
_move_mount = _raw(_int, _str, _int, _str, _uint)
_mount_setattr = _raw(_int, _str, _uint, _str, ctypes.c_size_t)
_fsopen = _raw(_str, _uint)
_fsconfig = _raw(_int, _uint, _str, _str, _int)
_fsmount = _raw(_int, _uint, _uint)
_openat2 = _raw(_int, _str, _str, ctypes.c_size_t)
_close_range = _raw(_uint, _uint, _uint)
_pivot_root = _raw(_str, _str)
_capset = _raw(_str, _str)
_capget = _raw(_str, _ptr)
_seccomp = _raw(_uint, _uint, _str)
_keyctl = _raw(_int, _long)
_clone3 = _raw(_str, ctypes.c_size_t, library=_held)
_clone = _raw(_u64, _ptr, _ptr, _ptr, _u64, library=_held)
_clone_function = _prototype(_libc, "clone", _ptr, _ptr, _int, _ptr, _ptr)
_sleep = ctypes.cast(_libc.sleep, _ptr)
_prctl = _prototype(_libc, "prctl", _int, *([ctypes.c_ulong] * 4))
_prctl_text = _prototype(_libc, "prctl", _int, _str, *([ctypes.c_ulong] * 3))
_setns = _prototype(_libc, "setns", _int, _int)
_unshare = _prototype(_libc, "unshare", _int)
_mount = _prototype(_libc, "mount", _str, _str, _str, ctypes.c_ulong, _str)
_sync_file_range = _prototype(_libc, "sync_file_range", _int, ctypes.c_int64, ctypes.c_int64, _uint)
_umount2 = _prototype(_libc, "umount2", _str, _int)
_sethostname = _prototype(_libc, "sethostname", _str, ctypes.c_size_t)
_setdomainname = _prototype(_libc, "setdomainname", _str, ctypes.c_size_t)


def _checked(result: int, call: str, about: str = "") -> int:
    """`result`, or OSError for what errno says."""
    if result >= 0:
        return result
    number = ctypes.get_errno()
    text = f"{call}: {os.strerror(number)}"
    raise OSError(number, text, about) if about else OSError(number, text)


# ------------------------------------------------------------------------ mounts


def open_tree(path: str, *, directory: int = AT_FDCWD, recursive: bool = False) -> int:
    """A detached copy of the mount at `path`, as an fd: open_tree(2).

    With an empty `path`, the mount that the fd `directory` stands on.
    """
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC
    flags |= AT_RECURSIVE if recursive else 0
    flags |= 0 if path else AT_EMPTY_PATH
    result = _open_tree(_NR["open_tree"], directory, os.fsencode(path), flags)
    return _checked(result, "open_tree", path)


def mount_setattr(
    mount: int,
    *,
    add: int = 0,
    private: bool = False,
    userns: int = -1,
    recursive: bool = False,
    propagation: int = 0,
) -> None:
    """Change the mount that the fd stands on, its ids mapped by the fd `userns` if >= 0:
    mount_setattr(2).  `propagation` is MS_SLAVE or MS_SHARED, 0 for what it is."""
    if userns >= 0:
        add |= MOUNT_ATTR_IDMAP
    passed = MS_PRIVATE if private else propagation
    change = struct.pack("=QQQQ", add, 0, passed, max(userns, 0))
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _checked(_mount_setattr(_NR["mount_setattr"], mount, b"", flags, change, 32), "mount_setattr")


def move_mount(mount: int, path: str, *, directory: int = AT_FDCWD) -> None:
    """Attach a detached mount at `path`, or on the fd `directory` if that is "": move_mount(2)."""
    flags = 0x4 | (0 if path else 0x40)  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
    result = _move_mount(_NR["move_mount"], mount, b"", directory, os.fsencode(path), flags)
    _checked(result, "move_mount", path)


def fsopen(kind: str) -> int:
    """A context in which a file system of this kind is configured: fsopen(2)."""
    return _checked(_fsopen(_NR["fsopen"], kind.encode(), 1), "fsopen", kind)


def fsconfig(
    context: int, command: int, key: str = "", value: str | None = None, fd: int = 0
) -> None:
    """Set an option or create: fsconfig(2); an error bears the kernel's own words about it."""
    text = None if value is None else os.fsencode(value)
    name = os.fsencode(key) if key else None
    if _fsconfig(_NR["fsconfig"], context, command, name, text, fd) >= 0:
        return
    number = ctypes.get_errno()
    said = f"fsconfig {key}={value}" if key else "mounting"
    raise OSError(number, f"{said}: {os.strerror(number)}{_kernel_words(context)}")


def _kernel_words(context: int) -> str:
    """What the kernel logged in this context (a read gives one message, ENODATA ends them)."""
    words = ""
    try:
        while message := os.read(context, 4096):
            words += "; " + message.decode(errors="replace").strip()
    except OSError:
        pass
    return words


def fsmount(context: int, attributes: int = 0) -> int:
    """The configured file system as a detached mount: fsmount(2)."""
    return _checked(_fsmount(_NR["fsmount"], context, 1, attributes), "fsmount")


def make_private(path: str) -> None:
    """mount(2): nothing that is mounted below `path` is shared with another namespace."""
    _checked(_mount(None, os.fsencode(path), None, MS_REC | MS_PRIVATE, None), "mount", path)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """The old mount(2), for places where the newer calls do not do."""
    words = (os.fsencode(word) for word in (source, target, kind))
    _checked(_mount(*words, flags, os.fsencode(options)), "mount", target)


def umount(path: str, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    _checked(_umount2(os.fsencode(path), flags), "umount2", path)


def pivot_root(new: str, old: str) -> None:
    """Swap the root file system: pivot_root(2)."""
    _checked(_pivot_root(_NR["pivot_root"], new.encode(), old.encode()), "pivot_root", new)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """Open by a path that may only go where RESOLVE_* flags let it: openat2(2)."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    result = _openat2(_NR["openat2"], directory, os.fsencode(path), how, 24)
    return _checked(result, "openat2", path)


# ------------------------------------------------------------------------ processes


def clone3(flags: int = 0, *, cgroup: int = -1, exit_signal: int = 17) -> tuple[int, int]:
    """Fork with flags: (pid, pidfd), in the child (0, -1): clone3(2).

    `cgroup` >= 0 is a v2 cgroup's folder in which the child is born.  With CLONE_PARENT the
    exit signal must be 0.  Where a sandbox around us hides clone3, clone(2) stands in.
    """
    pidfd = ctypes.c_int(-1)
    flags |= _CLONE_PIDFD
    into = _CLONE_INTO_CGROUP if cgroup >= 0 else 0
    arguments = struct.pack(
        "=11Q",
        *(flags | into, ctypes.addressof(pidfd), 0, 0, exit_signal, 0, 0, 0, 0, 0),
        max(cgroup, 0),
    )
    _api.PyOS_BeforeFork()
    pid = _clone3(_NR["clone3"], arguments, 88)
    number = ctypes.get_errno()
    if pid < 0 and number == _errno.ENOSYS and cgroup < 0:
        signal = 0 if flags & CLONE_PARENT else exit_signal
        pid = _clone(_NR["clone"], flags | signal, None, ctypes.addressof(pidfd), None, 0)
        number = ctypes.get_errno()
    if pid == 0:
        _api.PyOS_AfterFork_Child()
        return 0, -1
    _api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return pid, pidfd.value


def go_on(flags: int, *, cgroup: int = -1) -> None:
    """Go on as a new process in this one's memory: clone3(2) with CLONE_VM and CLONE_VFORK.

    Returns in the new process only, which has copied neither page tables nor pages.  The old one
    sleeps until the new one executes a program or ends, and then may not run on, since its
    stack is no longer its own: before that, whoever has a pidfd of it must have stopped it
    (a stop that is pending takes hold before it runs) or killed it.  Stopped is better: the
    memory is then not taken down before the program runs, but when it is killed at last.

    `cgroup` as for `clone3`.  Raises OSError; then there is no new process.
    """
    clone3(flags | _CLONE_VM | _CLONE_VFORK, cgroup=cgroup, exit_signal=0)


_stack = ctypes.create_string_buffer(_STACK)


class Parked:
    """A process that does nothing but hold new namespaces (`flags`) until `end`.

    It shares our memory and sleeps on the one small stack there is for that, so making it
    costs a tenth of a fork; it runs no Python.  It has copies of our descriptors, so if we are
    killed meanwhile it must end by itself: after `PARKED`.  Sources: clone(2), CLONE_VM.
    """

    def __init__(self, flags: int) -> None:
        top = (ctypes.addressof(_stack) + _STACK) & ~0xF
        pidfd = ctypes.c_int(-1)
        flags |= _CLONE_VM | _CLONE_PIDFD | signal.SIGCHLD
        where = ctypes.addressof(pidfd)
        self.pid = _checked(_clone_function(_sleep, top, flags, PARKED, where), "clone")
        self._pidfd = pidfd.value

    def end(self) -> None:
        """Kill and reap it; only then may another be parked."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        os.close(self._pidfd)


def setns(fd: int, flags: int = 0) -> None:
    """Enter namespaces; with a pidfd, all those of `flags` at once: setns(2)."""
    _checked(_setns(fd, flags), "setns")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones: unshare(2)."""
    _checked(_unshare(flags), "unshare")


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    """Set something about this process: prctl(2)."""
    return _checked(_prctl(option, second, third, 0, 0), f"prctl {option}")


def set_name(name: str) -> None:
    """PR_SET_NAME: the name that `ps -o comm` shows, 15 bytes of it."""
    _checked(_prctl_text(PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def set_title(title: str) -> None:
    """Write `title` over this process's argument list (proc(5), stat fields 48 and 49)."""
    start, size = _title
    if size > 1:
        text = title.encode(errors="replace")[: size - 1]
        ctypes.memmove(start, text.ljust(size, b"\0"), size)


def _find_title() -> tuple[int, int]:
    """Where the argument list lies and how long it is; children have it at the same place."""
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    return (start, end - start) if start else (0, 0)


_title = _find_title()


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    text = name.encode()
    _checked(_sethostname(text, len(text)), "sethostname", name)


def set_domainname(name: str) -> None:
    """setdomainname(2)."""
    text = name.encode()
    _checked(_setdomainname(text, len(text)), "setdomainname", name)


def write_out(fd: int) -> None:
    """Have a file's changed pages written, and wait: sync_file_range(2) with all its flags.

    Not durable, so without fsync(2)'s wait for the journal.  The pages are clean afterwards.
    """
    _checked(_sync_file_range(fd, 0, 0, 7), "sync_file_range")


def close_on_exec_from(first: int) -> None:
    """close_range(2) with CLOSE_RANGE_CLOEXEC: no descriptor from `first` on survives exec."""
    try:
        _checked(_close_range(_NR["close_range"], first, 0xFFFF_FFFF, 4), "close_range")
    except OSError:  # Linux 5.9 and 5.10 have the call without this flag
        for name in os.listdir("/proc/self/fd"):
            if int(name) >= first:
                _forget(int(name))


def _forget(fd: int) -> None:
    try:
        os.set_inheritable(fd, False)
    except OSError:
        return


def join_session_keyring() -> None:
    """keyctl(2) KEYCTL_JOIN_SESSION_KEYRING: a fresh, anonymous session keyring."""
    _checked(_keyctl(_NR["keyctl"], 1, 0), "keyctl")


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's capabilities, each set a bit mask: capset(2)."""
    low, high = 0xFFFF_FFFF, 32
    sets = (effective, permitted, inheritable)
    header = struct.pack("=Ii", 0x2008_0522, 0)
    data = struct.pack("=6I", *(s & low for s in sets), *(s >> high for s in sets))
    _checked(_capset(_NR["capset"], header, data), "capset")


_capdata = ctypes.create_string_buffer(24)


def permitted_capabilities() -> int:
    """This process's permitted set as a bit mask: capget(2)."""
    header = struct.pack("=Ii", 0x2008_0522, 0)
    _checked(_capget(_NR["capget"], header, ctypes.addressof(_capdata)), "capget")
    words = struct.unpack("=6I", _capdata.raw)
    return int(words[1] | words[4] << 32)


def seccomp_load(program: bytes) -> None:
    """seccomp(2) SECCOMP_SET_MODE_FILTER with an array of struct sock_filter."""
    where = ctypes.cast(ctypes.c_char_p(program), _ptr).value
    header = struct.pack("=HxxxxxxQ", len(program) // 8, where)
    _checked(_seccomp(_NR["seccomp"], 1, 0, header), "seccomp")


def set_handler(number: int, handler: int) -> None:
    """Set SIG_DFL (0) or SIG_IGN (1): signal(2), without the enumerations of Python's own."""
    _signal.signal(number, handler)


def unblock_all() -> None:
    """Block no signal: sigprocmask(2)."""
    _signal.pthread_sigmask(signal.SIG_SETMASK, ())


def exists(call: str) -> bool:
    """Whether this kernel has a call of the table above (asked with arguments that fail)."""
    probe = _raw(_long, _long, _long, _long, _long)
    probe(_NR[call], -1, 0, 0, 0, 0)
    return ctypes.get_errno() not in (_errno.ENOSYS, _errno.EPERM)
