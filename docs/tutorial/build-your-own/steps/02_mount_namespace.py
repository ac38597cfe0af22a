#!/usr/bin/env python3
"""Step 2: mounts that only the box sees.

usage: 02_mount_namespace.py [--escape] ROOT COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "TERM": "xterm"}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

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
    try:
        os.execvpe(argv[0], argv, ENVIRONMENT)
    except FileNotFoundError:
        fail(127, f"{argv[0]}: command not found")
    except OSError as error:
        fail(126, f"{argv[0]}: {error.strerror}")


def wait(pid: int) -> int:
    """Wait until a child ends; its status as a shell gives it: 128 + N for death by signal N."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def new_mounts(root: str) -> None:
    """Leave the host's table of mounts for a copy, and mount what a box needs below `root`."""
    call("unshare", CLONE_NEWNS)
    mount("", "/", flags=MS_REC | MS_PRIVATE)  # or systemd's shared / would show ours to the host
    mount("/proc", root + "/proc", flags=MS_BIND | MS_REC)  # the host's, until step 6
    mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    mount("tmpfs", root + "/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in DEVICES:
        with open(f"{root}/dev/{name}", "w", encoding="ascii"):
            pass  # a bind mount of a file needs a file to lie on
        mount(f"/dev/{name}", f"{root}/dev/{name}", flags=MS_BIND)


def enter(root: str) -> None:
    """Make `root` this process's root directory."""
    os.chroot(root)
    os.chdir("/")  # or the working directory would still be outside


def escape() -> None:
    """Break out of a chroot(2), as anyone with CAP_SYS_CHROOT can."""
    inside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir("way-out")
    os.chroot("way-out")  # our working directory is now above our root ...
    os.rmdir("way-out", dir_fd=inside)
    for _ in range(100):
        os.chdir("..")  # ... so nothing stops us on the way up
    os.chroot(".")


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    argv = sys.argv[1:]
    wants_out = argv[:1] == ["--escape"]
    argv = argv[wants_out:]
    if len(argv) < 2:
        sys.exit(__doc__)
    root, *command = argv
    pid = os.fork()
    if pid == 0:
        try:
            new_mounts(root)
            enter(root)
            if wants_out:
                escape()
        except OSError as error:
            fail(125, f"cannot make the box: {error.filename}: {error.strerror}")
        execute(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return wait(pid)


if __name__ == "__main__":
    sys.exit(main())
