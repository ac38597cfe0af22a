"""Mounts in real boxes: whose files they are, volumes, and what a box cannot make of them."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyd.runtime import syscalls as sys_
from tests.support.daemon import Daemon

ANN = 4242
"""a user of the host, who need not have a name"""


@pytest.fixture
def project(workspace: object) -> Path:
    folder = Path(workspace.folder) / "project"  # type: ignore[attr-defined]
    folder.mkdir()
    (folder / "old").write_text("old\n")
    for path in (folder, folder / "old"):
        os.chown(path, ANN, ANN)
    return folder


@pytest.fixture
def mounted(project: Path) -> Iterator[Path]:
    """The project as a mount point of its own, with whatever tests mount below it."""
    subprocess.run(["mount", "--bind", project, project], check=True)
    subprocess.run(["mount", "--make-private", project], check=True)
    yield project
    subprocess.run(["umount", "--recursive", "--lazy", project], check=True)


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_uid for path in folder.iterdir()}


def test_what_a_box_writes_into_a_users_folder_is_the_users(daemon: Daemon, project: Path) -> None:
    seen = daemon.run(
        "run", "--rm", "-v", f"{project}:/p", "alpine",
        "sh", "-c", "cd /p && echo new > new && mkdir -p d/e && touch d/e/f && "
        f"mv old moved && rm -rf d/e && stat -c %u . new moved && chown {ANN} new || echo refused",
    )  # fmt: skip
    assert seen.split() == ["0", "0", "0", "refused"]
    assert owners(project) == {"new": ANN, "d": ANN, "moved": ANN}
    daemon.run("run", "--rm", "-u", "1000:1000", "-v", f"{project}:/p", "alpine",
               "sh", "-c", "echo more >> /p/new; touch /p/another")  # fmt: skip
    assert set(owners(project).values()) == {ANN}
    daemon.run("run", "--rm", "--userns", "host", "-v", f"{project}:/p", "alpine",
               "touch", "/p/third")  # fmt: skip
    assert set(owners(project).values()) == {ANN}


def test_the_box_cannot_touch_what_is_roots_in_a_users_folder(
    daemon: Daemon, project: Path
) -> None:
    (project / "secret").write_text("of root\n")
    (project / "secret").chmod(0o600)
    done = daemon.boxy("run", "--rm", "-v", f"{project}:/p", "alpine",
                       "sh", "-c", "cat /p/secret || echo x > /p/secret")  # fmt: skip
    assert done.returncode != 0
    assert "of root" not in done.stdout
    assert (project / "secret").read_text() == "of root\n"


def test_numbers_are_kept_where_that_is_asked_for_or_the_folder_is_roots(
    daemon: Daemon, project: Path
) -> None:
    script = "touch /p/zero; touch /p/seven; chown 7 /p/seven"
    daemon.run("run", "--rm", "-v", f"{project}:/p:keep", "alpine", "sh", "-c", script)
    assert owners(project) == {"old": ANN, "zero": 0, "seven": 7}
    os.chown(project, 0, 0)
    daemon.run("run", "--rm", "-v", f"{project}:/p", "alpine", "touch", "/p/nought")
    assert owners(project)["nought"] == 0
    seen = daemon.run("run", "--rm", "-u", "7", "-v", f"{project}:/p:U", "alpine",
                      "sh", "-c", "touch /p/mine && stat -c %u /p/mine /p")  # fmt: skip
    assert seen.split() == ["7", "7"]
    assert owners(project)["mine"] == 0


def test_a_source_that_is_missing_is_an_error_unless_it_is_to_be_made(
    daemon: Daemon, project: Path
) -> None:
    missing = project / "a" / "b"
    done = daemon.boxy("run", "--rm", "-v", f"{missing}:/x", "alpine", "true")
    assert done.returncode == 125
    assert str(missing) in done.stderr
    assert "mkdir" in done.stderr
    daemon.run("run", "--rm", "-v", f"{missing}:/x:create", "alpine", "touch", "/x/f")
    assert owners(missing) == {"f": ANN}
    assert missing.stat().st_uid == ANN


def test_a_tree_with_a_bound_namespace_is_shown_without_it(daemon: Daemon, mounted: Path) -> None:
    (mounted / "ns").touch()
    (mounted / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "boxytest", mounted / "sub"], check=True)
    (mounted / "sub" / "file").touch()
    subprocess.run(["unshare", f"--mount={mounted}/ns", "true"], check=True)
    done = daemon.boxy("run", "--rm", "-v", f"{mounted}:/n", "alpine",
                       "sh", "-c", "ls /n /n/sub; wc -c < /n/ns")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["/n:", "ns", "old", "sub", "/n/sub:", "file", "0"]
    box = daemon.run("run", "-d", "-v", f"{mounted}:/n", "alpine", "true")
    [notice] = daemon.request("GET", f"/boxes/{box}")["notices"]
    assert "namespaces" in notice


def test_propagation_is_as_asked_for_or_told_to_be_impossible(
    daemon: Daemon, mounted: Path
) -> None:
    done = daemon.boxy("run", "--rm", "-v", f"{mounted}:/n:rslave", "alpine", "true")
    assert done.returncode == 125
    assert "make-shared" in done.stderr
    subprocess.run(["mount", "--make-shared", mounted], check=True)
    daemon.run("run", "-d", "--name", "slave", "-v", f"{mounted}:/n:rslave", "alpine",
               "sleep", "60")  # fmt: skip
    daemon.run("run", "-d", "--name", "alone", "-v", f"{mounted}:/n", "alpine", "sleep", "60")
    (mounted / "late").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "boxytest", mounted / "late"], check=True)
    (mounted / "late" / "seen").touch()
    assert daemon.run("exec", "slave", "ls", "/n/late") == "seen"
    assert daemon.run("exec", "alone", "ls", "/n/late") == ""


def test_a_box_that_swaps_a_source_for_a_symlink_gains_nothing(
    daemon: Daemon, project: Path
) -> None:
    """CVE-2021-30465's kind: the path of one box's source lies in what another can write."""
    (project / "logs").mkdir()
    os.chown(project / "logs", ANN, ANN)
    secret = project.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("the host's\n")
    daemon.run("run", "-d", "--name", "evil", "-v", f"{project}:/p", "alpine", "sleep", "600")
    stop = threading.Event()

    def swap() -> None:
        at = os.open(project, os.O_RDONLY)
        os.symlink(str(secret), "trap", dir_fd=at)
        while not stop.is_set():
            _exchange(at, "logs", "trap")
        os.close(at)

    thread = threading.Thread(target=swap)
    thread.start()
    seen, refused = [], 0
    try:
        for _ in range(15):
            done = daemon.boxy("run", "--rm", "-v", f"{project}/logs:/l", "alpine", "ls", "/l")
            refused += done.returncode == 125
            seen.append(done.stdout)
    finally:
        stop.set()
        thread.join()
    assert "key" not in "".join(seen)
    assert refused


def _exchange(folder: int, one: str, other: str) -> None:
    """renameat2(2), RENAME_EXCHANGE."""
    number = 316 if sys_.ARCH == "x86_64" else 276
    sys_._libc.syscall(number, folder, one.encode(), folder, other.encode(), 2)


def test_a_volume_is_filled_from_the_image_outlives_boxes_and_stays_while_it_is_used(
    daemon: Daemon,
) -> None:
    script = "ls /etc/apk/keys | wc -l; stat -c %u /etc/apk; echo mine > /etc/apk/mine"
    first = daemon.run("run", "--rm", "-v", "conf:/etc/apk", "alpine", "sh", "-c", script)
    assert int(first.split()[0]) > 0
    daemon.run("run", "-d", "--name", "user", "-v", "conf:/c:ro", "-v", "/own", "alpine",
               "sleep", "600")  # fmt: skip
    assert daemon.run("exec", "user", "cat", "/c/mine") == "mine"
    assert daemon.boxy("exec", "user", "touch", "/c/x").returncode != 0
    refused = daemon.boxy("volume", "rm", "conf")
    assert refused.returncode == 1
    assert "user" in refused.stderr
    [other] = [name for name in daemon.run("volume", "ls", "-q").split() if name != "conf"]
    daemon.run("run", "--rm", "--volumes-from", "user", "alpine", "touch", "/own/seen")
    assert daemon.run("exec", "user", "ls", "/own") == "seen"
    daemon.restart()
    assert set(daemon.run("volume", "ls", "-q").split()) == {"conf", other}
    daemon.run("rm", "-f", "-v", "user")
    assert daemon.run("volume", "ls", "-q") == "conf"
    assert "conf" in daemon.run("volume", "ls")
    assert daemon.run("volume", "rm", "conf") == "conf"
    assert os.listdir(daemon.paths.volumes) == []


def test_anonymous_volumes_go_with_a_box_that_is_removed_at_its_end(daemon: Daemon) -> None:
    daemon.run("run", "--rm", "-v", "/data", "alpine", "touch", "/data/x")
    assert daemon.run("volume", "ls", "-q") == ""
    daemon.run("volume", "create", "--label", "a=b", "kept")
    daemon.run("create", "--name", "b", "-v", "/data", "alpine")
    daemon.run("rm", "b")
    assert len(daemon.run("volume", "prune").split()) == 1
    assert daemon.run("volume", "ls", "-q", "--label", "a=b") == "kept"
    assert daemon.run("volume", "prune", "--all") == "kept"


def test_an_image_and_memory_are_mounted(daemon: Daemon) -> None:
    seen = daemon.boxy(
        "run", "--rm", "--mount", "type=image,src=alpine,dst=/im,image-subpath=etc",
        "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=750", "alpine",
        "sh", "-c", "test -e /im/passwd && stat -c %a /t; touch /im/x || echo refused",
    )  # fmt: skip
    assert seen.stdout.split() == ["750", "refused"]
