"""The console ends with its terminal.

A terminal that goes away sends SIGHUP to the session that it controls.  Where it controls none (a
program that runs us on a pseudo-terminal and is killed), all there is to see is POLLHUP: reading
gives nothing for ever, which costs a processor, and the first write that fails leaves the console
waiting for its own output.  So somebody waits for it, and sends the signal that was missing.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time

GRACE = 0.5
"""seconds for the signal; whoever ignores it (nohup(1)) has no terminal all the same"""


def end_with_terminal(fd: int = 0) -> None:
    """Have this process ended by SIGHUP when the terminal `fd` is gone (poll(2), POLLHUP)."""
    threading.Thread(target=_wait, args=(fd,), name="boxy-hangup", daemon=True).start()


def _wait(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, 0)  # POLLHUP and POLLERR are told unasked
    poll.poll()
    os.kill(os.getpid(), signal.SIGHUP)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGHUP)
