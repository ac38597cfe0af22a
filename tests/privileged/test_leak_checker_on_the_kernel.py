"""Mounts and cgroups that a test leaves are found and taken away."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyd.network.addresses import instance_of
from tests.support.leaks import LeakChecker, cgroup_roots, remove_cgroup_root


@pytest.fixture
def checker(tmp_path: Path) -> LeakChecker:
    return LeakChecker(f"test-{secrets.token_hex(4)}", tmp_path)


@pytest.fixture
def own_cgroup(checker: LeakChecker) -> Iterator[Path]:
    """The root that this test's boxes would have in one hierarchy."""
    root = next(root for root in cgroup_roots() if root.name in ("pids", "cgroup", "unified"))
    own = root / "boxy" / checker.tag
    own.mkdir(parents=True)
    yield own
    remove_cgroup_root(checker.tag)


def test_a_mount_below_the_folder_is_found_and_cleared(
    checker: LeakChecker, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "leaked", str(tmp_path)], check=True)
    left = checker.wait_until_clean(seconds=0)
    checker.clear(left)
    assert [str(leak) for leak in left] == [f"mount {tmp_path}"]
    assert checker.wait_until_clean(seconds=0) == []


def test_a_box_that_left_its_cgroup_is_found_and_cleared(
    checker: LeakChecker, own_cgroup: Path
) -> None:
    box = own_cgroup / "0123456789ab"
    box.mkdir()
    left = checker.wait_until_clean(seconds=0)
    checker.clear(left)
    assert [leak.path for leak in left] == [str(box)]
    assert not box.exists()


@pytest.mark.usefixtures("own_cgroup")
def test_the_empty_root_of_a_tests_own_cgroups_is_no_leak(checker: LeakChecker) -> None:
    assert checker.wait_until_clean(seconds=0) == []


def test_a_link_of_a_daemon_of_this_test_is_found_and_cleared(
    checker: LeakChecker, tmp_path: Path
) -> None:
    link = f"bx{instance_of(f'{tmp_path}/d1/root')}v1"
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    left = checker.wait_until_clean(seconds=0)
    checker.clear(left)
    assert [str(leak) for leak in left] == [f"network link {link}"]
    assert checker.wait_until_clean(seconds=0) == []
