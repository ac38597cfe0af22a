#!/usr/bin/env python3
"""Step 1: another root directory.   usage: 01_chroot.py [--escape] ROOT COMMAND [ARGUMENT...]"""

import os
import signal
import sys
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "TERM": "xterm"}


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
            enter(root)
            if wants_out:
                escape()
        except OSError as error:
            fail(125, f"cannot enter {root}: {error.strerror}")
        execute(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return wait(pid)


if __name__ == "__main__":
    sys.exit(main())
