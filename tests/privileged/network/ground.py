"""A ground for networks: a host of our own and an outside world, each a network namespace.

The daemon under test lives in the host's namespace, so that nothing of what it does to links,
rules and settings touches the machine, and the outside is a neighbour that can try anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from boxyd.runtime import syscalls as sys_
from tests.support.daemon import Daemon
from tests.support.waiting import LONG_ENOUGH, eventually

T = TypeVar("T")

HOST, OUTSIDE = "198.51.100.1", "198.51.100.99"
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::99"
SERVER = "while :; do nc -lk -p {port} -e echo {word}; done"


class Namespace:
    """A network namespace, held by a process that sleeps."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "600"])
        deadline = time.monotonic() + 60
        while self._name() == os.readlink("/proc/self/ns/net"):
            assert time.monotonic() < deadline, "no network namespace came to be"
            time.sleep(0.005)
        self.pid = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")
        for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.write(setting, "0")  # a new namespace begins with the machine's own

    def _name(self) -> str:
        return os.readlink(f"/proc/{self._holder.pid}/ns/net")

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a command there; its output."""
        done = subprocess.run(
            self.prefix + list(words), input=stdin, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n"]

    def call(self, function: Callable[[], T]) -> T:
        """Call a function from there, in a thread of its own."""
        result: list[Any] = []

        def work() -> None:
            fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
            try:
                sys_.setns(fd, sys_.CLONE_NEWNET)
                result.append(function())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                result.append(error)
            finally:
                os.close(fd)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]  # type: ignore[no-any-return]

    def fetch(self, address: str, port: int, seconds: float = 10.0) -> str:
        """What a server there says at once; "refused", "nothing" or "no way" if none does."""

        def ask() -> str:
            with socket.create_connection((address, port), seconds) as sock:
                sock.settimeout(seconds)
                return sock.recv(4096).decode().strip()

        try:
            return self.call(ask)
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "nothing"
        except OSError:
            return "no way"

    def write(self, setting: str, value: str) -> None:
        """Set something below /proc/sys/net."""

        def put() -> None:
            with open(f"/proc/sys/net/{setting}", "w", encoding="ascii") as file:
                file.write(value)

        self.call(put)

    def read(self, setting: str) -> str:
        def get() -> str:
            with open(f"/proc/sys/net/{setting}", encoding="ascii") as file:
                return file.read().strip()

        return self.call(get)

    def links(self) -> set[str]:
        """The names of its interfaces."""
        return {line.split(":")[1].split("@")[0].strip()
                for line in self.run("ip", "-o", "link").splitlines()}  # fmt: skip

    def end(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Ground:
    """A host with a way out, its outside, and a daemon that is started on it."""

    def __init__(self, daemon: Daemon) -> None:
        self.host, self.outside = Namespace(), Namespace()
        self.host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "out0",
                      "netns", str(self.outside.pid))  # fmt: skip
        for place, link, four, six in (
            (self.host, "up0", HOST, HOST6),
            (self.outside, "out0", OUTSIDE, OUTSIDE6),
        ):
            place.run("ip", "address", "add", f"{four}/24", "dev", link)
            place.run("ip", "address", "add", f"{six}/64", "dev", link, "nodad")
            place.run("ip", "link", "set", link, "up")
        self.host.run("ip", "route", "add", "default", "via", OUTSIDE)
        self.host.run("ip", "-6", "route", "add", "default", "via", OUTSIDE6)
        daemon.prefix = self.host.prefix
        self.daemon = daemon

    def server(self, name: str, *flags: str, port: int = 80) -> dict[str, Any]:
        """A box that says its name to whoever connects to the port."""
        command = ["sh", "-c", SERVER.format(port=port, word=f"I-am-{name}")]
        self.daemon.run("run", "-d", "--name", name, *flags, "alpine", *command)
        box = self.inspect(name)
        address = box["networks"][0]["address"].partition("/")[0] if box["networks"] else ""
        if address:
            self.until(lambda: self.host.fetch(address, port) == f"I-am-{name}")
        return box

    def inspect(self, name: str) -> dict[str, Any]:
        box: dict[str, Any] = self.daemon.request("GET", f"/boxes/{name}")
        return box

    def inside(self, name: str, script: str) -> str:
        """What a shell script in the box prints, errors too."""
        done = self.daemon.boxy("exec", name, "sh", "-c", script + " 2>&1")
        return done.stdout.strip()

    def says(self, name: str, where: str, port: int = 80) -> str:
        """What a box hears from a server."""
        return self.inside(name, f"nc -w 2 {where} {port} </dev/null")

    def until(self, condition: Callable[[], bool], seconds: float = LONG_ENOUGH) -> None:
        eventually(condition, seconds, what=lambda: self.daemon.log_text()[-2000:])

    def rules(self) -> str:
        """All of the host's rules."""
        return self.host.run("nft", "list", "ruleset")

    def ours(self) -> set[str]:
        """The daemon's interfaces on the host."""
        return {link for link in self.host.links() if link.startswith("bx")}

    def is_clean(self) -> bool:
        """Whether nothing of the daemon's is left on the host."""
        return not self.ours() and "boxy" not in self.rules()

    def end(self) -> None:
        with contextlib.suppress(BaseException):
            self.daemon.close()
        self.host.end()
        self.outside.end()
