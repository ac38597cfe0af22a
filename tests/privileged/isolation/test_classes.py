"""What a box tries and does not get: a test for each class that docs/explanation/security.md
answers.  `findings` is what probe_box.py, a hostile program, found in a box without any flag."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pty
import select
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.privileged.isolation.conftest import Findings
from tests.support.daemon import Daemon
from tests.support.waiting import eventually

PYTHON = "/usr/bin/python3"
"""one that everybody on this machine may run"""
TOLERATED = {
    "mounts_show_no_path_of_the_host": "the image `host` shows parts of the host's /etc by name",
}
"""warnings of the probes that are as they should be, and why"""


def passes(findings: Findings, group: str) -> None:
    """Every probe of this class was refused, and there is one."""
    of_class = {name: one for name, one in findings.items() if one["class"] == group}
    assert of_class
    bad = {name: one for name, one in of_class.items() if one["verdict"] != "PASS"}
    assert not bad


def shell(house: Daemon, script: str, *flags: str) -> str:
    """What a script prints in a new box."""
    return house.run("run", "--rm", *flags, "alpine", "sh", "-c", f"exec 2>&1; {script}; true")


@contextlib.contextmanager
def running(house: Daemon, *words: str):  # type: ignore[no-untyped-def]
    """A box in the background; its id."""
    box = house.run("run", "-d", *words)
    try:
        yield box
    finally:
        house.boxy("rm", "-f", box)


# ------------------------------------------------------------------------ all at once


def test_no_probe_gets_through(findings: Findings) -> None:
    bad = {name: one for name, one in findings.items() if one["verdict"] != "PASS"}
    assert set(bad) <= set(TOLERATED), bad
    assert len(findings) > 40


# ------------------------------------------------------------------------ the runtime itself


def test_the_runtimes_own_program_is_neither_written_nor_of_use_inside(house: Daemon) -> None:
    """CVE-2019-5736: the command is the runtime's own program, by way of /proc/self/exe."""
    code = (
        "import os\n"
        "for path in ('/proc/self/exe', '/proc/1/exe'):\n"
        "    for how in (os.O_WRONLY, os.O_RDWR):\n"
        "        try: os.open(path, how)\n"
        "        except OSError: continue\n"
        "        print('written', path)\n"
        "print('refused')"
    )
    for words in (["/proc/self/exe"], ["/usr/bin/python3"]):
        done = house.boxy("run", "--rm", "host", *words, "-I", "-S", "-c", code)
        assert "written" not in done.stdout
        assert done.stdout == "refused\n" or done.returncode in (126, 127)
    with running(house, "alpine", "sleep", "100") as box:
        shim = house.request("GET", f"/boxes/{box}")["shim_pid"]
        assert os.readlink(f"/proc/{shim}/exe").startswith("/memfd:boxy-python")
        with pytest.raises(OSError):  # noqa: PT011 - which errno depends on the kernel
            os.open(f"/proc/{shim}/exe", os.O_WRONLY)


def test_no_descriptor_or_folder_of_the_host_is_left_open(
    house: Daemon, findings: Findings
) -> None:
    """CVE-2024-21626: a working folder that is a descriptor of the runtime's."""
    passes(findings, "leaked fd or cwd")
    with running(house, "alpine", "sleep", "100") as box:
        for number in (3, 5, 7, 9, 12):
            where = f"/proc/self/fd/{number}"
            for words in (("run", "--rm", "-w", where, "alpine"), ("exec", "-w", where, box)):
                done = house.boxy(*words, "sh", "-c", "pwd; ls -d ../../../../../var/lib/dpkg")
                assert "/var/lib/dpkg\n" not in done.stdout, where
                assert done.returncode != 0


def test_a_joining_command_is_hidden_until_it_is_the_boxs_own(house: Daemon) -> None:
    """CVE-2016-9962: the box lies in wait for processes that join it."""
    lurk = (
        "import os, time\n"
        "end = time.time() + 60\n"
        "while not os.path.exists('/tmp/over') and time.time() < end:\n"
        "    for pid in os.listdir('/proc'):\n"
        "        if not pid.isdecimal() or pid in ('1', str(os.getpid())): continue\n"
        "        try:\n"
        "            exe = os.readlink(f'/proc/{pid}/exe')\n"
        "            if 'memfd' not in exe: continue\n"
        "            if 'memfd' in exe: print('exe', exe, flush=True)\n"
        "            for fd in os.listdir(f'/proc/{pid}/fd'):\n"
        "                to = os.readlink(f'/proc/{pid}/fd/{fd}')\n"
        "                if not to.startswith(('pipe:', '/dev/', '/proc', 'socket:')):\n"
        "                    if int(fd) > 2: print('fd', to, flush=True)\n"
        "            if 'memfd' in exe: open(f'/proc/{pid}/mem', 'r+b'); print('mem', flush=True)\n"
        "        except OSError: pass\n"
        "print('nothing more', flush=True)"
    )
    with running(house, "host", "/usr/bin/python3", "-I", "-c", lurk) as box:
        for _ in range(6):
            house.run("exec", box, "/bin/true")
        house.run("exec", box, "/usr/bin/touch", "/tmp/over")
        house.wait_status(box, "exited")
        assert house.run("logs", box) == "nothing more"


def test_masks_and_terminals_stand_on_descriptors_that_were_verified(house: Daemon) -> None:
    """CVE-2025-31133, -52565, -52881: the box swaps what the runtime is about to use."""
    swap = (
        "rm -f /dev/null /dev/ptmx /dev/console /dev/tty; mkfifo /dev/null; "
        "ln -s /proc/sysrq-trigger /dev/ptmx; ln -s /proc/sys/kernel/core_pattern /dev/console; "
        "echo swapped; exec sleep 100"
    )
    with running(house, "--name", "swap", "-t", "alpine", "sh", "-c", swap) as box:
        eventually(lambda: "swapped" in house.run("logs", box))
        began = time.monotonic()
        assert house.run("exec", box, "echo", "alive") == "alive"
        assert house.run("exec", "-t", box, "tty").strip().startswith("/dev/pts/")
        assert time.monotonic() - began < 60
        house.run("restart", "-t", "0", box)
        hidden = "cat /proc/kallsyms /proc/keys | wc -c; stat -c %t:%T /proc/kallsyms"
        assert house.run("exec", box, "sh", "-c", hidden).split() == ["0", "1:3"]
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    assert "swapped" not in before


def test_a_volume_swapped_during_a_start_leads_nowhere(house: Daemon, tmp_path: Path) -> None:
    """CVE-2021-30465: a box swaps a link in a shared volume while another one starts."""
    tmp_path.chmod(0o755)
    shared, payload = tmp_path / "shared", tmp_path / "payload"
    shared.mkdir(mode=0o777)
    payload.mkdir()
    (payload / "mark").write_text("host's")
    race = "while :; do mkdir x; rmdir x; ln -s / x; rm x; ln -s ../../../../.. x; rm x; done"
    before = Path("/proc/self/mountinfo").read_text()
    with running(house, "-v", f"{shared}:/v", "-w", "/v", "alpine", "sh", "-c", race + " 2>&1"):
        for _ in range(8):
            done = house.boxy(
                "run", "--rm", "-v", f"{shared}:/v", "-v", f"{payload}:/v/x/etc", "alpine",
                "sh", "-c", "ls /v/x/etc/mark /etc/mark 2>/dev/null; true",
            )  # fmt: skip
            assert done.returncode in (0, 125), done.stderr
        assert not Path("/etc/mark").exists()
    assert not [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line not in before and str(tmp_path) in line
    ]  # fmt: skip


# ------------------------------------------------------------------------ the host's kernel


def test_no_cgroup_release_agent_can_be_named(findings: Findings, house: Daemon) -> None:
    """CVE-2022-0492: mount a v1 hierarchy in a new user namespace, name a program of one's own."""
    passes(findings, "release_agent")
    passes(findings, "mounts")
    script = "unshare -UrmC sh -c 'mount -t cgroup -o rdma c /mnt && echo got in'"
    assert "got in" not in shell(house, script)


def test_core_pattern_and_its_like_cannot_be_written(findings: Findings) -> None:
    passes(findings, "core_pattern")
    passes(findings, "proc")


def test_sysrq_cannot_be_triggered(findings: Findings) -> None:
    passes(findings, "sysrq")


def test_the_kernels_memory_cannot_be_read(findings: Findings) -> None:
    passes(findings, "kcore")


def test_the_kernels_log_cannot_be_read(findings: Findings) -> None:
    passes(findings, "kmsg")


def test_no_module_can_be_loaded_or_listed(findings: Findings) -> None:
    passes(findings, "modules")


def test_no_file_is_opened_by_its_handle(findings: Findings) -> None:
    passes(findings, "open_by_handle_at")


def test_no_device_node_can_be_made(findings: Findings) -> None:
    passes(findings, "mknod")


def test_no_raw_device_is_there(findings: Findings) -> None:
    passes(findings, "raw devices")


def test_no_user_namespace_is_nested(findings: Findings) -> None:
    passes(findings, "namespaces")


@pytest.mark.parametrize("group", ["io_uring", "keyctl", "bpf", "vsock", "kernel calls"])
def test_calls_that_no_box_needs_are_refused(findings: Findings, group: str) -> None:
    passes(findings, group)


def test_sys_is_read_only_and_tells_little(findings: Findings) -> None:
    passes(findings, "sys")


def test_powers_are_few_and_cannot_grow(findings: Findings) -> None:
    for group in ("identity", "capabilities", "no_new_privs", "seccomp", "time", "hostname",
                  "limits", "chroot"):  # fmt: skip
        passes(findings, group)


# ------------------------------------------------------------------------ others on the machine


def test_nobody_types_into_a_terminal_that_is_shared(findings: Findings, house: Daemon) -> None:
    passes(findings, "terminals")
    found = house.run("run", "--rm", "-t", "alpine", "sh", "-c", "tty; stat -c %d $(tty) /dev/pts")
    name, own, folder = found.split()
    assert name.startswith("/dev/pts/")
    assert own == folder
    assert os.stat("/dev/pts").st_dev != int(own)


def test_abstract_sockets_of_the_host_are_not_reached(findings: Findings, house: Daemon) -> None:
    passes(findings, "abstract sockets")
    with socket.socket(socket.AF_UNIX) as listening:
        name = f"boxy-test-{os.getpid()}"
        listening.bind("\0" + name)
        listening.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('in')"
        done = house.boxy("run", "--rm", "host", "/usr/bin/python3", "-I", "-c", code)
        assert "in\n" not in done.stdout
        assert "ConnectionRefusedError" in done.stderr


def test_the_hosts_loopback_is_not_reached(findings: Findings, house: Daemon) -> None:
    passes(findings, "host loopback")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert "reached" not in shell(house, f"nc -w 1 127.0.0.1 {port} </dev/null && echo reached")


def test_set_uid_files_of_boxes_are_of_no_use_on_the_hosts_disk(
    house: Daemon, tmp_path: Path
) -> None:
    """What a box writes lies below a folder that only root may enter; a volume is nosuid inside."""
    with running(
        house, "alpine", "sh", "-c", "cp /bin/busybox /su; chmod 4755 /su; sleep 100"
    ) as box:
        upper = Path(house.paths.box(house.request("GET", f"/boxes/{box}")["id"])) / "upper/su"
        eventually(upper.exists)
        eventually(lambda: upper.stat().st_mode & stat.S_ISUID)
        assert stat.S_IMODE(os.stat(house.paths.root).st_mode) == 0o700
        assert _as_nobody(f"{upper} id -u") == ""
    tmp_path.chmod(0o755)
    found = shell(house, "grep ' /v ' /proc/mounts", "-v", f"{tmp_path}:/v")
    assert "nosuid,nodev" in found


def _as_nobody(command: str) -> str:
    """What a command prints for a user without any right."""
    done = subprocess.run(["sh", "-c", command], user=65534, group=65534, extra_groups=[],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return done.stdout


def test_nothing_is_traced_or_signalled_across(findings: Findings, house: Daemon) -> None:
    """Neither seen from inside, nor permitted to the id that a box's root has outside."""
    passes(findings, "ptrace or signals across")
    with (
        running(house, "alpine", "sleep", "100") as one,
        running(house, "alpine", "sleep", "100") as two,
    ):
        first, second = (house.request("GET", f"/boxes/{ref}") for ref in (one, two))
        assert first["id_base"] != second["id_base"]
        attempt = (
            "import ctypes, os, sys\n"
            "pid, libc = int(sys.argv[1]), ctypes.CDLL(None, use_errno=True)\n"
            "try: os.kill(pid, 0); print('signalled')\n"
            "except PermissionError: pass\n"
            "if libc.ptrace(16, pid, 0, 0) == 0: print('traced')\n"
            "buffer = ctypes.create_string_buffer(8)\n"
            "for path in ('mem', 'environ', 'root', 'cwd'):\n"
            "    try: os.open(f'/proc/{pid}/{path}', os.O_RDONLY); print(path)\n"
            "    except OSError: pass\n"
        )
        base = first["id_base"]
        for pid in (second["pid"], second["shim_pid"], house.pid):
            done = subprocess.run(
                [PYTHON, "-I", "-c", attempt, str(pid)], user=base, group=base,
                extra_groups=[], capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.stdout == "", done.stderr
        assert ctypes.sizeof(ctypes.c_long) == 8


def test_what_a_box_calls_itself_does_not_reach_the_operators_terminal(house: Daemon) -> None:
    """Names, labels, commands, logs, notices and errors, as `boxy` shows them at a terminal."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    refused = house.boxy("run", "--name", evil, "alpine", "true")
    assert refused.returncode == 125
    box = house.run("create", "--label", f"note={evil}", "-e", f"X={evil}", "alpine",
                    "printf", evil)  # fmt: skip
    try:
        house.run("start", "-a", box)
        failing = house.run("create", "alpine", evil)
        for words in (["ps", "-a"], ["ps", "-a", "--no-trunc"], ["inspect", box], ["logs", box],
                      ["inspect", "-f", "spec.labels.note", box], ["start", failing],
                      ["rm", evil], ["inspect", failing], ["rm", failing]):  # fmt: skip
            shown = at_a_terminal(house, *words)
            assert b"\x1b]0;" not in shown, words
            assert b"\x1b[2J" not in shown, words
            assert b"\x9b31m" not in shown, words
        assert "\x1b" not in house.log_text()
    finally:
        house.boxy("rm", "-f", box)


def at_a_terminal(house: Daemon, *words: str) -> bytes:
    """All that `boxy` writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(house.command(*words), env=house.env, stdin=theirs, stdout=theirs,
                          stderr=theirs, start_new_session=True) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            shown += data
    os.close(ours)
    return shown


def test_the_socket_of_the_daemon_in_a_box_lets_nobody_in(house: Daemon) -> None:
    """The classic hole: the daemon's socket as a volume.  Who asks is told by the kernel."""
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/s');"
        "s.sendall(b'GET /boxy/v1/boxes HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');"
        "print(s.recv(9999).decode())"
    )
    done = house.boxy("run", "--rm", "-v", f"{house.paths.socket}:/s", "host", PYTHON, "-I",
                      "-c", code)  # fmt: skip
    assert "403" in done.stdout.splitlines()[0], done.stderr
    assert "may not use this daemon" in done.stdout
    script = code.replace("/s'", f"{house.paths.socket}'")
    folder = house.folder.stat().st_mode
    os.chmod(house.folder, 0o711)
    os.chmod(house.paths.socket, 0o666)
    try:
        seen = _as_nobody(f'{PYTHON} -I -c "{script}"')
    finally:
        os.chmod(house.paths.socket, 0o660)
        os.chmod(house.folder, folder)
    assert "403" in seen
    assert "the user 65534 may not use this daemon" in seen
