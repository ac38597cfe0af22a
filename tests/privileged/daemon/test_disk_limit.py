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

from tests.support.daemon import Daemon, hurried
from tests.support.images import AlpineRegistry
from tests.support.waiting import eventually


def test_what_a_layer_takes_is_told_and_a_limit_refused_where_it_cannot_be_kept(
    new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
) -> None:
    daemon = new_daemon(alpine_registry.folder)
    daemon.program = hurried(disk__EVERY=0.5)
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
        os.truncate(image, 200 << 20)
        subprocess.run(["modprobe", "-a", "loop", "quota_v2"], check=False)
        kind = ["-O", "project,quota", "-E", "quotatype=prjquota"]
        subprocess.run(["mkfs.ext4", "-q", "-F", *kind, image], check=True)
        subprocess.run(["mount", "-o", "loop,prjquota", image, folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)

    def test_a_layer_is_limited_at_once_and_anew(
        quota_folder: Path, new_daemon: Callable[..., Daemon], alpine_registry: AlpineRegistry
    ) -> None:
        daemon = new_daemon(alpine_registry.folder)
        daemon.env["BOXY_ROOT"] = str(quota_folder / "root")
        daemon.start()
        assert _counted(daemon)
        fill = "dd if=/dev/zero of=/big{} bs=1M count=35 2>&1; true"
        box = daemon.run("run", "-d", "--init", "--disk", "20m", "alpine", "sleep", "300")
        assert "Quota exceeded" in daemon.run("exec", box, "sh", "-c", fill.format(1))
        upper = Path(daemon.paths.box(daemon.request("GET", f"/boxes/{box}")["id"]), "upper")
        assert (upper / "big1").stat().st_size <= 20 << 20
        daemon.run("update", "--disk", "30m", box)
        assert "Quota exceeded" in daemon.run("exec", box, "sh", "-c", fill.format(2))
        assert 8 << 20 <= (upper / "big2").stat().st_size <= 10 << 20
        # what is copied counts like what is written: in a clone, and in a layer that is restored
        daemon.run("snapshot", "create", box, "full")
        daemon.run("clone", "--start", box, "copy")
        daemon.run("snapshot", "restore", "--restart", box, "full")
        for one in (box, "copy"):
            assert "Quota exceeded" in daemon.run("exec", one, "sh", "-c", fill.format(4))
            layer = Path(daemon.paths.box(daemon.request("GET", f"/boxes/{one}")["id"]), "upper")
            assert (layer / "big1").stat().st_size > 19 << 20
            assert (layer / "big4").stat().st_size < 2 << 20
        many = "cd /tmp; i=0; while true > f$i; do i=$((i+1)); done 2>/dev/null; echo $i"
        made = daemon.run("run", "--rm", "--disk", "1m", "alpine", "sh", "-c", many, timeout=100)
        assert 900 < int(made) <= 1024, "empty files are limited, too"
        other = daemon.run("run", "--rm", "alpine", "sh", "-c", fill.format(3))
        assert "Quota" not in other
        daemon.stop()
        daemon.start()
        daemon.run("rm", "-f", box)
        daemon.close()
