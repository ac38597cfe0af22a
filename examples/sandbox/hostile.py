"""What somebody might hand in: it tries to steal, to phone home, and to take the machine down."""

import os
import signal
import socket


def attempt(what, deed):
    """Try something, and tell how far it got."""
    try:
        print(f"{what}: got {deed()!r}", flush=True)
    except OSError as error:
        print(f"{what}: {error.strerror}", flush=True)


def fork_bomb():
    """As many processes as it can have."""
    children = 0
    while True:
        if os.fork() == 0:
            signal.pause()
        children += 1
        if children > 1000:
            return children


attempt("read the passwords", lambda: open("/etc/shadow").read())
attempt("change a program", lambda: open("/usr/bin/ls", "w"))
attempt("become root", lambda: os.setuid(0))
attempt("phone home", lambda: socket.create_connection(("192.0.2.1", 80), timeout=2))
attempt("fill the machine with processes", fork_bomb)
print("eat all memory:", flush=True)
hoard = [bytearray(1 << 20) for _ in range(1 << 20)]
