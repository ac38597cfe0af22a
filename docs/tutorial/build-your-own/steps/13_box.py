#!/usr/bin/env python3
"""Step 13, the shim: all that the steps before made, around one box.
usage: 13_box.py FOLDER FD     FOLDER/box.json says what to run; what goes wrong is written to FD
"""

import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

users, cgroups, lock, network, terminal = map(
    importlib.import_module,
    ("07_user_namespace", "08_cgroups", "09_lock_down", "10_network", "11_terminal"),
)
BASE, LIMITS = 100_000, {"memory": 256 << 20, "pids": 64}
CLONE_NEWNET, CLONE_NEWCGROUP, MS_NOSUID = 0x40000000, 0x02000000, 2


def become_the_command(talk: socket.socket, box: dict, folder: Path) -> None:
    """PID 1 of the box: files, a name, a terminal; then give up power, and exec."""
    users.call("prctl", users.PR_SET_PDEATHSIG, signal.SIGKILL)
    users.call("sethostname", folder.name.encode(), len(folder.name))
    users.new_root(":".join(reversed(box["layers"])), str(folder))
    os.mkdir("/dev/pts")
    users.mount("devpts", "/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=666")
    os.symlink("pts/ptmx", "/dev/ptmx")
    master, slave = os.openpty()
    socket.send_fds(talk, [b"the other end"], [master])
    os.login_tty(slave)  # the session, the controlling terminal and 0, 1, 2 of step 11
    lock.lock_down()
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT):  # a shell's "&" ignores two
        signal.signal(number, signal.SIG_DFL)
    environment = dict(word.split("=", 1) for word in ["TERM=xterm", *box["environment"]])
    os.execvpe(box["command"][0], box["command"], environment)


def enter(talk: socket.socket, box: dict, folder: Path, groups: list[str], trouble: int) -> int:
    """Go into the cgroups and the namespaces, wait for the network; the command's status."""
    for group in groups:
        cgroups.write(group + "/cgroup.procs", "0")
    users.call("unshare", CLONE_NEWCGROUP)
    users.become_root_of_a_range(BASE)
    users.call("unshare", CLONE_NEWNET)  # after the user namespace, so that it belongs to it
    users.call("prctl", users.PR_SET_PDEATHSIG, signal.SIGKILL)
    talk.send(b"plug me in")
    if not talk.recv(1):
        return 125
    pid = os.fork()
    if pid == 0:
        become_the_command(talk, box, folder)
    os.close(trouble)  # from now on the command alone has it open, until its exec succeeds
    talk.close()
    return exit_status(pid)


def exit_status(pid: int) -> int:
    """Wait for a child; its status as a shell gives it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def limit(groups: list[str]) -> None:
    """Make the box's cgroups; each is in `groups` before anything can go wrong with it."""
    for name, value in LIMITS.items():
        group, version = cgroups.make_cgroup(name)
        groups.append(group)
        for file, text in cgroups.files(name, version, value).items():
            if os.path.exists(f"{group}/{file}"):
                cgroups.write(f"{group}/{file}", text)


def plug_in(pid: int) -> str:
    """Give the network namespace of `pid` a cable and an address, which is returned."""
    with network.alone():
        network.make_bridge()
        address = network.plug_in(pid)
    for words in ("link set lo up", "link set eth0 up", f"addr add {address}/24 dev eth0",
                  f"route add default via {network.PREFIX}1"):  # fmt: skip
        network.tell(f"nsenter --net=/proc/{pid}/ns/net ip {words}")
    return address


def keep(folder: Path, box: dict, trouble: int) -> int:
    """Make the box, serve its terminal until it ends, write down how, and clean up."""
    groups, address = list[str](), ""
    door, daemons = folder / "terminal", folder.parent.parent / "tiny.sock"
    screen = terminal.Terminal(str(door))
    os.chown(door, -1, daemons.stat().st_gid)  # who may ask the daemon may use the terminal
    door.chmod(0o660)
    try:
        try:
            limit(groups)
            (folder / "cgroups").write_text("\n".join(groups))
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                ours.close()
                attempt(trouble, lambda: enter(theirs, box, folder, groups, trouble))
            theirs.close()
            try:
                if ours.recv(64):
                    address = plug_in(pid)
                    ours.send(b"!")
            except OSError:
                ours.close()  # which the child takes for the end
                exit_status(pid)
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), trouble)
            for master in socket.recv_fds(ours, 64, 1)[1]:
                screen.serve(master)
            status = exit_status(pid)
        finally:  # before anybody hears of the end: so the next box finds its address free
            for group in groups:
                while Path(group, "cgroup.procs").read_text():
                    time.sleep(0.01)  # whom `stop` killed takes a moment to die
                cgroups.remove_cgroup(group)
            with network.alone():
                network.unplug(address)
        (folder / "exit").write_text(str(status))
        if not screen.viewers:  # a short command is over before its viewer can be there
            for key, _ in screen.selector.select(2.0):
                key.data(key.fileobj)
        screen.show(b"x" + bytes([status]), *screen.viewers)
        return status
    finally:
        door.unlink()


def attempt(trouble: int, work: Callable[[], int]) -> None:
    """Exit with what `work` returns; if it fails, write why to the descriptor `trouble`."""
    try:
        os._exit(work())
    except (OSError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError):
            text = f"{os.fsdecode(error.filename or 'the box')}: {error.strerror}"
        os.write(trouble, text.encode())
        os._exit(125)


if __name__ == "__main__":
    here, pipe = Path(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(pipe, False)  # closed by the exec of the command
    attempt(pipe, lambda: keep(here, json.loads((here / "box.json").read_text()), pipe))
