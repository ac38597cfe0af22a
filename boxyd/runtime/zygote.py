"""The zygote: the daemon's small helper that forks shims, with everything imported beforehand.

Started by path as `python -I -S zygote.py FD`, it first copies the interpreter into sealed
memory and executes that copy, so that no box can ever write the program that its own runtime
is (CVE-2019-5736: /proc/self/exe is then a memory file that nobody can change).

Constraints: one thread; it reaps nothing but lets the kernel do so; it ends with the daemon,
shims do not.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from boxyd.runtime import midwife

_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8
_MFD_EXEC = 0x10
SEALED = "boxy-python"
_REST = 10
"""milliseconds in which a start's answer gets to whoever asked, or a short command ends: it is
them whom another spare's making would take the processor from"""


def sealed() -> bool:
    """Whether this process already runs from the sealed copy."""
    return os.readlink("/proc/self/exe").startswith(f"/memfd:{SEALED}")


def run_sealed(arguments: list[str]) -> None:
    """Execute a sealed copy of the interpreter with the same flags (memfd_create(2)).

    The program's name stays that of the real file, from which Python finds its library, even
    in a virtual environment.
    """
    source = os.open("/proc/self/exe", os.O_RDONLY | os.O_CLOEXEC)
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create(SEALED, flags | _MFD_EXEC)
    except OSError:  # Linux before 6.3 does not know the flag, nor need it
        copy = os.memfd_create(SEALED, flags)
    size = os.fstat(source).st_size
    done = 0
    while done < size:
        done += os.sendfile(copy, source, done, size - done)
    os.fchmod(copy, 0o500)
    fcntl.fcntl(copy, _F_ADD_SEALS, _ALL_SEALS)
    more = ["-B"] if sys.flags.dont_write_bytecode else []
    os.execve(copy, [sys.executable, "-I", "-S", *more, *arguments], {"LC_ALL": "C.UTF-8"})


def main(link: socket.socket) -> None:
    """Keep one spare shim ready, until the daemon closes the connection.

    A fork and the first touch of each page are most of what a shim costs (some milliseconds),
    so that is paid before the launch is asked for: the spare's midwife waits for the next launch
    message, tells the zygote that it took one, and by closing the pipe that its box runs.
    """
    from boxyd.runtime import midwife, report, shim
    from boxyd.runtime import syscalls as sys_

    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.set_name("boxy-zygote")
    sys_.set_title("boxy-zygote")
    for number in shim.IGNORED:
        signal.signal(number, signal.SIG_IGN)
    usual = midwife.Usual(1 << 30)  # where the daemon begins; a wrong guess costs milliseconds
    for made in midwife.warm_up(usual).spaces.values():
        made.close()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is reaped by the kernel
    # All that a start needs is loaded.  A box's first process forgets where modules are found;
    # to free these lists of files there would cost it half a millisecond of copied pages.
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()
    gc.disable()
    report.send(link, b"ready")
    while not _ended(link):
        ours, theirs = os.pipe()
        pid = _fork()
        if pid == 0:
            os.close(ours)
            _spare(link, theirs, usual)
        os.close(theirs)
        if pid > 0:
            _wait_for_need(link, ours, usual)
        os.close(ours)


def _wait_for_need(link: socket.socket, spare: int, usual: midwife.Usual) -> None:
    """Until another spare is needed: the one there is has its box running (or died), so that
    forking does not take the processor from a start; or the next launch is waiting already.

    Notes what the spare says of the next box.
    """
    from boxy_core import wirejson

    if not (base := os.read(spare, 16)):
        return
    usual.base = int(base)
    poll = select.poll()
    poll.register(link, select.POLLIN)
    poll.register(spare, select.POLLIN)
    found = poll.poll()
    if any(fd == spare for fd, _ in found) and (recipe := os.read(spare, 1 << 16)):
        usual.learn(wirejson.loads(recipe))
        poll.unregister(spare)
        found = poll.poll(_REST)
    usual.hurry = any(fd == link.fileno() for fd, _ in found)


def _spare(link: socket.socket, zygote: int, usual: midwife.Usual) -> None:
    """A shim that waits for its box, and its child that will make it; both die with the zygote
    until they have one."""
    from boxyd.runtime import midwife, report, shim
    from boxyd.runtime import syscalls as sys_

    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    shim.settle()
    ours, theirs = report.pair()
    pid = _fork()
    if pid < 0:
        os._exit(1)
    if pid == 0:
        ours.close()
        midwife.wait_for_box(link, theirs, zygote, usual)
    theirs.close()
    link.close()
    os.close(zygote)
    shim.main(ours, pid)


def _ended(link: socket.socket) -> bool:
    """Whether the daemon has closed the connection."""
    try:
        return not link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _fork() -> int:
    """fork(2); -1 after a pause when there is no room for another process."""
    try:
        return os.fork()
    except OSError as error:
        os.write(2, f"boxy-zygote: no shim could be forked: {error}\n".encode())
        time.sleep(0.2)
        return -1


if __name__ == "__main__":
    if not sealed():
        run_sealed(sys.argv)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.append(os.path.dirname(os.path.dirname(here)))
    main(socket.socket(fileno=int(sys.argv[1])))
