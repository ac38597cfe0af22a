#!/usr/bin/env python3
"""Step 7: root in the box, nobody outside; no root needed to make it.

usage: 07_user_namespace.py [--ids BASE] IMAGE BOX COMMAND [ARGUMENT...]
--ids: the box's ids 0..65535 are BASE, BASE+1, ... outside (only root may give that many).
"""

import ctypes
import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWUSER = 0x20000000, 0x10000000
NEW = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
MNT_DETACH, PR_SET_PDEATHSIG = 2, 1
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
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


def overlay(image: str, box: str) -> str:
    """Lay the box's own folder `upper` over the image; where the two are seen as one."""
    upper, work, merged = (f"{box}/{name}" for name in ("upper", "work", "merged"))
    for folder in (upper, work, merged):
        os.makedirs(folder, exist_ok=True)
    for layer in image.split(":"):
        os.stat(layer)  # a plain error where there is none: overlayfs would complain of `merged`
    options = f"lowerdir={image},upperdir={upper},workdir={work},userxattr"
    mount("overlay", merged, "overlay", MS_NODEV, options)
    return merged


def new_root(image: str, box: str) -> None:
    """Make the box's file system in this mount namespace, and let go of the host's."""
    mount("", "/", flags=MS_REC | MS_PRIVATE)  # or systemd's shared / would show ours to the host
    root = overlay(image, box)
    mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)  # of our PID namespace
    mount("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m")
    mount("tmpfs", root + "/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in DEVICES:
        write(f"{root}/dev/{name}", "")  # a bind mount of a file needs a file to lie on
        mount(f"/dev/{name}", f"{root}/dev/{name}", flags=MS_BIND)
    os.chdir(root)
    call("pivot_root", b".", b".", about=root)
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def write(path: str, text: str) -> None:
    """Write a file of the kernel's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def become_root_of_nothing() -> None:
    """A user namespace in which the ordinary user that we are is called root."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", NEW, about="(may this user make user namespaces?)")
    write("/proc/self/setgroups", "deny")  # leaving a group may not win rights
    write("/proc/self/uid_map", f"0 {uid} 1")
    write("/proc/self/gid_map", f"0 {gid} 1")


def become_root_of_a_range(base: int) -> None:
    """The same with 65536 ids.  Only root outside may give them, so a child stays there."""
    us = os.readlink("/proc/self")  # our pid as this /proc counts, which is not always getpid()
    wait, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        os.read(wait, 1)  # b"" once the other end is closed
        for kind in ("uid_map", "gid_map"):
            write(f"/proc/{us}/{kind}", f"0 {base} 65536")
        os._exit(0)
    call("unshare", NEW)
    os.close(go)
    if os.waitpid(helper, 0)[1]:
        fail(125, "the ids could not be mapped: only root may give a range")
    os.setresgid(0, 0, 0)  # until now we were somebody whom the map does not know
    os.setresuid(0, 0, 0)
    os.setgroups([])


def main() -> int:
    """Read the arguments and run the command; its exit status."""
    argv, base = sys.argv[1:], 0
    if argv[:1] == ["--ids"]:
        base, argv = int(argv[1]), argv[2:]
    if len(argv) < 3:
        sys.exit(__doc__)
    image = ":".join(os.path.abspath(layer) for layer in argv[0].split(":"))
    box, *command = os.path.abspath(argv[1]), *argv[2:]
    try:
        os.makedirs(box, exist_ok=True)
        if base:
            os.chown(box, base, base)
            become_root_of_a_range(base)
        else:
            become_root_of_nothing()
        pid = os.fork()
        if pid == 0:
            call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
            new_root(image, box)
            execute(command)
    except OSError as error:
        fail(125, f"cannot make the box: {error.filename or 'ids'}: {error.strerror}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
