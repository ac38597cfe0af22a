"""Mounts and cgroups that a test leaves are found and taken away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.leaks import LeakChecker, cgroup_roots, remove_cgroup_root

TAG = "test-0badcafe"


@pytest.fixture
def checker(tmp_path: Path) -> LeakChecker:
    return LeakChecker(TAG, tmp_path)


def test_a_mount_below_the_folder_is_found_and_cleared(
    checker: LeakChecker, tmp_path: Path
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "leaked", str(tmp_path)], check=True)
    left = checker.wait_until_clean(seconds=0)
    checker.clear(left)
    assert [str(leak) for leak in left] == [f"mount {tmp_path}"]
    assert checker.wait_until_clean(seconds=0) == []


def test_a_box_that_left_its_cgroup_is_found_and_cleared(checker: LeakChecker) -> None:
    root = next(root for root in cgroup_roots() if root.name in ("pids", "cgroup", "unified"))
    box = root / "boxy" / TAG / "0123456789ab"
    box.mkdir(parents=True)
    left = checker.wait_until_clean(seconds=0)
    checker.clear(left)
    remove_cgroup_root(TAG)
    assert [leak.path for leak in left] == [str(box)]
    assert not box.parent.exists()


def test_the_empty_root_of_a_tests_own_cgroups_is_no_leak(checker: LeakChecker) -> None:
    root = next(root for root in cgroup_roots() if root.name in ("pids", "cgroup", "unified"))
    own = root / "boxy" / TAG
    own.mkdir(parents=True)
    try:
        assert checker.wait_until_clean(seconds=0) == []
    finally:
        remove_cgroup_root(TAG)
