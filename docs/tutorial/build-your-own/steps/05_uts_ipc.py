#!/usr/bin/env python3
"""Step 5: a host name, and System V queues, of the box's own.

usage: 05_uts_ipc.py IMAGE BOX COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
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


def overlay(image: str, box: str) -> str:
    """Lay the box's own folder `upper` over the image; where the two are seen as one."""
    upper, work, merged = (f"{box}/{name}" for name in ("upper", "work", "merged"))
    for folder in (upper, work, merged):
        os.makedirs(folder, exist_ok=True)
    for layer in image.split(":"):
        os.stat(layer)  # a plain error where there is none: overlayfs would complain of `merged`
    if set(image + box) & set(",\\"):  # they mean something in the line of options below
        raise OSError(22, "overlayfs takes no comma and no backslash", f"{image} {box}")
    options = f"lowerdir={image},upperdir={upper},workdir={work},userxattr"
    mount("overlay", merged, "overlay", MS_NODEV, options)
    return merged


def new_names(name: str) -> None:
    """Give this process's namespaces for names and for IPC up for new ones."""
    call("unshare", CLONE_NEWUTS | CLONE_NEWIPC)
    hostname = os.fsencode(name)
    call("sethostname", hostname, len(hostname), about=name)


def new_mounts(image: str, box: str) -> str:
    """Leave the host's mounts for a copy, make the box's file system there; its root."""
    call("unshare", CLONE_NEWNS)
    mount("", "/", flags=MS_REC | MS_PRIVATE)  # or systemd's shared / would show ours to the host
    layers = ":".join(os.path.abspath(layer) for layer in image.split(":"))
    root = overlay(layers, os.path.abspath(box))
    mount("/proc", root + "/proc", flags=MS_BIND | MS_REC)  # the host's, until step 6
    mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    mount("tmpfs", root + "/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in DEVICES:
        with open(f"{root}/dev/{name}", "w", encoding="ascii"):
            pass  # a bind mount of a file needs a file to lie on
        mount(f"/dev/{name}", f"{root}/dev/{name}", flags=MS_BIND)
    return root


def enter(root: str) -> None:
    """Make `root` the root of this mount namespace, and let go of the old one."""
    os.chdir(root)
    call("pivot_root", b".", b".", about=root)  # the old root now lies on top of the new one ...
    call("umount2", b".", MNT_DETACH)  # ... and is taken off
    os.chdir("/")


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    image, box, *command = sys.argv[1:]
    pid = os.fork()
    if pid == 0:
        try:
            new_names(os.path.basename(os.path.abspath(box)))
            enter(new_mounts(image, box))
        except OSError as error:
            fail(125, f"cannot make the box: {error.filename}: {error.strerror}")
        execute(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return wait(pid)


if __name__ == "__main__":
    sys.exit(main())
