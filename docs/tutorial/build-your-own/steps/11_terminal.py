#!/usr/bin/env python3
"""Step 11: a terminal of the box's own, which stays when its viewers leave.
usage: 11_terminal.py SOCKET ROOT COMMAND [ARGUMENT...]     then: attach.py SOCKET
"""

import contextlib
import ctypes
import fcntl
import os
import selectors
import signal
import socket
import sys
import termios
import warnings  # noqa: F401 - os.execvpe needs it, and finds no module in another root

CLONE_NEWNS, CLONE_NEWPID, PR_SET_PDEATHSIG = 0x00020000, 0x20000000, 1
MNT_DETACH, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 8, 4096, 16384, 1 << 18
ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "TERM": "xterm"}
HISTORY = 64 << 10  # bytes of output that a viewer who comes later is shown first
libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p,) * 3 + (ctypes.c_ulong, ctypes.c_char_p)


def call(name: str, *arguments: str | bytes | int) -> None:
    """Call a function of the C library; raise OSError where it returns -1."""
    words = [os.fsencode(word) if isinstance(word, str) else word for word in arguments]
    if getattr(libc, name)(*words) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name}{arguments[:2]}")


def box(talk: socket.socket, root: str, command: list[str]) -> None:
    """In the box: make its files and its terminal, hand the master end out, be the command."""
    stderr = os.dup(2)
    try:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
        call("mount", "", "/", "", MS_REC | MS_PRIVATE, "")
        call("mount", root, root, "", MS_BIND | MS_REC, "")
        call("mount", "proc", root + "/proc", "proc", 0, "")
        call("mount", "/dev", root + "/dev", "", MS_BIND | MS_REC, "")
        call("mount", "devpts", root + "/dev/pts", "devpts", MS_NOEXEC, "ptmxmode=666,mode=620")
        call("mount", root + "/dev/pts/ptmx", root + "/dev/ptmx", "", MS_BIND, "")
        os.chdir(root)
        call("pivot_root", ".", ".")
        call("umount2", ".", MNT_DETACH)
        os.chdir("/")
        master, slave = os.openpty()
        socket.send_fds(talk, [b"the other end"], [master])
        os.setsid()  # a session of its own, whose controlling terminal ...
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)  # ... this is: ctrl-c and job control work
        for number in (0, 1, 2):
            os.dup2(slave, number)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT):  # a shell's "&" ignores two
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, ENVIRONMENT)
    except OSError as error:
        what = os.fsdecode(error.filename or command[0])
        os.write(stderr, f"cannot start the box: {what}: {error.strerror}\n".encode())
    os._exit(125)


class Terminal:
    """What stands between a terminal and its viewers; SOCK_SEQPACKET keeps messages apart.

    A viewer sends b"k" and keys, or b"w" and a size; it is sent b"o" and output, b"x" and status.
    """

    def __init__(self, path: str) -> None:
        self.history, self.viewers = b"", list[socket.socket]()
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen()
        self.selector.register(self.listener, selectors.EVENT_READ, self.on_viewer)

    def serve(self, master: int) -> None:
        """Until nobody in the box has the terminal open any more."""
        self.master = master
        self.selector.register(master, selectors.EVENT_READ, self.on_output)
        while master in self.selector.get_map():
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def on_output(self, master: int) -> None:
        """The box wrote something: remember and show it."""
        try:
            output = os.read(master, 4096)
            self.history = (self.history + output)[-HISTORY:]
            self.show(b"o" + output, *self.viewers)
        except OSError:  # EIO: the last one closed it
            self.selector.unregister(master)

    def on_viewer(self, listener: socket.socket) -> None:
        """Somebody wants to look."""
        viewer, _ = listener.accept()
        self.viewers.append(viewer)
        self.selector.register(viewer, selectors.EVENT_READ, self.on_message)
        self.show(b"o" + self.history, viewer)

    def on_message(self, viewer: socket.socket) -> None:
        """A viewer typed, changed its window, or left."""
        message = b""
        with contextlib.suppress(OSError):
            message = viewer.recv(65536)
        if message[:1] == b"k":
            os.write(self.master, message[1:])
        elif message[:1] == b"w" and len(message) == 5:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, message[1:] + bytes(4))
        elif viewer in self.viewers:
            self.viewers.remove(viewer)
            self.selector.unregister(viewer)
            viewer.close()

    def show(self, message: bytes, *viewers: socket.socket) -> None:
        """Send, but never wait: a viewer whose queue is full is let go, and may come again."""
        for viewer in viewers:
            try:
                viewer.send(message, socket.MSG_DONTWAIT)
            except OSError:
                viewer.shutdown(socket.SHUT_RDWR)  # so that on_message finds its end


def run(path: str, root: str, command: list[str]) -> int:
    """Run a command in a box whose terminal is served at the socket `path`; its exit status."""
    terminal = Terminal(path)
    try:
        call("unshare", CLONE_NEWNS | CLONE_NEWPID)
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            box(theirs, root, command)
        theirs.close()
        for master in socket.recv_fds(ours, 64, 1)[1]:  # none, if the box could not be made
            terminal.serve(master)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        status = code if code >= 0 else 128 - code
        terminal.show(b"x" + bytes([status]), *terminal.viewers)
        return status
    finally:
        os.unlink(path)


if __name__ == "__main__":
    words = sys.argv[1:]
    try:
        sys.exit(run(words[0], os.path.abspath(words[1]), words[2:]) if words[2:] else __doc__)
    except (KeyboardInterrupt, OSError) as error:
        sys.exit(f"11_terminal.py: {words[0]}: {getattr(error, 'strerror', 'interrupted')}")
