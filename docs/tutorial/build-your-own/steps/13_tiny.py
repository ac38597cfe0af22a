#!/usr/bin/env python3
"""Step 13, the command: it asks the daemon, and shows terminals.

usage: 13_tiny.py pull URL | run [-d] IMAGE [COMMAND...] | ps | attach BOX | stop BOX
"""

import http.client
import importlib
import json
import os
import socket
import sys

viewer = importlib.import_module("attach")
ROOT = os.environ.get("TINY_ROOT", "/var/lib/tiny")


class Connection(http.client.HTTPConnection):
    """HTTP, over a Unix socket."""

    def connect(self) -> None:
        """Called by the library before it sends."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(ROOT + "/tiny.sock")


def ask(method: str, path: str, body: dict | None = None) -> list | dict:
    """One request; the daemon's answer, or the end with what it said."""
    connection = Connection("tiny")
    connection.request(method, path, json.dumps(body))
    answer = connection.getresponse()
    data = json.loads(answer.read())
    if answer.status != 200:
        sys.exit("tiny: " + data["error"])
    return data


def main(verb: str, *words: str) -> int:
    """Do what was asked; the exit status."""
    if verb == "pull" and len(words) == 1:
        print("pulled", ask("POST", "/images", {"url": words[0]})["pulled"])
    elif verb == "run" and words:
        behind = words[0] == "-d"
        image, *command = words[behind:]
        box = ask("POST", "/boxes", {"image": image, "command": command})
        if not behind:
            return viewer.attach(box["terminal"])
        print(box["name"])
    elif verb == "ps" and not words:
        for box in sorted(ask("GET", "/boxes"), key=lambda box: int(box["name"][1:])):
            print(f"{box['name']:4} {box['image']:8} {box['status']:14} {' '.join(box['command'])}")
    elif verb == "attach" and len(words) == 1:
        try:
            return viewer.attach(f"{ROOT}/boxes/{words[0]}/terminal")
        except (FileNotFoundError, ConnectionRefusedError):
            sys.exit(f"tiny: {words[0]}: is there no such box, or has that box ended?")
    elif verb == "stop" and len(words) == 1:
        print(ask("POST", "/stop", {"box": words[0]})["name"])
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*(sys.argv[1:] or [""])))
    except BrokenPipeError:  # nobody reads our output any more
        sys.exit(141)
    except PermissionError:
        sys.exit(f"tiny: {ROOT}: Permission denied: are you of the group of tiny.sock?")
    except OSError as error:
        sys.exit(f"tiny: {ROOT}: {error.strerror}: is 13_daemon.py running there?")
