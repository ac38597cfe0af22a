#!/usr/bin/env python3
"""attach.py SOCKET: this terminal shows the one that is served there.  ctrl-] leaves it."""

import contextlib
import os
import selectors
import signal
import socket
import struct
import sys
import termios
import tty

LEAVE = b"\x1d"  # ctrl-]


def attach(path: str) -> int:
    """Show a terminal here, send it what is typed here; the command's exit status."""
    ours = sys.stdin.fileno()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(path)

    def resized(*_: object) -> None:
        size = os.get_terminal_size(ours)
        send(sock, b"w" + struct.pack("=HH", size.lines, size.columns))

    with contextlib.ExitStack() as undo:
        if os.isatty(ours):
            undo.callback(termios.tcsetattr, ours, termios.TCSAFLUSH, termios.tcgetattr(ours))
            tty.setraw(ours)  # keys come one by one, and ctrl-c is but a key
            signal.signal(signal.SIGWINCH, resized)
            resized()
        return copy(ours, sock)


def send(sock: socket.socket, message: bytes) -> None:
    """Send it, if anybody is there: that nobody is, `copy` will read."""
    with contextlib.suppress(OSError):
        sock.send(message)


def copy(ours: int, sock: socket.socket) -> int:
    """Keys one way, output the other, until one side ends."""
    selector = selectors.PollSelector()
    selector.register(sock, selectors.EVENT_READ)
    selector.register(ours, selectors.EVENT_READ)
    while True:
        ready = [key.fileobj for key, _ in selector.select()]
        if sock in ready:
            try:
                message = sock.recv(1 << 17)
            except ConnectionResetError:  # it ended before it had read all that we sent;
                continue  # what it said before is still to be read
            if message[:1] != b"o":
                return message[1] if message[:1] == b"x" else 125
            os.write(sys.stdout.fileno(), message[1:])
        if ours in ready:
            typed = os.read(ours, 4096)
            keys, leave, _ = typed.partition(LEAVE)
            if keys:
                send(sock, b"k" + keys)
            if leave:
                return 0
            if not typed:  # the end of a file or pipe
                selector.unregister(ours)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(attach(sys.argv[1]))
    except OSError as error:
        sys.exit(f"attach.py: {sys.argv[1]}: {error.strerror}")
