"""Copying files in and out of real boxes, comparing, keeping: also while a box works against it."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.waiting import eventually

WRITER = "i=0; while :; do i=$((i+1)); echo $i > /a; echo $i > /b; done"


def _writes(daemon: Daemon, name: str) -> None:
    """Wait until the box is in the middle of its writing."""
    upper = Path(daemon.paths.box(daemon.request("GET", f"/boxes/{name}")["id"]), "upper")
    eventually((upper / "b").exists)


@pytest.fixture
def here(workspace: object) -> Path:
    folder = Path(workspace.folder) / "here"  # type: ignore[attr-defined]
    folder.mkdir()
    return folder


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def stream(daemon: Daemon, *words: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(daemon.command(*words), env=daemon.env, input=stdin,
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_files_go_in_and_out_by_dockers_rules(daemon: Daemon, here: Path, runs: bool) -> None:
    daemon.run("run", "-d", "--name", "box", "alpine", "sh", "-c",
               "mkdir -p /d/e && echo 1 > /d/e/f && ln -s e /d/l && touch /ready && "
               "sleep 600")  # fmt: skip
    eventually(lambda: daemon.boxy("exec", "box", "test", "-e", "/ready").returncode == 0)
    if not runs:
        daemon.run("stop", "-t", "0", "box")
    daemon.run("cp", "box:/d", str(here))
    assert (here / "d" / "e" / "f").read_text() == "1\n"
    assert os.readlink(here / "d" / "l") == "e"
    daemon.run("cp", "box:/d/.", str(here / "fresh"))
    assert (here / "fresh" / "e" / "f").exists()
    daemon.run("cp", "box:/d/e/f", str(here / "renamed"))
    assert (here / "renamed").read_text() == "1\n"
    daemon.run("cp", "-L", "box:/d/l", str(here / "led"))
    assert (here / "led" / "f").read_text() == "1\n"
    assert daemon.boxy("cp", "box:/d", str(here / "renamed")).returncode != 0
    assert "no such" in daemon.boxy("cp", "box:/d", "/no such/x").stderr
    missing = daemon.boxy("cp", "box:/none", str(here))
    assert missing.returncode == 1
    assert "/none" in missing.stderr

    (here / "big").write_bytes(os.urandom(5 << 20))
    os.chown(here / "big", 1234, 1234)
    (here / "big").chmod(0o640)
    daemon.run("cp", str(here / "big"), "box:/d/e")
    daemon.run("cp", "-a", str(here / "big"), "box:/d/owned")
    daemon.run("cp", str(here / "fresh") + "/.", "box:/d/new")
    assert "mkdir" in daemon.boxy("cp", str(here / "big"), "box:/nowhere/").stderr
    told = members(stream(daemon, "cp", "box:/d", "-"))
    assert (told["d/e/big"].uid, told["d/e/big"].mode, told["d/e/big"].size) == (0, 0o640, 5 << 20)
    assert told["d/owned"].uid == 1234
    assert "d/new/e/f" in told
    stream(daemon, "cp", "-", "box:/d/e", stdin=stream(daemon, "cp", "box:/d/e/big", "-"))
    changes = json.loads(daemon.run("diff", "--json", "box"))
    assert {"kind": "A", "path": "/d/owned"} in changes
    assert not [c for c in changes if c["path"].startswith("/etc/")]


def test_a_box_that_swaps_symlinks_meanwhile_gains_nothing(daemon: Daemon, here: Path) -> None:
    """CVE-2018-15664's kind: /d is now a folder, now a symlink to places of the host's."""
    marker = here / "marker"
    marker.mkdir()
    (marker / "secret").write_text("the host's\n")
    daemon.run("run", "-d", "--name", "evil", "alpine", "sh", "-c",
               f"mkdir /d /keep; ln -s {marker} /l; touch /ready; "
               "while :; do mv -T /d /x; mv -T /l /d; mv -T /d /l; mv -T /x /d; done")  # fmt: skip
    eventually(lambda: daemon.boxy("exec", "evil", "test", "-e", "/ready").returncode == 0)
    (here / "file").write_text("ours\n")
    for _ in range(8):
        daemon.boxy("cp", str(here / "file"), "evil:/d/file")
        out = daemon.boxy("cp", "evil:/d/.", "-")
        assert "the host's" not in out.stdout
    assert sorted(path.name for path in marker.iterdir()) == ["secret"]


def test_a_copy_of_a_working_box_is_of_one_moment(daemon: Daemon, here: Path) -> None:
    daemon.run("run", "-d", "--name", "w", "alpine", "sh", "-c", WRITER)
    _writes(daemon, "w")
    for number in range(4):
        snapshot = daemon.request("POST", "/boxes/w/snapshots", query={"name": f"s{number}"})
        assert 0 < snapshot["frozen"] < 5
        upper = Path(daemon.paths.box(daemon.request("GET", "/boxes/w")["id"]))
        kept = upper / "snapshots" / f"s{number}" / "upper"
        a, b = (int((kept / name).read_text() or -1) for name in "ab")
        assert a in (-1, b, b + 1) or b == -1
    assert daemon.request("GET", "/boxes/w")["status"] == "running"
    first = int(daemon.run("exec", "w", "cat", "/b") or 0)
    eventually(lambda: int(daemon.run("exec", "w", "cat", "/b") or 0) > first)
    assert [line.split()[0] for line in daemon.run("snapshot", "ls", "w").splitlines()[1:]] == [
        "s0", "s1", "s2", "s3",
    ]  # fmt: skip


def test_a_daemon_that_is_killed_in_between_leaves_no_box_frozen(daemon: Daemon) -> None:
    box = daemon.run("run", "-d", "alpine", "sh", "-c", WRITER)
    _writes(daemon, box)
    stop = threading.Event()

    def take() -> None:
        while not stop.is_set():
            try:
                daemon.request("POST", f"/boxes/{box}/snapshots")
            except Exception:  # noqa: BLE001 - the daemon is killed meanwhile
                return

    thread = threading.Thread(target=take)
    thread.start()
    mark = Path(daemon.paths.box(box), "frozen")
    eventually(mark.exists, every=0)  # it stands for milliseconds
    daemon.kill()
    stop.set()
    thread.join()
    daemon.start()
    assert daemon.request("GET", f"/boxes/{box}")["status"] == "running"
    assert not mark.exists()
    assert not [name for name in os.listdir(mark.parent) if name.startswith(".copy")]
    before = daemon.run("exec", box, "cat", "/b")
    eventually(lambda: daemon.run("exec", box, "cat", "/b") != before)


def test_a_snapshot_is_restored_a_box_cloned_exported_and_committed(
    daemon: Daemon, here: Path
) -> None:
    daemon.run("run", "-d", "--name", "db", "-v", "data:/data", "alpine", "sh", "-c",
               "echo one > /f; rm -rf /etc/apk /etc/motd; mkdir /etc/apk; touch /data/x /ready; "
               "sleep 600")  # fmt: skip
    eventually(lambda: daemon.boxy("exec", "db", "test", "-e", "/ready").returncode == 0)
    daemon.run("snapshot", "create", "db", "before")
    daemon.run("exec", "db", "sh", "-c", "echo two > /f")
    refused = daemon.boxy("snapshot", "restore", "db", "before")
    assert refused.returncode == 1
    assert "--restart" in refused.stderr

    assert daemon.run("clone", "--start", "db", "copy") == "copy"
    assert daemon.run("exec", "copy", "cat", "/data/x") == ""
    archive = members(stream(daemon, "export", "db"))
    assert archive["f"].size == 4
    assert "etc/motd" not in archive
    assert "etc/apk/keys" not in archive
    assert "data/x" not in archive

    name = daemon.run("commit", "-c", 'CMD ["cat", "/f"]', "-c", "ENV A=b", "db", "mine:1")
    assert name == "mine:1"
    assert daemon.run("run", "--rm", "mine:1") == "two"
    assert daemon.run("run", "--rm", "mine:1", "sh", "-c", "echo $A; ls /etc/apk; ls /etc/motd "
                      "2>/dev/null || echo gone").split() == ["b", "gone"]  # fmt: skip
    bad = daemon.boxy("commit", "-c", "RUN make", "db", "mine:2")
    assert bad.returncode == 1
    assert "RUN" in bad.stderr
    saved = here / "image.tar"
    daemon.run("save", "-o", str(saved), "mine:1")
    assert len([n for n in members(saved.read_bytes()) if n.startswith("blobs/sha256/")]) >= 4
    moved = newest_layer(daemon)
    assert ("etc/motd", stat.S_IFCHR, 0) in [entry[:3] for entry in moved]
    daemon.run("rmi", "mine:1")
    daemon.run("load", "-i", str(saved))
    daemon.run("run", "--rm", "mine:1", "true")
    assert newest_layer(daemon) == moved  # unpacked it is what had been moved there

    daemon.run("exec", "db", "sh", "-c", "echo three > /g")
    daemon.run("stop", "-t", "0", "db")
    daemon.run("snapshot", "restore", "db", "before")
    told = members(stream(daemon, "cp", "db:/", "-"))
    assert "g" not in told
    daemon.run("snapshot", "rm", "db", "before")
    assert daemon.boxy("snapshot", "restore", "db", "before").returncode == 1


def newest_layer(daemon: Daemon) -> list[tuple[str, int, int, int, int, int, int]]:
    """What is in the layer that was made last: path, kind, device, mode, owners, time."""
    layers = [path for path in Path(daemon.paths.layers).iterdir() if not path.is_symlink()]
    made = max((path for path in layers if (path / "tree").is_dir()),
               key=lambda path: (path / "layer.json").stat().st_mtime_ns)  # fmt: skip
    found = []
    for path in sorted((made / "tree").rglob("*")):
        told = path.lstat()
        kind, mode = stat.S_IFMT(told.st_mode), stat.S_IMODE(told.st_mode)
        if kind == stat.S_IFCHR:
            mode = 0  # a whiteout's does not count
        owners = (told.st_uid, told.st_gid) if kind != stat.S_IFCHR else (0, 0)
        when = told.st_mtime_ns // 10**9 if kind == stat.S_IFREG else 0
        name = str(path.relative_to(made / "tree"))
        found.append((name, kind, told.st_rdev, mode, *owners, when))
    return found


def test_a_client_that_leaves_in_the_middle_of_a_copy_keeps_no_box_from_starting(
    daemon: Daemon,
) -> None:
    daemon.run("create", "--name", "still", "alpine", "sleep", "300")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(daemon.env["BOXY_SOCKET"])
        sock.sendall(b"POST /boxy/v1/boxes/still/archive?path=/ HTTP/1.1\r\nHost: x\r\n"
                     b"Content-Length: 100000\r\n\r\nonly the beginning")  # fmt: skip
        time.sleep(0.3)
    began = time.monotonic()
    daemon.run("start", "still")
    assert time.monotonic() - began < 25
    assert daemon.run("exec", "still", "echo", "there") == "there"
