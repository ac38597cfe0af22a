"""The `host` image put together by hand: real programs run in it, nothing can be changed.

The mounts are made with unshare(1) and mount(8), so that this proves the image alone.
"""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import subprocess
import termios
import time
from pathlib import Path

import pytest

from boxy_core.errors import ImageError
from boxy_core.image import busybox
from boxy_core.image.store import ImageStore
from boxy_core.paths import Paths, shipped_registry
from tests.conftest import Workspace

ENV = (
    "HOME=/root TERM=xterm-256color PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8"
)


class Inside:
    """Runs commands in the image, in namespaces of their own that end with them."""

    def __init__(self, folder: Path, name: str) -> None:
        root = str(folder / "root")
        paths = Paths(root, root + "/run", root + "/s", (shipped_registry(),), "boxy/test")
        self.image = ImageStore(paths).prepare(name)
        for part in ("upper", "work", "merged"):
            (folder / part).mkdir()
        self._script = self._mounting(folder)

    def _mounting(self, folder: Path) -> str:
        top = folder / "merged"
        where = f"lowerdir={self.image.layers[0]},upperdir={folder}/upper,workdir={folder}/work"
        lines = [
            "set -e",
            "mount --make-rprivate /",
            f"mount -t overlay overlay -o {where} {top}",
        ]
        for mount in self.image.mounts:
            target = f"{top}{mount.target}"
            lines += [
                f"mount --rbind {mount.source} {target}",
                f"mount -o remount,bind,ro,nosuid,nodev {target}",
            ]
        lines += [f"mount -t proc proc {top}/proc", f"mount -t tmpfs tmpfs {top}/dev"]
        for device in ("null", "zero", "urandom", "tty"):
            lines.append(f"touch {top}/dev/{device}; mount --bind /dev/{device} {top}/dev/{device}")
        lines.append(f"exec chroot {top} /usr/bin/env -i {ENV} " if self.image.name == "host" else
                     f"exec chroot {top} ")  # fmt: skip
        return "\n".join(lines)

    def command(self, *words: str) -> list[str]:
        script = self._script + shlex.join(words)
        return [
            "unshare",
            "--kill-child",
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "sh",
            "-c",
            script,
        ]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=50,
        )

    def says(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def host(workspace: Workspace) -> Inside:
    return Inside(workspace.folder, "host")


def has(program: str) -> bool:
    """Whether the machine has it. What it has not is not asked for: no test stands for it."""
    if program == "man" and not list(Path("/usr/share/man/man1").glob("ls.1*")):
        return False  # slim machines throw the pages away
    return shutil.which(program, path="/usr/local/bin:/usr/sbin:/usr/bin") is not None


TLS = "import ssl, sqlite3, json; print(ssl.create_default_context().verify_mode.name)"
EDIT = "vim -Nes -c 'call setline(1, \"written\")' -c wq /root/file; cat /root/file"
COMMANDS = [
    ("sh", ["sh", "-c", "echo $((6 * 7))"], "42"),
    ("python3", ["python3", "-c", TLS], "CERT_REQUIRED"),
    ("man", ["man", "-P", "cat", "ls"], "list directory contents"),
    ("vim", ["sh", "-c", EDIT], "written"),
    ("git", ["git", "--version"], "git version"),
]
SCREENS = [
    ("bash", ["-i"], b"root@"),
    ("htop", [], b"Load average"),
    ("top", [], b"PID"),
    ("less", ["/etc/passwd"], b"root:x:0:0"),
    ("vim", ["/etc/passwd"], b'"/etc/passwd"'),
    ("nano", ["/etc/passwd"], b"nano"),
]


def test_a_shell_is_root_in_a_small_etc_of_its_own(host: Inside) -> None:
    script = "id -un; head -1 /etc/passwd; . /etc/os-release; echo $ID; stat -c %a /tmp /root"
    lines = host.says("sh", "-c", script).splitlines()
    assert lines[0] == "root"
    assert lines[1].startswith("root:x:0:0:root:/root:/bin/")
    assert lines[2]
    assert lines[3:] == ["1777", "700"]


def test_nothing_of_the_machine_can_be_changed(host: Inside) -> None:
    sources = [mount.source for mount in host.image.mounts]
    assert "/usr" in sources
    script = "for i in " + shlex.join(sources) + "; do touch $i 2>/dev/null && echo $i; done; true"
    assert host.says("sh", "-c", script) == ""
    assert host.run("sh", "-c", "touch /usr/boxy-was-here").returncode != 0
    assert not Path("/usr/boxy-was-here").exists()
    assert host.says("sh", "-c", "echo new >/etc/motd; cat /etc/motd") == "new\n"


def test_the_machines_secrets_are_not_there(host: Inside) -> None:
    script = "cat /etc/shadow /etc/machine-id; ls /etc/ssh /etc/ssl/private; ls -A /home /var/lib"
    done = host.run("sh", "-c", script)
    assert "root:" not in done.stdout
    assert done.stdout.split() == ["/home:", "user", "/var/lib:"]


@pytest.mark.parametrize(
    ("command", "said"),
    [pytest.param(command, said, id=name) for name, command, said in COMMANDS if has(name)],
)
def test_a_program_of_the_machine_runs(host: Inside, command: list[str], said: str) -> None:
    assert said in host.says(*command)


@pytest.mark.parametrize(
    ("program", "arguments", "shown"),
    [pytest.param(*row, id=row[0]) for row in SCREENS if has(row[0])],
)
def test_a_program_of_the_whole_screen_draws_it(
    host: Inside, program: str, arguments: list[str], shown: bytes
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    command = ["setsid", "--ctty", "--wait", *host.command(program, *arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        screen = b""
        deadline = time.monotonic() + 30
        try:
            while shown not in screen and time.monotonic() < deadline:
                if select.select([ours], [], [], 1)[0]:
                    try:
                        screen += os.read(ours, 65536)
                    except OSError:
                        break
            assert shown in screen
        finally:
            os.close(ours)  # hangs up: SIGHUP ends what reads from the terminal
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()


def test_the_busybox_image_runs_or_says_what_to_install(workspace: Workspace) -> None:
    if not busybox.find():
        with pytest.raises(ImageError, match="busybox") as refused:
            Inside(workspace.folder, "busybox")
        assert "busybox-static" in refused.value.hint
        return
    inside = Inside(workspace.folder, "busybox")
    assert inside.says("/bin/sh", "-c", "echo $((6 * 7)) && wc -l </etc/passwd") == "42\n2\n"
