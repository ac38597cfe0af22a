"""What every cgroup driver must do, whatever the host: run on fakes and on real cgroups.

A test class inherits it and gives the fixture `driver`, whose boxes live below the cgroup that
the fixture `parent` names.
"""

from __future__ import annotations

import os

import pytest

from boxy_core.errors import InvalidRequest, NotFound
from boxy_core.models import Limits
from boxyd.cgroup import Driver
from boxyd.cgroup.interface import Cgroup
from boxyd.cgroup.limits import DEFAULT_PIDS
from boxyd.cgroup.reader import MEMORY_LIMIT, PIDS_LIMIT

MIB = 1 << 20


def limits_in_force(group: Cgroup) -> tuple[int, int]:
    """Memory and number of processes, as the kernel has them; 0: no limit."""
    reader = group.reader()
    row = reader.read()
    reader.close()
    return row[MEMORY_LIMIT], row[PIDS_LIMIT]


def folders(group: Cgroup) -> list[str]:
    """Where the cgroup is, in each hierarchy."""
    return [os.path.dirname(path) for path in group.plan().procs]


class DriverSuite:
    """The shared part of the driver tests."""

    def test_a_new_cgroup_is_in_every_hierarchy_and_gone_after_removal(
        self, driver: Driver, parent: str
    ) -> None:
        group = driver.create(f"{parent}/one", Limits())
        where = folders(group)
        assert where
        assert all(os.path.isdir(folder) for folder in where)
        group.remove()
        assert not any(os.path.exists(folder) for folder in where)

    def test_removing_twice_is_harmless(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        group.remove()
        group.remove()

    def test_the_plan_names_files_that_exist(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        plan = group.plan()
        assert all(os.path.isfile(path) for path in (*plan.tasks, *plan.procs, plan.oom))
        assert plan.into in ("", *folders(group))
        assert len(plan.tasks) + bool(plan.into) == len(plan.procs)
        group.remove()

    def test_a_left_over_of_the_same_name_is_made_anew(self, driver: Driver, parent: str) -> None:
        driver.create(f"{parent}/one", Limits(memory=64 * MIB))
        group = driver.create(f"{parent}/one", Limits())
        assert limits_in_force(group)[0] == 0
        group.remove()

    def test_cgroups_below_it_go_with_it(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        inner = driver.create(f"{parent}/one/inner/most", Limits())
        where = folders(group)
        group.remove()
        assert not inner.populated()
        assert not any(os.path.exists(folder) for folder in where)

    def test_processes_are_limited_unasked(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        assert limits_in_force(group) == (0, DEFAULT_PIDS)
        group.remove()

    def test_limits_come_into_force_and_go_again(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits(memory=64 * MIB, pids=50, cpus=0.5))
        assert limits_in_force(group) == (64 * MIB, 50)
        assert group.set(Limits(memory=128 * MIB, pids=-1)) == []
        assert limits_in_force(group) == (128 * MIB, 0)
        assert group.set(Limits(memory=32 * MIB)) == []
        assert limits_in_force(group) == (32 * MIB, DEFAULT_PIDS)
        group.set(Limits())
        assert limits_in_force(group) == (0, DEFAULT_PIDS)
        group.remove()

    def test_a_cgroup_is_found_again_and_its_limits_changed(
        self, driver: Driver, parent: str
    ) -> None:
        driver.create(f"{parent}/one", Limits(memory=64 * MIB))
        group = driver.open(f"{parent}/one")
        assert limits_in_force(group) == (64 * MIB, DEFAULT_PIDS)
        group.set(Limits(pids=7))
        assert limits_in_force(group) == (0, 7)
        group.remove()

    def test_a_reader_sees_changed_limits(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits(pids=5))
        reader = group.reader()
        assert reader.read()[PIDS_LIMIT] == 5
        group.set(Limits(pids=6))
        assert reader.read()[PIDS_LIMIT] == 6
        reader.close()
        group.remove()

    def test_opening_what_is_gone_says_so(self, driver: Driver, parent: str) -> None:
        with pytest.raises(NotFound, match="nowhere"):
            driver.open(f"{parent}/nowhere")

    @pytest.mark.parametrize(
        ("limits", "field"),
        [
            (Limits(memory=4096), "memory"),
            (Limits(memory=64 * MIB, memory_swap=32 * MIB), "memory_swap"),
            (Limits(memory_swap=64 * MIB), "memory_swap"),
            (Limits(cpus=0), "cpus"),
            (Limits(cpus=float("nan")), "cpus"),
            (Limits(cpu_shares=1), "cpu_shares"),
            (Limits(cpuset="all"), "cpuset"),
            (Limits(cpuset=""), "cpuset"),
            (Limits(pids=0), "pids"),
            (Limits(io_weight=5000), "io_weight"),
            (Limits(io_read_bps={"/dev/null": 5}), "/dev/null"),
            (Limits(io_write_bps={"/nonexistent": 5}), "/nonexistent"),
            (Limits(hugetlb={"../x": 1}), "hugetlb"),
        ],
    )
    def test_nonsense_is_refused_and_makes_nothing(
        self, driver: Driver, parent: str, limits: Limits, field: str
    ) -> None:
        with pytest.raises(InvalidRequest, match=field):
            driver.check(limits)
        with pytest.raises(InvalidRequest, match=field):
            driver.create(f"{parent}/one", limits)
        with pytest.raises(NotFound):
            driver.open(f"{parent}/one")

    def test_freezing_is_seen_and_undone(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        assert not group.frozen()
        group.freeze()
        assert group.frozen()
        group.thaw()
        assert not group.frozen()
        group.remove()

    def test_an_empty_cgroup_has_nothing_to_kill(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        assert group.pids() == []
        assert not group.populated()
        group.kill()
        group.remove()

    def test_a_removed_parent_is_made_again(self, driver: Driver, parent: str) -> None:
        driver.create(f"{parent}/more/one", Limits()).remove()
        driver.open(f"{parent}/more").remove()
        group = driver.create(f"{parent}/more/one", Limits(memory=64 * MIB))
        assert limits_in_force(group)[0] == 64 * MIB
        group.remove()

    def test_the_mounts_of_a_box_name_every_hierarchy(self, driver: Driver, parent: str) -> None:
        group = driver.create(f"{parent}/one", Limits())
        assert len(driver.mounts) == len(group.plan().procs)
        assert {mount.type for mount in driver.mounts} <= {"cgroup", "cgroup2"}
        group.remove()

    def test_the_cgroup_above_the_boxes_goes_with_the_driver_once_it_is_empty(
        self, driver: Driver, parent: str
    ) -> None:
        group = driver.create(f"{parent}/one", Limits())
        driver.close()
        driver.open(parent)  # still there: a box is in it
        group.remove()
        driver.close()
        with pytest.raises(NotFound):
            driver.open(parent)
