"""A box's own layer is measured everywhere, and limited where the file system counts projects.

The machines of developers rarely have such a file system, and a kernel may lack quotas: the
virtual machine of `make test-cgroup2` has both, so the tests of limits are made there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.privileged.daemon.test_real_boxes import output, run
from tests.support.daemon import Daemon, hurried
from tests.support.images import AlpineRegistry
from tests.support.unpacked import give_images
from tests.support.waiting import eventually


def test_what_a_layer_takes_is_told_and_a_limit_refused_where_it_cannot_be_kept(
    new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
) -> None:
    daemon = new_daemon(alpine_registry.folder)
    # looked at often, however long that takes
    daemon.program = hurried(disk__EVERY=0.5, disk__REST=1.0)
    daemon.start()
    write = "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null; sleep 100"
    box = daemon.run("run", "-d", "--name", "w", "alpine", "sh", "-c", write)
    eventually(lambda: (daemon.request("GET", f"/boxes/{box}")["disk"] or 0) >= 3 << 20, every=0.2)
    assert "MiB" in daemon.run("ps", "-s").splitlines()[1].split()[-1]
    (sample,) = daemon.request("GET", "/boxes")
    assert sample["disk"] >= 3 << 20
    assert daemon.request("GET", f"/boxes/{box}/stats", query={"stream": 0})["disk"] >= 3 << 20
    if not os.environ.get("BOXY_TEST_VM") and not _counted(daemon):
        refused = daemon.boxy("run", "--rm", "--disk", "10m", "alpine", "true")
        assert refused.returncode == 125
        assert "project quotas" in refused.stderr
        assert "prjquota" in refused.stderr
        assert daemon.boxy("update", "--disk", "10m", "w").returncode == 1


def _counted(daemon: Daemon) -> bool:
    features: dict[str, bool] = daemon.request("GET", "/info")["features"]
    return features["disk limits"]


if os.environ.get("BOXY_TEST_VM"):

    @pytest.fixture
    def quota_folder(tmp_path: Path) -> Iterator[Path]:
        """A small ext4 that counts projects."""
        image, folder = tmp_path / "disk", tmp_path / "mounted"
        folder.mkdir()
        image.touch()
        os.truncate(image, 120 << 20)
        subprocess.run(["modprobe", "-a", "loop", "quota_v2"], check=False)
        kind = ["-O", "project,quota", "-E", "quotatype=prjquota"]
        subprocess.run(["mkfs.ext4", "-q", "-F", *kind, image], check=True)
        subprocess.run(["mount", "-o", "loop,prjquota", image, folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)

    def test_a_layer_is_limited_at_once_and_anew(
        quota_folder: Path,
        new_daemon: Callable[..., Daemon],
        alpine_registry: AlpineRegistry,
        unpacked_alpine: Path,
    ) -> None:
        daemon = new_daemon(alpine_registry.folder)
        daemon.env["BOXY_ROOT"] = str(quota_folder / "root")
        give_images(daemon, unpacked_alpine)
        daemon.start()
        assert _counted(daemon)
        box = run(daemon, init=True, limits={"disk": 8 << 20})["id"]
        assert "Quota exceeded" in fill(daemon, box, "big1")
        assert size(daemon, box, "big1") <= 8 << 20
        daemon.request("POST", f"/boxes/{box}/update", body={"disk": 12 << 20})
        assert "Quota exceeded" in fill(daemon, box, "big2")
        assert 3 << 20 <= size(daemon, box, "big2") <= 4 << 20
        # what is copied counts like what is written: in a clone, and in a layer that is restored
        daemon.request("POST", f"/boxes/{box}/snapshots", query={"name": "full"})
        copy = daemon.request("POST", f"/boxes/{box}/clone", query={"name": "copy"})["id"]
        daemon.request("POST", f"/boxes/{copy}/start", body={})
        daemon.request("POST", f"/boxes/{box}/snapshots/full/restore", query={"restart": "1"})
        for one in (box, copy):
            assert "Quota exceeded" in fill(daemon, one, "big4")
            assert size(daemon, one, "big1") > 7 << 20
            assert size(daemon, one, "big4") < 1 << 20
        many = "cd /tmp; i=0; while true > f$i; do i=$((i+1)); done 2>/dev/null; echo $i"
        little = run(daemon, limits={"disk": 1 << 20})["id"]
        made = said(daemon, little, many)
        assert 900 < int(made) <= 1024, "empty files are limited, too"
        other = run(daemon)["id"]
        assert "Quota" not in fill(daemon, other, "big3")
        daemon.stop()
        daemon.start()
        daemon.request("DELETE", f"/boxes/{box}", query={"force": "1"})
        daemon.close()

    def said(daemon: Daemon, box: str, script: str) -> str:
        """What a shell script in the box prints."""
        body = {"command": ["sh", "-c", f"exec 2>&1; {script}"]}
        return output(daemon.client().upgrade(f"/boxes/{box}/exec", body=body))[0].decode()

    def fill(daemon: Daemon, box: str, name: str) -> str:
        """Write a file of 15 MiB, or as much as may be; what is said about it."""
        return said(daemon, box, f"dd if=/dev/zero of=/{name} bs=1M count=15; true")

    def size(daemon: Daemon, box: str, name: str) -> int:
        return Path(daemon.paths.box(box), "upper", name).stat().st_size
