"""A console whose terminal is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGHUP, getattr(signal, sys.argv[1]))
from boxy_tui.hangup import end_with_terminal
end_with_terminal()
print("waits", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("handled", "status"), [("SIG_DFL", -signal.SIGHUP), ("SIG_IGN", 128 + signal.SIGHUP)]
)
def test_it_ends_although_the_terminal_controls_no_session(handled: str, status: int) -> None:
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, handled],
        stdin=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(slave)
    assert process.stdout is not None
    assert process.stdout.readline() == b"waits\n"
    assert process.poll() is None
    os.close(master)
    assert process.wait(20) == status
    process.stdout.close()
