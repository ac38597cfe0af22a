"""What a box can and cannot see and do; each test is one fact of the isolation by default."""

# ruff: noqa: ASYNC230, ASYNC240 - nothing else runs in a test's loop

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from boxy_core.errors import StartFailed
from boxy_core.models import Mount
from boxyd.launcher import ShimLink
from tests.privileged.runtime.rig import Rig
from tests.support.waiting import eventually_async as eventually

PROBE = Path(__file__).with_name("probe.py")


async def shell(rig: Rig, script: str, **spec: Any) -> str:
    """What a shell script prints in a new box, both streams."""
    _, client = await rig.run("sh", "-c", "exec 2>&1; " + script, **spec)
    return client.output().decode(errors="replace").strip()


async def inside(rig: Rig, link: ShimLink, script: str, **spec: Any) -> str:
    """What it prints as a further command."""
    _, client = await rig.exec(link, "sh", "-c", script, **spec)
    await client.finish()
    return client.output().decode(errors="replace").strip()


async def test_root_in_a_box_is_nobody_outside(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    status = Path(f"/proc/{link.pid}/status").read_text()
    base = rig.bases[-1]
    assert f"Uid:\t{base}\t{base}\t{base}\t{base}" in status
    assert f"Gid:\t{base}\t{base}\t{base}\t{base}" in status
    assert await inside(rig, link, "id -u") == "0"
    map_ = Path(f"/proc/{link.pid}/uid_map").read_text().split()
    assert map_ == ["0", str(base), "65536"]


async def test_every_namespace_is_the_boxs_own(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    for name in ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup"):
        assert os.readlink(f"/proc/{link.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")


async def test_a_further_command_is_in_exactly_the_same_namespaces_and_cgroups(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000")
    await rig.exec(link, "sleep", "999")
    others: list[int] = []

    def alone() -> bool:  # who made the command ends right behind it
        others[:] = [p for p in rig.groups[-1].pids() if p != link.pid]
        return len(others) == 1

    await eventually(alone)
    (other,) = others
    for name in os.listdir(f"/proc/{link.pid}/ns"):
        pair = [os.readlink(f"/proc/{pid}/ns/{name}") for pid in (link.pid, other)]
        assert pair[0] == pair[1], name
    groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (link.pid, other)]
    assert groups[0] == groups[1]
    assert rig.paths.cgroup in groups[0]
    wanted = re.compile(r"^(Cap\w+|NoNewPrivs|Seccomp\w*|Groups):.*$", re.MULTILINE)
    status = [wanted.findall(Path(f"/proc/{pid}/status").read_text()) for pid in (link.pid, other)]
    lines = [
        [m.group(0) for m in wanted.finditer(Path(f"/proc/{pid}/status").read_text())]
        for pid in (link.pid, other)
    ]
    assert status[0]
    assert lines[0] == lines[1]
    limits = [Path(f"/proc/{pid}/limits").read_text() for pid in (link.pid, other)]
    assert limits[0] == limits[1]


async def test_files_on_disk_keep_the_images_numbers(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "touch /mine /bobs && chown 1000:1000 /bobs")
    _, client = await rig.launch(made)
    await client.finish()
    upper = Path(made["box"]) / "upper"
    assert (upper / "mine").stat().st_uid == 0
    assert (upper / "bobs").stat().st_uid == 1000
    assert "mine" not in os.listdir(rig.tree)


async def test_nothing_appears_in_the_hosts_mount_table(rig: Rig) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    await rig.detached("sleep", "1000", mounts=[Mount(source="/usr", target="/u")])
    marks = (rig.paths.root, rig.tree)
    new = [line for line in Path("/proc/self/mountinfo").read_text().splitlines()
           if line not in before and any(mark in line for mark in marks)]  # fmt: skip
    assert new == []


async def test_a_few_of_the_usual_capabilities_and_no_more(rig: Rig) -> None:
    text = await shell(rig, "grep -E '^Cap|NoNewPrivs|Seccomp:' /proc/self/status")
    assert re.findall(r"CapBnd:\t(\w+)", text) == ["00000000800405fb"]
    assert re.findall(r"CapEff:\t(\w+)", text) == ["00000000800405fb"]
    assert re.findall(r"Cap(?:Inh|Amb):\t(\w+)", text) == ["0" * 16] * 2
    assert "NoNewPrivs:\t1" in text
    assert "Seccomp:\t2" in text


async def test_a_user_other_than_root_has_none(rig: Rig) -> None:
    text = await shell(rig, "id -u; id -G; echo $HOME; grep CapEff /proc/self/status", user="guest")
    assert text.splitlines() == ["405", "100", "/dev/null", "CapEff:\t0000000000000000"]


async def test_capabilities_can_be_added_and_dropped(rig: Rig) -> None:
    text = await shell(rig, "grep CapBnd /proc/self/status", cap_drop=["ALL"], cap_add=["kill"])
    assert text.endswith("0000000000000020")


async def test_dev_has_the_usual_few_and_can_be_used(rig: Rig) -> None:
    names = (await shell(rig, "ls /dev")).split()
    assert names == ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr",
                     "stdin", "stdout", "tty", "urandom", "zero"]  # fmt: skip
    assert await shell(rig, "echo x > /dev/null && head -c 3 /dev/zero | wc -c") == "3"


async def test_no_device_can_be_made_to_work(rig: Rig) -> None:
    text = await shell(rig, "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk; echo $?")
    assert text.endswith("1")


async def test_what_tells_of_the_host_is_hidden(rig: Rig) -> None:
    text = await shell(
        rig, "cat /proc/kallsyms /proc/keys /proc/timer_list | wc -c; ls /sys/firmware"
    )
    assert text == "0"


@pytest.mark.parametrize(
    "path",
    ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/irq/default_smp_affinity",
     "/sys/kernel/profiling", "/proc/sysrq-trigger"],
)  # fmt: skip
async def test_the_kernel_cannot_be_changed(rig: Rig, path: str) -> None:
    text = await shell(rig, f"[ -e {path} ] && echo x > {path} && echo written; true")
    assert "written" not in text


async def test_nothing_is_inherited(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "1")
    with open("/etc/hostname", "rb") as file:
        os.set_inheritable(file.fileno(), True)
        text = await shell(rig, "env; ls -l /proc/self/fd; pwd; cat /proc/self/environ")
    assert "SECRET" not in text
    fds = re.findall(r"(\d+) -> (\S+)", text)
    assert {number for number, _ in fds} <= {"0", "1", "2", "3"}
    assert [target for number, target in fds if number == "3" and "/proc" not in target] == []


async def test_the_interpreter_is_a_sealed_copy(rig: Rig) -> None:
    """CVE-2019-5736: what a box can reach of our program is a memory file nobody can write."""
    import fcntl

    link = await rig.detached("sleep", "1000")
    for pid in (link.shim_pid, rig.launcher.pid):
        exe = f"/proc/{pid}/exe"
        assert os.readlink(exe).startswith("/memfd:boxy-python")
        fd = os.open(exe, os.O_RDONLY)
        seals = fcntl.fcntl(fd, 1034)
        os.close(fd)
        assert seals == 0xF
        with pytest.raises(OSError, match=r"busy|permitted|denied"):
            os.open(exe, os.O_WRONLY)


async def test_a_reaper_cannot_be_looked_into(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000", init=True)
    script = "cat /proc/1/environ; ls -l /proc/1/exe /proc/1/fd /proc/1/cwd; cat /proc/1/maps"
    text = await inside(rig, link, script + " 2>&1")
    assert "python" not in text
    assert text.lower().count("denied") >= 4


async def test_the_cgroup_can_be_seen_but_not_changed(rig: Rig) -> None:
    text = await shell(rig, "find /sys/fs/cgroup -name cgroup.procs | head -n 1")
    assert text.startswith("/sys/fs/cgroup/")
    text = await shell(
        rig, f"cat {text}; mkdir /sys/fs/cgroup/x; echo 1 > {text}; cat /proc/self/cgroup"
    )
    assert "1" in text.split()
    assert text.count("Read-only") == 2
    assert rig.paths.cgroup not in text


async def test_a_read_only_root_is_one(rig: Rig) -> None:
    text = await shell(rig, "touch /x; touch /dev/shm/y && echo shm", read_only=True)
    assert "Read-only" in text
    assert text.endswith("shm")


async def test_loopback_works_and_nothing_else_is_there(rig: Rig) -> None:
    text = await shell(rig, "ls /sys/class/net; ping -c1 -W1 127.0.0.1 | grep -c ttl; ip route")
    assert text.split() == ["lo", "1"]


async def test_the_hosts_network_when_asked_for(rig: Rig) -> None:
    link = await rig.detached("sleep", "1000", network="host")
    assert os.readlink(f"/proc/{link.pid}/ns/net") == os.readlink("/proc/self/ns/net")
    text = await inside(rig, link, "ls /sys/class/net; echo 1 > /proc/sys/net/ipv4/ip_forward")
    assert set(os.listdir("/sys/class/net")) <= set(text.split())
    assert "Read-only" in text


async def test_without_a_user_namespace_the_rest_still_holds(rig: Rig) -> None:
    change = "echo x > /proc/sys/kernel/domainname"
    script = f"grep CapBnd /proc/self/status; mount -t tmpfs x /mnt; {change}"
    text = await shell(rig, script, userns="host")
    assert "00000000800405fb" in text
    assert "denied" in text
    assert "Read-only" in text


async def test_mounts_keep_their_numbers_and_can_be_read_only(rig: Rig, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("host's\n")
    os.chown(tmp_path / "file", 1234, 1234)
    made = [Mount(source=str(tmp_path), target="/rw/deep"),
            Mount(source=str(tmp_path / "file"), target="/ro", read_only=True)]  # fmt: skip
    text = await shell(
        rig, "stat -c %u /rw/deep/file; touch /rw/deep/new; cat /ro; echo x > /ro; "
        "cp /bin/busybox /rw/deep/su; chmod 4755 /rw/deep/su; grep deep /proc/mounts", mounts=made
    )  # fmt: skip
    assert text.splitlines()[:2] == ["1234", "host's"]
    assert "Read-only" in text
    assert "nosuid,nodev" in text
    assert (tmp_path / "new").stat().st_uid == 0


async def test_a_link_in_the_image_does_not_lead_a_mount_out(rig: Rig, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    for name, target in (("up", "../../../../../../.."), ("abs", str(outside))):
        (layer / name).symlink_to(target)
    os.chmod(tmp_path, 0o755)
    made = [Mount(source="/etc", target="/abs/sub"), Mount(source="/etc", target="/up/top")]
    layers = [rig.tree, str(layer)]
    text = await shell(rig, f"ls -d {outside}/sub/passwd /top/passwd", layers=layers, mounts=made)
    assert text.splitlines() == [f"{outside}/sub/passwd", "/top/passwd"]
    assert os.listdir(outside) == []


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
async def test_an_image_cannot_put_the_kernels_file_systems_elsewhere(
    rig: Rig, tmp_path: Path, name: str
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / name).symlink_to("tmp")
    with pytest.raises(StartFailed, match=f"/{name}"):
        await rig.launch(rig.plan("true", layers=[rig.tree, str(layer)]))


async def test_an_image_cannot_lead_a_mount_into_proc(rig: Rig, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "data").symlink_to("/proc/sys/kernel")
    mounts = [Mount(source="/etc", target="/data")]
    with pytest.raises(StartFailed, match="/data"):
        await rig.launch(rig.plan("true", layers=[rig.tree, str(layer)], mounts=mounts))


async def test_names_of_the_box_are_its_own(rig: Rig) -> None:
    text = await shell(
        rig, "hostname; cat /etc/hostname; grep -c localhost /etc/hosts", hostname="ship"
    )
    assert text.splitlines() == ["ship", "ship", "2"]
    assert os.uname().nodename != "ship"


async def test_sessions_have_keyrings_terminals_and_message_queues_of_their_own(rig: Rig) -> None:
    text = await shell(rig, "ls -d /dev/pts/ptmx /dev/mqueue; mount | grep -c -e devpts -e mqueue")
    assert text.splitlines() == ["/dev/mqueue", "/dev/pts/ptmx", "2"]


async def test_refused_system_calls(rig: Rig, tmp_path: Path) -> None:
    """Asked by a small Python program on the machine's own /usr, which the box sees."""
    tmp_path.chmod(0o755)
    (tmp_path / "probe.py").write_text(PROBE.read_text())
    binds = [Mount(source=os.path.realpath(name), target=name, read_only=True)
             for name in ("/usr", "/lib", "/lib64") if os.path.isdir(name)]  # fmt: skip
    layer = tmp_path / "empty"
    for name in ("proc", "sys", "dev", "etc", "tmp"):
        (layer / name).mkdir(parents=True)
    python = "/usr/bin/python3"
    if not os.path.exists(python):
        pytest.skip("the machine has no /usr/bin/python3")
    info, client = await rig.run(
        python, "-I", "/p/probe.py", layers=[str(layer)],
        mounts=[*binds, Mount(source=str(tmp_path), target="/p", read_only=True)],
    )  # fmt: skip
    assert (info.status, client.output().decode()) == (0, "all refused\n")


async def test_limits_of_the_process(rig: Rig) -> None:
    text = await shell(rig, "ulimit -c; ulimit -Hn")
    assert text.split() == ["0", str(rig.host.nofile)]


async def test_no_limit_can_be_a_reason_not_to_start(rig: Rig) -> None:
    made = rig.plan("true")
    made["rlimits"]["nofile"] = [1 << 30, 1 << 30]
    link, client = await rig.launch(made)
    await client.finish()
    assert any("nofile" in notice for notice in link.notices)


# ------------------------------------------------------------------------ older kernels


async def test_layers_by_path_where_descriptors_are_not_taken(rig: Rig) -> None:
    made = rig.plan("sh", "-c", "touch /new; stat -c %u /new /bin/busybox; exit 3")
    made["steps"][0]["by_path"] = True
    link, client = await rig.launch(made)
    await client.finish()
    assert (await link.wait_exit()).status == 3
    assert client.output() == b"0\n0\n"
    table = Path("/proc/self/mountinfo").read_text()
    assert rig.paths.root not in table
    assert rig.tree not in table
    assert (Path(made["box"]) / "upper/new").stat().st_uid == 0


async def test_a_layer_that_is_gone_is_told_by_either_way(rig: Rig) -> None:
    for by_path in (False, True):
        made = rig.plan("true", layers=["/nonexistent/layer"])
        made["steps"][0]["by_path"] = by_path
        with contextlib.suppress(FileNotFoundError):
            os.makedirs(made["steps"][0]["upper"])
        with pytest.raises(StartFailed, match="overlay") as caught:
            await rig.launch(made)
        assert caught.value.errno == 2
        assert "image" in caught.value.hint


async def test_pids_are_moved_where_a_process_may_not_move_itself(rig: Rig) -> None:
    made = rig.plan("sleep", "1000")
    made["cgroup"]["tasks"] = []
    made["cgroup"]["into"] = ""
    link, _ = await rig.launch(made)
    assert link.pid in rig.groups[-1].pids()
    await rig.exec(link, "sleep", "999")
    await eventually(lambda: len(rig.groups[-1].pids()) == 2)  # who made it ends right behind


async def test_several_layers_lie_in_order(rig: Rig, tmp_path: Path) -> None:
    layers = [rig.tree]
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "which").write_text(f"{number}\n")
        (folder / f"only{number}").write_text("")
        layers.append(str(folder))
    assert await shell(rig, "cat /which; ls -d /only*", layers=layers) == "2\n/only1\n/only2"


async def test_the_root_looks_as_the_images_does(rig: Rig, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir(mode=0o711)
    os.chmod(top, 0o711)
    made = rig.plan("stat", "-c", "%a", "/", layers=[rig.tree, str(top)])
    _, client = await rig.launch(made)
    await client.finish()
    assert client.output() == b"711\n"
    assert stat.S_IMODE(os.stat(made["box"] + "/work").st_mode) == 0o700
