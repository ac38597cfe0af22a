#!/usr/bin/env python3
"""Step 13, the daemon: HTTP on a Unix socket; everything lies below $TINY_ROOT."""

import contextlib
import encodings.idna  # noqa: F401 - looked for by name when a host is, and then out of reach
import fcntl
import http.server
import importlib
import itertools
import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
users = importlib.import_module("07_user_namespace")
images = importlib.import_module("12_pull")
ROOT = Path(os.environ.get("TINY_ROOT", "/var/lib/tiny"))
STORE, BOXES, SOCKET = ROOT / "store", ROOT / "boxes", ROOT / "tiny.sock"
BASE = 100_000  # who root in a box is outside


class Refused(Exception):
    """What is said to the one who asked: an HTTP status and a sentence."""


def pull(url: str) -> dict:
    """Fetch an image; bytes from the network are touched by nobody who has power here.

    The child is root of a user namespace only: it can give files their owners, BASE and up.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            users.become_root_of_a_range(BASE)
            images.pull(url, str(STORE))
        except (OSError, ValueError, KeyError, tarfile.TarError) as error:
            os.write(theirs, str(error).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as trouble:
        said = trouble.read()
    os.waitpid(child, 0)
    if said:
        raise Refused(502, f"{url} could not be pulled: {said}")
    return {"pulled": url}


def run(name: str, command: list[str]) -> dict:
    """Make a box's folder, have a shim make the box; where its terminal is."""
    image = STORE / "images" / f"{os.path.basename(name)}.json"
    if not image.exists():
        raise Refused(404, f"there is no image {name}: pull it first")
    box = json.loads(image.read_text())
    box |= {"image": name, "command": command or box["command"]}
    folder = next(path for n in itertools.count(1) if not (path := BOXES / f"b{n}").exists())
    folder.mkdir(mode=0o711)
    (folder / "box.json").write_text(json.dumps(box))
    os.chown(folder, BASE, BASE)
    ours, theirs = os.pipe()
    words = [sys.executable, HERE / "13_box.py", folder, str(theirs)]
    subprocess.Popen(words, pass_fds=[theirs], start_new_session=True)
    os.close(theirs)
    with os.fdopen(ours) as trouble:  # its end comes when the command runs, or nobody is left
        if said := trouble.read():
            raise Refused(500, f"{folder.name} could not be started: {said}")
    return {"name": folder.name, "terminal": str(folder / "terminal")}


def about(folder: Path) -> dict:
    """What `ps` shows of a box: it is all on disk, so that a new daemon knows it too."""
    box = json.loads((folder / "box.json").read_text())
    status = "running" if (folder / "terminal").exists() else "lost"
    if (folder / "exit").exists():
        status = f"exited ({(folder / 'exit').read_text()})"
    return {"name": folder.name, "image": box["image"], "status": status, "command": box["command"]}


def stop(name: str) -> dict:
    """Kill everything in a box's cgroups: no process of another bears a number in there."""
    folder = BOXES / os.path.basename(name)
    if not (folder / "cgroups").exists():
        raise Refused(404, f"there is no box {name}")
    for group in (folder / "cgroups").read_text().split():
        with contextlib.suppress(OSError):
            for pid in Path(group, "cgroup.procs").read_text().split():
                os.kill(int(pid), signal.SIGKILL)
    return {"name": name}


ROUTES = {
    ("GET", "/boxes"): lambda _: [about(folder) for folder in sorted(BOXES.iterdir())],
    ("POST", "/boxes"): lambda asked: run(asked["image"], asked["command"]),
    ("POST", "/stop"): lambda asked: stop(asked["box"]),
    ("POST", "/images"): lambda asked: pull(asked["url"]),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """One request, in JSON, and its answer."""

    def answer(self) -> None:
        """Find who does what was asked; whatever goes wrong, say it and live on."""
        try:
            length = int(self.headers.get("Content-Length", 0))
            work = ROUTES.get((self.command, self.path))
            if work is None:
                raise Refused(404, f"there is no {self.command} {self.path}")
            status, body = 200, work(json.loads(self.rfile.read(length) or "{}"))
        except Refused as refused:
            status, body = refused.args[0], {"error": refused.args[1]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            status, body = 400, {"error": f"{type(error).__name__}: {error}"}
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer  # noqa: N815 - the library looks for these names

    def address_string(self) -> str:
        """Who asks, for the log: the kernel knows (SO_PEERCRED, unix(7))."""
        peer = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return "user {1}, process {0}".format(*struct.unpack("3i", peer))


if __name__ == "__main__":
    os.umask(0o022)
    for folder in (ROOT, STORE, BOXES):
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    os.chown(STORE, BASE, BASE)
    lock = (ROOT / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # one daemon for one folder
    except BlockingIOError:
        sys.exit(f"13_daemon.py: {ROOT}: another daemon has this folder")
    SOCKET.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with socketserver.UnixStreamServer(str(SOCKET), Handler) as server:
        SOCKET.chmod(0o660)  # who may write to it is as good as root
        server.serve_forever()
