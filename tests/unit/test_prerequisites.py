"""What each lacking machine is told."""

from __future__ import annotations

import dataclasses

import pytest

from boxy_cli.prerequisites import CAP_SYS_ADMIN, Host, degraded, missing
from boxy_core.paths import VARIABLES

V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev 0 0\n"
V1 = (
    "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
    "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
)
WELL = Host(
    uid=0,
    capabilities=1 << CAP_SYS_ADMIN,
    kernel="6.1.0-18-amd64",
    filesystems="nodev\tproc\nnodev\toverlay\n\text4\n",
    mounts=V2,
    user_namespaces=1000,
)


def _sentence(**changes: object) -> str:
    """The one sentence for a good machine with these changes."""
    (sentence,) = missing(dataclasses.replace(WELL, **changes))  # type: ignore[arg-type]
    return sentence


def test_a_good_machine_lacks_nothing() -> None:
    assert missing(WELL) == []
    assert degraded(WELL) == []


def test_a_user_who_is_not_root_hears_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert "sudo make run" in _sentence(uid=1000, kernel="4.0", mounts="")
    monkeypatch.setenv("BOXY_ROOT", "/r")
    assert "sudo env BOXY_ROOT=/r make run" in _sentence(uid=1000), "sudo drops it"


def test_root_in_a_container_hears_of_the_capability() -> None:
    assert "CAP_SYS_ADMIN" in _sentence(capabilities=0b101)


@pytest.mark.parametrize("kernel", ["5.11.22", "4.19.0-26-amd64", "5.4", "3.10.0", "strange"])
def test_a_kernel_before_id_mapped_mounts_is_too_old(kernel: str) -> None:
    sentence = _sentence(kernel=kernel)
    assert kernel in sentence
    assert "5.12" in sentence


@pytest.mark.parametrize("kernel", ["5.12.0", "5.15.0-91-generic", "5.18"])
def test_a_kernel_without_id_mapped_overlay_works_less_well(kernel: str) -> None:
    host = dataclasses.replace(WELL, kernel=kernel)
    assert missing(host) == []
    assert "5.19" in degraded(host)[0]


@pytest.mark.parametrize("kernel", ["5.19", "6.0.1", "10.2.3"])
def test_a_newer_kernel_is_well(kernel: str) -> None:
    host = dataclasses.replace(WELL, kernel=kernel)
    assert missing(host) == degraded(host) == []


def test_a_kernel_without_overlayfs_hears_how_to_load_it() -> None:
    assert "modprobe overlay" in _sentence(filesystems="nodev\tproc\n\text4\n")


def test_a_filesystem_whose_name_only_contains_overlay_is_no_overlayfs() -> None:
    assert "modprobe overlay" in _sentence(filesystems="nodev\toverlayfs2\n")


@pytest.mark.parametrize("mounts", [V1, V2, V1 + V2])
def test_either_kind_of_cgroups_will_do(mounts: str) -> None:
    assert missing(dataclasses.replace(WELL, mounts=mounts)) == []


@pytest.mark.parametrize(
    "mounts",
    [
        "",
        V2.replace("rw", "ro"),
        "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n",
    ],
)
def test_cgroups_that_are_absent_read_only_or_bare_are_missing(mounts: str) -> None:
    assert "mount -t cgroup2" in _sentence(mounts=mounts)


def test_forbidden_user_namespaces_are_told_with_the_setting() -> None:
    assert "user.max_user_namespaces" in _sentence(user_namespaces=0)


def test_everything_that_is_missing_is_told_at_once() -> None:
    host = dataclasses.replace(WELL, kernel="5.0", filesystems="", mounts="", user_namespaces=0)
    assert len(missing(host)) == 4


def test_this_machine_can_be_read() -> None:
    host = Host.read()
    assert host.kernel_version > (3, 0)
    assert host.has_filesystem("proc")
    assert not host.has_filesystem("no-such-filesystem")
