"""Make the README's pictures: real boxes on a daemon of their own, drawn by the console itself.

    sudo python docs/make_pictures.py [--seconds 110]

A small shop works for so long, so that its curves have something to show; then the console draws
docs/images/console.svg (the first screen) and docs/images/terminals.svg (panes with htop and vim,
which this machine must have).  Look at them before you commit them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from textual import events  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from benchmarks import _boxy  # noqa: E402
from boxy_tui.app import BoxyApp  # noqa: E402
from boxy_tui.state import Link  # noqa: E402
from tests.support.daemon import Daemon  # noqa: E402

IMAGES = REPOSITORY / "docs/images"
SIZE = (124, 36)
SHOP = '''\
"""The shop: answers, and counts what it sold."""

import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shop(BaseHTTPRequestHandler):
    """One page, of some size."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"tea " * 6000)


def keep_books() -> None:
    """Work and remember in waves, as a shop's days go."""
    shelf = []
    while True:
        wave = 1 + math.sin(time.time() / 9) + 0.4 * math.sin(time.time() / 3)
        end = time.monotonic() + 0.11 * max(0.1, wave)
        while time.monotonic() < end:
            pass
        shelf = [bytearray(1 << 20) for _ in range(int(18 + 16 * wave))]
        with open("/tmp/books", "wb", buffering=0) as books:
            books.write(b"tea" * int(200_000 * max(0.1, wave)))
        time.sleep(0.3)


threading.Thread(target=keep_books, daemon=True).start()
ThreadingHTTPServer(("", 8080), Shop).serve_forever()
'''
VISITOR = (
    "while :; do for i in 1 2 3 4 5 6 7 8; do wget -qO /dev/null http://web:8080; done; "
    "sleep 0.$(( $(date +%s) / 7 % 9 )); done"
)
DATABASE = (
    "n=0; while :; do dd if=/dev/zero of=/var/lib/db/page bs=256k count=12 conv=fsync 2>/dev/null; "
    "n=$((n+1)); echo checkpoint $n; sleep 0.4; done"
)

PROMPT = r"PS1='\[\e[1;32m\]\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]# '; clear"
PANES = (
    ("htop -d 20", ()),
    ("vim shop.py", (":syntax on | set number nowrap", ":18")),
    ("bash --norc", (PROMPT, "curl -s localhost:8080 | wc -c", "ss -tln | head -3", "df -h /")),
    ("python3 -q", ("import os, socket", "socket.gethostname(), os.getpid()", "sum(range(10**6))")),
)
"""What is asked for, and what is typed there then."""


def open_shop(daemon: Daemon, folder: Path) -> None:
    """The boxes that the pictures show."""
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    bounds = ("--memory", "192m", "--cpus", "0.5", "--pids-limit", "64")
    daemon.run("network", "create", "shop")
    daemon.run(
        *("create", "-it", "--name", "web", "--hostname", "web", "--network", "shop"),
        *("-p", "8080:8080", *bounds, "-w", "/srv", "host", "python3", "shop.py"),
    )
    daemon.run("cp", str(folder / "shop.py"), "web:/srv/shop.py")
    daemon.run("start", "web")
    on_shop = ("run", "-d", "--network", "shop")
    daemon.run(*on_shop, "--name", "visitor", "alpine", "sh", "-c", VISITOR)
    store = ("-v", "tea:/var/lib/db", "--memory", "256m")
    daemon.run(*on_shop, "--name", "db", *store, "alpine", "sh", "-c", DATABASE)
    daemon.run(*on_shop, "-it", "--name", "shell", "host", "bash")
    daemon.run(*on_shop, "--name", "cache", "alpine", "sleep", "1000000")
    daemon.run("pause", "cache")
    daemon.run("run", "-d", "--name", "migrate", "alpine", "sh", "-c", "sleep 1; exit 3")
    daemon.run("run", "-d", "--name", "nightly", "alpine", "sh", "-c", "exit 0")


async def draw(daemon: Daemon) -> None:
    """Both pictures."""
    app = BoxyApp(str(daemon.paths.socket))
    app.animation_level = "none"
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.state.link is Link.LIVE and len(app.main.boxes.keys) > 6)
        box = next(box for box in app.state.boxes.values() if box.name == "web")
        app.main.boxes.go_to(box.id)
        for name in ("migrate", "nightly", "migrate"):
            await asyncio.to_thread(daemon.run, "start", name)
            await pilot.pause(1.5)
        await pilot.pause(10)
        save(app, "console.svg", "boxy-tui")
        await draw_panes(app, pilot)


async def draw_panes(app: BoxyApp, pilot: Pilot[str]) -> None:
    """Four panes on one box, each a command that was asked for by `E`."""
    for line, then in PANES:
        await pilot.press("E")
        for letter in line:
            app.post_message(events.Key(letter, letter))
        await pilot.press("enter")
        await pilot.pause(1.5)
        pane = app.panes[app.main.boxes.current].current
        assert pane is not None
        for typed in then:
            pane.type_bytes(typed.encode() + b"\r")
            await pilot.pause(0.7)
        if line != PANES[-1][0]:
            await pilot.press("ctrl+right_square_bracket", "d")
    await pilot.press("ctrl+right_square_bracket", "z")
    await pilot.pause(4)
    await pilot.press("ctrl+right_square_bracket", "3")
    await pilot.pause(4)
    save(app, "terminals.svg", "boxy-tui")


async def until(pilot: Pilot[str], holds: Callable[[], object]) -> None:
    """Wait until it holds."""
    while not holds():
        await pilot.pause(0.1)


def save(app: BoxyApp, name: str, title: str) -> None:
    """Write a picture."""
    (IMAGES / name).write_text(app.export_screenshot(title=title), encoding="utf-8")
    print(f"{IMAGES / name}: {SIZE[0]} by {SIZE[1]}")


def main() -> None:
    """Open the shop, let it work, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=110.0, help="that the shop works first")
    options = parser.parse_args()
    with _boxy.own_daemon() as (daemon, _):
        open_shop(daemon, daemon.folder / "srv")
        time.sleep(options.seconds)
        asyncio.run(draw(daemon))


if __name__ == "__main__":
    main()
