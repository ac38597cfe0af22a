"""How long the command line takes to be there, beside the least that Python itself takes.

    python -m benchmarks.startup [--rounds 40] [--json FILE]

The measure is `python -c 'import socket, json, argparse'` by the same interpreter in the same
rounds: a client needs at least that. `boxy run (client)` talks to a stand-in that answers at
once, so the box's own making is left out; `benchmarks.lifecycle` has the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import _boxy
from benchmarks._timing import Command, Series, take_turns
from boxy_core import models, protocol

BASE = "python, bare client"
GOAL = 2.5
BOX = models.to_builtins(
    models.Box(
        id="0123456789ab" * 5 + "0123",
        name="stand-in",
        image="alpine",
        spec=models.BoxSpec(image="alpine"),
        status=models.Status.EXITED,
        exit=models.ExitInfo(status=0),
    )
)


class StandIn:
    """A daemon in name only: every box exists, and ends well as soon as it is started."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        """Answer request after request until the client goes or a stream has ended."""
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                data = connection.recv(65536)
                if not data:
                    return
                pending += data
            head, _, pending = pending.partition(b"\r\n\r\n")
            fields = dict(
                line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
            )
            length = int(fields.get(b"content-length", b"0"))
            while len(pending) < length:
                pending += connection.recv(65536)
            pending = pending[length:]
            if b"upgrade" in fields:
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    b"Upgrade: boxy-stream\r\n\r\n"
                    + protocol.frame(protocol.REPLAY_END)
                    + protocol.frame(protocol.EXIT, b'{"status":0,"signal":0,"oom":false}')
                )
                return
            self._answer(connection, head)

    @staticmethod
    def _answer(connection: socket.socket, head: bytes) -> None:
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        path = target.partition(b"?")[0]
        answer: object = BOX
        if path.endswith(b"/version"):
            answer = {"version": "0", "api": 1, "python": "", "kernel": "", "pid": 1, "socket": ""}
        elif method == b"GET" and path.endswith(b"/boxes"):
            answer = [BOX]
        body = json.dumps(answer).encode()
        status = b"201 Created" if method == b"POST" else b"200 OK"
        connection.sendall(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(body), body)
        )


@contextmanager
def stand_in() -> Iterator[dict[str, str]]:
    """The environment of a client that talks to a stand-in."""
    with tempfile.TemporaryDirectory(prefix="bx-") as folder:
        daemon = StandIn(f"{folder}/s")
        try:
            yield {**os.environ, "BOXY_SOCKET": f"{folder}/s"}
        finally:
            daemon.close()


def measure(rounds: int) -> dict[str, Series]:
    """Time each start, in turns."""
    boxy = _boxy.program("boxy")
    with stand_in() as quick, _boxy.own_daemon() as (daemon, _):
        real = daemon.env
        contestants = {
            BASE: Command([sys.executable, "-c", "import socket, json, argparse"]),
            "boxy version": Command([*boxy, "version"], real),
            "boxy ps": Command([*boxy, "ps"], real),
            "boxy run (client)": Command([*boxy, "run", "alpine", "true"], quick),
            "boxy run (whole)": Command([*boxy, "run", "--rm", "alpine", "true"], real),
        }
        return take_turns(contestants, rounds, pause=0.01)


def main() -> int:
    """Measure, print a table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="also write every single time here")
    options = parser.parse_args()
    series = measure(options.rounds)
    base = series[BASE]
    print(f"\n### Start of the command line (Python {sys.version.split()[0]})\n")
    print("| | median ms | p95 ms | times the bare client | goal |\n|---|--:|--:|--:|--:|")
    missed = False
    for name, them in series.items():
        if them.failure:
            print(f"| {name} | failed: {them.failure} | | | |")
            missed = True
            continue
        ratio = them.ratio(base)
        bounded = name in ("boxy version", "boxy ps", "boxy run (client)")
        verdict = f"≤ {GOAL} {'✓' if ratio <= GOAL else '✗'}" if bounded else ""
        missed = missed or (bounded and ratio > GOAL)
        print(f"| {name} | {them.median:.1f} | {them.p95:.1f} | {ratio:.2f} | {verdict} |")
    if options.json:
        options.json.write_text(json.dumps({name: s.taken for name, s in series.items()}))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
