#!/usr/bin/env python3
"""Step 6: process ids of the box's own, and somebody who is PID 1.

usage: 06_pid_1.py [--no-init] IMAGE BOX COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID = 0x20000000
PR_SET_PDEATHSIG = 1
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
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


def exit_status(status: int) -> int:
    """What a shell would make of a status from wait(2): 128 + N for death by signal N."""
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
    """Call this machine, as the box sees it, by the box's name."""
    hostname = os.fsencode(name)
    call("sethostname", hostname, len(hostname), about=name)


def new_mounts(image: str, box: str) -> str:
    """Make the box's file system in this mount namespace; its root."""
    mount("", "/", flags=MS_REC | MS_PRIVATE)  # or systemd's shared / would show ours to the host
    layers = ":".join(os.path.abspath(layer) for layer in image.split(":"))
    root = overlay(layers, os.path.abspath(box))
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)  # of our PID namespace
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


def pass_on_signals(pid: int) -> None:
    """Send what this process is told by kill(1) to `pid`; ctrl-c goes to everybody anyway."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: os.kill(pid, number))


def init(command: list[str]) -> None:
    """PID 1: start the command, bury whoever dies, end as the command ends.  Returns never."""
    child = os.fork()
    if child == 0:
        execute(command)
    pass_on_signals(child)
    while True:
        pid, status = os.wait()  # also for children of others, left to PID 1 as orphans
        if pid == child:
            os._exit(exit_status(status))  # and the kernel kills all who are left


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    argv = sys.argv[1:]
    run = execute if argv[:1] == ["--no-init"] else init
    argv = argv[run is execute :]
    if len(argv) < 3:
        sys.exit(__doc__)
    image, box, *command = argv
    try:
        call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID)
    except OSError as error:
        fail(125, f"cannot make the box: {error.filename}: {error.strerror}")
    pid = os.fork()  # unshare moves only our children into the new PID namespace: PID 1
    if pid == 0:
        try:
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)  # the box never outlives this program
            new_names(os.path.basename(os.path.abspath(box)))
            enter(new_mounts(image, box))
        except OSError as error:
            fail(125, f"cannot make the box: {error.filename}: {error.strerror}")
        run(command)
    pass_on_signals(pid)
    return exit_status(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
