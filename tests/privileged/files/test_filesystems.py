"""Other file systems than the usual: one that shares blocks, one whose owners cannot be mapped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.images import AlpineRegistry

ANN = 4242
BIG = 48 << 20


def test_a_file_system_that_cannot_be_mapped_is_mounted_as_it_is_and_told_of(
    daemon: Daemon, workspace: object
) -> None:
    """An overlay is one: the kernel maps its layers, not itself."""
    folder = Path(workspace.folder)  # type: ignore[attr-defined]
    low, up, work, there = (folder / name for name in ("low", "up", "work", "there"))
    for place in (low, up, work, there):
        place.mkdir()
    (low / "file").write_text("seen\n")
    for place in (low, up):
        os.chown(place, ANN, ANN)
    options = f"lowerdir={low},upperdir={up},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "boxytest", there], check=True)
    try:
        script = "cat /m/file; stat -c %u /m; touch /m/x 2>/dev/null || echo refused"
        done = daemon.boxy("run", "-d", "--name", "m", "-v", f"{there}:/m", "alpine", "sh", "-c",
                           script)  # fmt: skip
        daemon.run("wait", "m")
        assert daemon.run("logs", "m").split() == ["seen", "65534", "refused"]
        assert f"{there} is on a file system whose ids cannot be mapped" in done.stderr
        assert "--userns host" in done.stderr
        script = "stat -c %u /m; touch /m/x; stat -c %u /m/x"
        told = daemon.run("run", "--rm", "--userns", "host", "-v", f"{there}:/m", "alpine",
                          "sh", "-c", script)  # fmt: skip
        assert told.split() == [str(ANN), "0"]
    finally:
        subprocess.run(["umount", there], check=True)


if shutil.which("mkfs.xfs") and "\txfs\n" in Path("/proc/filesystems").read_text():

    @pytest.fixture
    def xfs(workspace: object) -> Iterator[Path]:
        """A small XFS, which shares blocks between files (reflinks)."""
        image, folder = (Path(workspace.folder, name) for name in ("disk", "x"))  # type: ignore[attr-defined]
        folder.mkdir()
        image.touch()
        os.truncate(image, 400 << 20)
        subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)

    def test_copies_of_a_layer_share_its_blocks_where_the_file_system_can(
        xfs: Path, new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
    ) -> None:
        daemon = new_daemon(alpine_registry.folder)
        daemon.env["BOXY_ROOT"] = str(xfs / "root")
        daemon.start()
        fill = f"dd if=/dev/urandom of=/big bs=1M count={BIG >> 20} 2>/dev/null; sync"
        daemon.run("run", "-d", "--init", "--name", "w", "alpine", "sleep", "300")
        daemon.run("exec", "w", "sh", "-c", fill)
        before = _used(xfs)
        daemon.run("snapshot", "create", "w", "s")
        daemon.run("clone", "--start", "w", "copy")
        daemon.run("snapshot", "restore", "--restart", "w", "s")
        subprocess.run(["sync", "-f", xfs], check=True)
        assert _used(xfs) - before < BIG // 4  # three more copies
        [snapshot] = daemon.request("GET", "/boxes/w/snapshots")
        assert snapshot["shared"] is True
        assert snapshot["size"] >= BIG
        assert "yes" in daemon.run("snapshot", "ls", "w").splitlines()[1]
        sums = [daemon.run("exec", box, "md5sum", "/big") for box in ("w", "copy")]
        assert sums[0] == sums[1]
        daemon.run("exec", "copy", "sh", "-c", "echo other > /big")
        assert daemon.run("exec", "w", "md5sum", "/big") == sums[0]
        daemon.remove_boxes()
        daemon.close()


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize
