#!/usr/bin/env python3
"""Step 10: a network of the box's own, a bridge to the others, and a way out.

usage: 10_network.py COMMAND [ARGUMENT...]     COMMAND may be 09_lock_down.py with a box
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

CLONE_NEWNET, PR_SET_PDEATHSIG = 0x40000000, 1
BRIDGE, PREFIX = "tiny0", "10.99.0."
NAT = (
    "nft add table ip tiny; add chain ip tiny out { type nat hook postrouting priority 100 ; } ; "
    f"add rule ip tiny out ip saddr {PREFIX}0/24 oifname != {BRIDGE} masquerade"
)
NO_NAT = "nft delete table ip tiny"
if not shutil.which("nft"):  # its predecessor
    NAT = f"iptables -t nat -A POSTROUTING -s {PREFIX}0/24 ! -o {BRIDGE} -j MASQUERADE"
    NO_NAT = NAT.replace("-A", "-D")

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object, about: str = "") -> None:
    """Call a function of the C library; raise OSError where it returns -1."""
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"{name} {about}")


def fail(status: int, message: str) -> None:
    """Say on stderr what went wrong and end this process at once."""
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr, flush=True)
    os._exit(status)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Change the bridge while nobody else does: flock(2) on this very file."""
    with open(__file__, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tell(line: str) -> str:
    """Run a command; what it said on stdout.  Raises OSError with what it said on stderr."""
    done = subprocess.run(line.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, done.stderr.strip(), line)
    return done.stdout


def make_bridge() -> None:
    """A switch in the kernel; the host has the address .1 on it and forwards for the others."""
    if f" {BRIDGE}: " in tell("ip -o link show type bridge"):
        return
    if not shutil.which(NAT.split()[0]):
        raise OSError(2, "neither nft nor iptables is here: install one", "NAT")
    tell(f"ip link add {BRIDGE} type bridge")
    tell(f"ip addr add {PREFIX}1/24 dev {BRIDGE}")
    tell(f"ip link set {BRIDGE} up")
    with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
        file.write("1")
    tell(NAT)


def plug_in(pid: int) -> str:
    """A cable from the bridge into the network of the process `pid`; the box's address.

    We hold that network until we end: else `unplug` might find another's cable of this name.
    """
    os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    for number in range(2, 255):
        try:  # the name is free or it is not: so no two boxes get one address
            tell(f"ip link add tiny{number} type veth peer name eth0 netns {pid}")
        except OSError as error:
            if "exists" in error.strerror:
                continue
            raise
        tell(f"ip link set tiny{number} master {BRIDGE} up")
        return f"{PREFIX}{number}"
    raise OSError(28, "all addresses are taken", BRIDGE)


def unplug(address: str) -> None:
    """Take the cable away, and with the last one the bridge."""
    with contextlib.suppress(OSError):  # there is none if the box could not be made
        tell(f"ip link del tiny{address.rpartition('.')[2]}")
    there = f" {BRIDGE}: " in tell("ip -o link show type bridge")
    if there and not tell(f"ip -o link show master {BRIDGE}"):
        tell(NO_NAT)
        tell(f"ip link del {BRIDGE}")


def child(talk: socket.socket, command: list[str]) -> None:
    """In the new network: wait for the cable, configure its end, become the command."""
    try:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
        call("unshare", CLONE_NEWNET)
        talk.send(b"ready")
        address = talk.recv(64).decode() or os._exit(125)
        tell("ip link set lo up")
        tell("ip link set eth0 up")
        tell(f"ip addr add {address}/24 dev eth0")
        tell(f"ip route add default via {PREFIX}1")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        fail(125, f"cannot start the command: {error.filename or command[0]}: {error.strerror}")


def run(command: list[str]) -> int:
    """Run a command in a network of its own; its exit status."""
    ours, theirs = socket.socketpair()
    pid, address = os.fork(), ""
    if pid == 0:
        ours.close()
        child(theirs, command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    theirs.close()
    try:
        ours.recv(64)
        with alone():
            make_bridge()
            address = plug_in(pid)
        ours.send(address.encode())
    finally:
        ours.close()  # without an address, the child ends
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with alone():
            unplug(address)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        sys.exit(run(sys.argv[1:]))
    except OSError as error:
        fail(125, f"cannot make the network: {error.filename}: {error.strerror}")
