"""Every flag about a box's isolation, as a user gives it, and what it gives away."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.waiting import eventually


def lines(daemon: Daemon, script: str, *flags: str) -> list[str]:
    """What a script prints in a new box with these flags."""
    words = ("run", "--rm", *flags, "alpine", "sh", "-c", f"exec 2>&1; {script}; true")
    return daemon.run(*words).splitlines()


def test_memory_as_folders_and_shared_memory_have_their_sizes(daemon: Daemon) -> None:
    script = "df -k /scratch /dev/shm | tail -n 2; grep -E ' /(scratch|bin) ' /proc/mounts; "
    script += "cp /bin/busybox /scratch/echo; /scratch/echo ran; stat -c %a /scratch"
    flags = ["--tmpfs", "/scratch:size=2m,mode=711,exec", "--shm-size", "8m"]
    found = lines(daemon, script, *flags)
    assert [line.split()[1] for line in found[:2]] == ["2048", "8192"]
    assert "nosuid,nodev" in found[2]
    assert "noexec" not in found[2]
    assert found[3:] == ["ran", "711"]
    quiet = lines(daemon, "grep ' /t ' /proc/mounts; touch /t/x", "--tmpfs", "/t:ro")
    assert "noexec" in quiet[0]
    assert "Read-only" in quiet[1]


def test_a_read_only_box_can_write_where_every_program_expects_to(daemon: Daemon) -> None:
    script = "touch /tmp/x /run/x /var/tmp/x && echo yes; touch /etc/x"
    found = lines(daemon, script, "--read-only")
    assert found[0] == "yes"
    assert "Read-only" in found[1]


def test_limits_of_each_process_are_kept_or_refused(daemon: Daemon) -> None:
    flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=50"]
    assert lines(
        daemon, "ulimit -n; ulimit -Hn; grep -c 'processes *50 ' /proc/self/limits", *flags
    ) == ["100", "200", "1"]
    box = daemon.run("run", "-d", *flags, "alpine", "sleep", "100")
    assert daemon.run("exec", box, "sh", "-c", "ulimit -n") == "100"
    refused = daemon.boxy("run", "--rm", "--ulimit", f"nofile={1 << 40}", "alpine", "true")
    assert refused.returncode == 125
    assert "nofile" in refused.stderr


def test_settings_of_its_own_namespaces_and_no_others(daemon: Daemon) -> None:
    names = ["net.ipv4.ip_forward", "kernel.msgmax", "fs.mqueue.msg_max", "kernel.domainname"]
    values = ["1", "9000", "20", "dom"]
    flags = [f"--sysctl={name}={value}" for name, value in zip(names, values, strict=True)]
    paths = " ".join("/proc/sys/" + name.replace(".", "/") for name in names)
    host = [Path("/proc/sys/" + name.replace(".", "/")).read_text() for name in names]
    assert lines(daemon, f"cat {paths}", *flags) == values
    assert host == [Path("/proc/sys/" + name.replace(".", "/")).read_text() for name in names]
    refused = daemon.boxy("run", "--rm", "--sysctl", "kernel.panic=1", "alpine", "true")
    assert (refused.returncode, "kernel.panic" in refused.stderr) == (125, True)
    missing = daemon.boxy("run", "--rm", "--sysctl", "net.nosuch=1", "alpine", "true")
    assert (missing.returncode, "net.nosuch" in missing.stderr) == (125, True)


def test_a_device_is_there_with_the_access_that_was_given(daemon: Daemon) -> None:
    script = "stat -c %t:%T /dev/zap; head -c 1 /dev/zap | wc -c; echo x > /dev/zap; ls /dev/sub"
    flags = ["--device", "/dev/full:/dev/zap:r", "--device", "/dev/null:/dev/sub/null"]
    found = lines(daemon, script, *flags)
    assert found[:2] == ["1:7", "1"]
    assert found[-1] == "null"
    # /dev/full may be written by every box; what is not on the list is not opened at all
    kmsg = lines(daemon, "cat /dev/kmsg; cat < /dev/rd", "--device", "/dev/kmsg:/dev/rd:w")
    assert "can't open '/dev/kmsg'" in kmsg[0]
    assert "not permitted" in kmsg[1]
    refused = daemon.boxy("run", "--rm", "--device", "/dev/nosuch", "alpine", "true")
    assert (refused.returncode, "/dev/nosuch" in refused.stderr) == (125, True)


def test_privileged_is_all_that_its_own_user_namespace_permits(daemon: Daemon) -> None:
    script = (
        "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; mount -t tmpfs x /mnt && echo ok; "
        "hostname other && echo ok; unshare -U true && echo ok; "
        "echo x > /proc/sys/kernel/core_pattern; echo x > /proc/sysrq-trigger; "
        "mknod /tmp/d b 254 0 && cat /tmp/d"
    )
    found = lines(daemon, script, "--privileged")
    assert found[0].split()[1].strip("0") == "1ffffffffff"
    assert [line.split()[1] for line in found[1:3]] == ["0", "0"]
    assert found[3:6] == ["ok"] * 3
    refused = ("denied", "not permitted", "nonexistent")
    assert all(any(word in line for word in refused) for line in found[6:])
    assert os.uname().nodename != "other"
    box = daemon.run("create", "--privileged", "alpine")
    told = daemon.request("GET", f"/boxes/{box}")["weakened"]
    assert told[0].startswith("privileged")


def test_a_box_shares_another_ones_processes_and_memory_and_nothing_more(daemon: Daemon) -> None:
    daemon.run(
        "run", "-d", "--name", "a", "alpine", "sh", "-c", "echo hi > /dev/shm/f; exec sleep 100"
    )
    flags = ["--pid", "box:a", "--ipc", "box:a"]
    script = (
        "cat /dev/shm/f; kill -0 1 && echo may; ps | grep -c 'sleep 100$'; ls /proc/1/root/dev/shm"
    )
    assert lines(daemon, script, *flags) == ["hi", "may", "1", "f"]
    b = daemon.run("run", "-d", *flags, "alpine", "sleep", "99")
    pids = [daemon.request("GET", f"/boxes/{ref}")["pid"] for ref in ("a", b)]
    spaces = {
        name: [os.readlink(f"/proc/{pid}/ns/{name}") for pid in pids]
        for name in ("user", "pid", "ipc", "mnt", "net", "uts", "cgroup")
    }
    assert {name for name, (one, two) in spaces.items() if one == two} == {"user", "pid", "ipc"}
    groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in pids]
    assert groups[0] != groups[1]
    assert daemon.run("exec", b, "sh", "-c", "ps | grep -c 'sleep 99$'") == "1"
    daemon.run("rename", "a", "c")
    daemon.run("rm", "-f", "c")
    daemon.wait_status(b, "exited")
    gone = daemon.boxy("start", b)
    assert gone.returncode == 1
    assert "removed" in gone.stderr
    assert daemon.boxy("run", "--rm", "--pid", "box:nosuch", "alpine").returncode == 125


def test_the_hosts_namespaces_are_seen_but_not_ruled(daemon: Daemon) -> None:
    flags = [word for name in ("pid", "ipc", "uts", "cgroupns") for word in (f"--{name}", "host")]
    script = (
        "[ $(ps | wc -l) -gt 20 ] && echo many; hostname; kill -0 1; grep -c boxy /proc/self/cgroup"
    )
    found = lines(daemon, script, *flags)
    assert found[:2] == ["many", os.uname().nodename]
    assert "not permitted" in found[2]
    assert int(found[3]) > 0
    box = daemon.run(
        "run", "-d", "--init", "--pid", "host", "alpine", "sh", "-c", "sleep 86399 & sleep 86398"
    )

    def ours() -> list[Path]:
        return [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"sleep\x008639" in _read(p)]

    eventually(lambda: len(ours()) == 2)
    daemon.run("stop", "-t", "0", box)
    eventually(lambda: not ours())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_clocks_of_its_own_begin_with_the_box(daemon: Daemon) -> None:
    daemon.run("run", "-d", "--name", "t", "--time", "private", "alpine", "sleep", "100")
    assert float(daemon.run("exec", "t", "cat", "/proc/uptime").split()[0]) < 60
    own = float(Path("/proc/uptime").read_text().split()[0])
    assert float(lines(daemon, "cut -d' ' -f1 /proc/uptime")[0]) >= own


def test_a_filter_of_the_users_own_is_kept_with_the_box(daemon: Daemon, tmp_path: Path) -> None:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    box = daemon.run("create", f"--security=seccomp={profile}", "alpine", "sh", "-c",
                     "mkdir /q; unshare -U true; grep Seccomp: /proc/self/status")  # fmt: skip
    profile.unlink()
    done = daemon.boxy("start", "-a", box)
    assert "can't create directory '/q': Permission denied" in done.stderr
    assert "unshare" not in done.stderr, "nothing else is refused"
    assert done.stdout == "Seccomp:\t2\n"
    told = daemon.request("GET", f"/boxes/{box}")["spec"]
    assert (told["seccomp"], told.get("seccomp_profile")) == ("custom", None)
    explained = daemon.run("run", "--dry-run", "--security", "seccomp=unconfined", "alpine")
    assert "seccomp" not in explained
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": 1}]}))
    refused = daemon.boxy("run", "--rm", "--security-opt", f"seccomp={profile}", "alpine")
    assert (refused.returncode, "syscalls[0]" in refused.stderr) == (125, True)
    refused = daemon.boxy("run", "--rm", "--security", "seccomp=/nosuch", "alpine")
    assert (refused.returncode, "/nosuch" in refused.stderr) == (125, True)


def test_set_uid_programs_work_only_where_that_was_asked_for(daemon: Daemon) -> None:
    make = "cp /usr/bin/iconv /i; chmod 4755 /i; echo secret > /s; chmod 600 /s; sleep 100"
    read = "until [ -e /s ]; do sleep 0.1; done; /i -f UTF-8 -t UTF-8 /s; id -u; "
    read += "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status"
    for name, flags in (("on", []), ("off", ["--security", "no-new-privileges=false"])):
        daemon.run("run", "-d", "--name", name, *flags, "alpine", "sh", "-c", make)
        found = daemon.boxy("exec", "-u", "guest", name, "sh", "-c", read).stdout.splitlines()
        secret = ["secret"] if flags else []
        assert found == [*secret, "405", f"NoNewPrivs:\t{0 if flags else 1}", "Seccomp:\t2"]


def test_a_dry_run_tells_each_of_these_wishes(daemon: Daemon) -> None:
    text = daemon.run(
        "run", "--dry-run", "--tmpfs", "/t:size=1m", "--shm-size", "8m", "--ulimit", "nofile=5:6",
        "--sysctl", "net.ipv4.ip_forward=1", "--device", "/dev/null:/dev/x", "--pid", "host",
        "--time", "private", "--read-only", "alpine",
    )  # fmt: skip
    for part in ("1 MiB of memory at /t", "8 MiB of memory at /dev/shm", "nofile to 5, 6", "time",
                 "net.ipv4.ip_forward=1", "/dev/null", "every process of the machine",
                 "root file system read-only"):  # fmt: skip
        assert part in text, part
