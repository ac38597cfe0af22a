#!/usr/bin/env python3
"""Step 9: root that has given its powers away, and system calls that are refused.

usage: 09_lock_down.py ROOT COMMAND [ARGUMENT...]
"""

import ctypes
import os
import platform
import signal
import struct
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 24, 38, 22
MNT_DETACH, MS_BIND, MS_REC, MS_PRIVATE, SECCOMP_MODE_FILTER = 2, 4096, 16384, 1 << 18, 2
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "TERM": "xterm"}

# What root in a box still needs (linux/capability.h has the numbers):
# chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service
KEPT = (0, 1, 3, 4, 5, 6, 7, 10)

# What no program in a box needs: (x86_64, aarch64) numbers of system calls.
REFUSED = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsmount": (432, 432), "unshare": (272, 97),
    "setns": (308, 268), "ptrace": (101, 117), "bpf": (321, 280), "perf_event_open": (298, 241),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265), "add_key": (248, 217), "keyctl": (250, 219),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE, CLONE3, X32, NEW_NAMESPACES = (56, 220), 435, 0x40000000, 0x7E020080
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)


def call(name: str, *arguments: object, about: str = "") -> None:
    """Call a function of the C library; raise OSError where it returns -1."""
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name} {about}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    words = [os.fsencode(word) for word in (source, target, kind)]
    call("mount", *words, flags, os.fsencode(options), about=target)


def fail(status: int, message: str) -> None:
    """Say on stderr what went wrong and end this process at once."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True)
    os._exit(status)


def execute(argv: list[str]) -> None:
    """Become the program argv[0].  Returns never: it is that program, or it has failed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec keeps that
    os.closerange(3, 1 << 16)  # what a shell above left open is not for the box
    try:
        os.execvpe(argv[0], argv, ENVIRONMENT)
    except FileNotFoundError:
        fail(127, f"{argv[0]}: command not found")
    except OSError as error:
        fail(126, f"{argv[0]}: {error.strerror}")


def new_root(root: str) -> None:
    """Make the box's file system in this mount namespace, and let go of the host's."""
    mount("", "/", flags=MS_REC | MS_PRIVATE)
    mount(root, root, flags=MS_BIND | MS_REC)
    mount("proc", root + "/proc", "proc")
    mount("/dev", root + "/dev", flags=MS_BIND | MS_REC)
    os.chdir(root)
    call("pivot_root", b".", b".", about=root)
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def drop_capabilities() -> None:
    """Keep the few of KEPT: capabilities(7)."""
    for number in range(64):
        if number not in KEPT and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == -1:
            break  # the kernel knows no more of them
    mask = sum(1 << number for number in KEPT)
    sets = struct.pack("=6I", mask, mask, 0, 0, 0, 0)  # effective, permitted, inheritable; high
    call("capset", struct.pack("=Ii", 0x20080522, 0), sets)  # version 3, this process


def seccomp_filter() -> bytes:
    """The program that the kernel runs before each system call: seccomp(2).

    An instruction is (code, how far to jump if true, how far if false, constant).
    """
    column, architecture = ARCHITECTURES[platform.machine()]
    program = [
        (LOAD, 0, 0, 4),  # struct seccomp_data: the architecture at 4,
        (IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, ENOSYS),  # a 32-bit program: its numbers mean other calls
        (LOAD, 0, 0, 0),  # the call's number at 0,
        (IF_AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, ENOSYS),  # and so do these on x86_64
        (IF_EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, ENOSYS),  # its flags are out of our sight; programs then try clone(2)
        (IF_EQUAL, 0, 4, CLONE[column]),
        (LOAD, 0, 0, 16),  # its first argument at 16
        (IF_ANY_BIT, 0, 1, NEW_NAMESPACES),
        (RETURN, 0, 0, EPERM),
        (RETURN, 0, 0, ALLOW),
    ]
    for numbers in REFUSED.values():
        program += [(IF_EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, EPERM)]
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def lock_down() -> None:
    """Give up what the command shall not have; nothing in the box can get it back."""
    drop_capabilities()
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # set-uid programs win nothing
    code = seccomp_filter()
    length = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.cast(code, ctypes.c_void_p).value)
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, length, 0, 0)


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        call("unshare", CLONE_NEWNS | CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
            new_root(os.path.abspath(sys.argv[1]))
            lock_down()
            execute(sys.argv[2:])
    except OSError as error:
        fail(125, f"cannot make the box: {error.filename}: {error.strerror}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
