#!/usr/bin/env python3
"""Step 0: start a program and wait for it.   usage: 00_fork_exec.py COMMAND [ARGUMENT...]"""

import os
import signal
import sys


def fail(status: int, message: str) -> None:
    """Say on stderr what went wrong and end this process at once."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True)
    os._exit(status)


def execute(argv: list[str]) -> None:
    """Become the program argv[0].  Returns never: it is that program, or it has failed."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec keeps that
    try:
        os.execvp(argv[0], argv)
    except FileNotFoundError:
        fail(127, f"{argv[0]}: command not found")
    except OSError as error:
        fail(126, f"{argv[0]}: {error.strerror}")


def wait(pid: int) -> int:
    """Wait until a child ends; its status as a shell gives it: 128 + N for death by signal N."""
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def run(argv: list[str]) -> int:
    """Run a program as a child of this process; its exit status."""
    pid = os.fork()
    if pid == 0:  # from here on there are two of us, and this is the child
        execute(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is meant for the child
    return wait(pid)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
