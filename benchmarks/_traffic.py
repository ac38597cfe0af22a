"""Traffic that all tools carry alike: a server, and a client that measures and prints.

Both are programs of a few lines, run by this machine's own Python, which each container is shown
(`SHOWN`), so that all run the same ones.
"""

from __future__ import annotations

PORT = 5000
SECONDS = 1.5
TIMES = 300
SHOWN = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
PYTHON = "/usr/bin/python3"

_SERVER = f"""
import os, socket, threading
os.sched_setaffinity(0, {{max(os.sched_getaffinity(0))}})  # the other side is on another one
def serve(c):
    c.setsockopt(6, socket.TCP_NODELAY, 1)
    kind, b = c.recv(1), memoryview(bytearray(1 << 20))
    while n := c.recv_into(b):
        if kind == b"e":
            c.send(b[:n])
s = socket.create_server(("0.0.0.0", {PORT}), backlog=4096)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

_CLIENT = f"""
import json, os, socket, statistics, sys, time
os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
where = sys.argv[1], int(sys.argv[2])
now = time.perf_counter
until = now() + 10
while True:
    try:
        socket.create_connection(where, 2).close()
        break
    except OSError:
        if now() > until:
            raise
        time.sleep(0.02)
connects = []
for _ in range({TIMES}):
    begun = now()
    s = socket.create_connection(where)
    connects.append(now() - begun)
    s.close()
s = socket.create_connection(where)
s.setsockopt(6, socket.TCP_NODELAY, 1)
s.send(b"e")
rounds = []
for _ in range({TIMES} * 5):
    begun = now()
    s.send(b"x")
    s.recv(1)
    rounds.append(now() - begun)
s.close()
s = socket.create_connection(where)
data, sent, begun = bytes(256 << 10), s.send(b"s"), now()
while now() < begun + {SECONDS}:
    sent += s.send(data)
print(json.dumps({{
    "Gbit/s": 8 * sent / (now() - begun) / 1e9,
    "connect µs": 1e6 * statistics.median(connects),
    "round trip µs": 1e6 * statistics.median(rounds),
}}))
"""

SERVER = (PYTHON, "-c", _SERVER)


def client(address: str, port: int) -> tuple[str, ...]:
    """The client's command line; it prints JSON: Gbit/s, connect µs, round trip µs."""
    return (PYTHON, "-c", _CLIENT, address, str(port))
