"""Every driver on a played kernel: the shared suite, and what each kind has of its own."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from boxy_core.errors import Conflict, InvalidRequest, Unsupported
from boxy_core.models import Limits
from boxyd.cgroup import detect
from boxyd.cgroup.devices_bpf import DevicePrograms
from boxyd.cgroup.interface import Cgroup, Driver
from boxyd.cgroup.null import NullDriver
from tests.support.cgroup_fake import TMPFS_MAGIC, V1_FILES, FakeKernel
from tests.support.cgroup_suite import MIB, DriverSuite

LAYOUTS = ("v2", "hybrid", "v1", "v1 mounted together")


def kernel_of(layout: str, root: Path) -> FakeKernel:
    """The hierarchies of a kind of host."""
    if layout == "v2":
        return FakeKernel(root, unified="")
    if layout == "hybrid":
        return FakeKernel(root, V1_FILES, unified="unified", controllers=())
    if layout == "v1":
        return FakeKernel(root, V1_FILES)
    (root / "cpu").symlink_to("cpu,cpuacct")
    names = [name for name in V1_FILES if not name.startswith("cpu")]
    return FakeKernel(root, ["cpu,cpuacct", "cpuset", *names])


@pytest.fixture(autouse=True)
def no_bpf(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An ordinary folder takes no device program: note where it was to go."""
    attached: list[str] = []
    monkeypatch.setattr(DevicePrograms, "attach", lambda _, path, rules: attached.append(path))
    return attached


@pytest.fixture
def parent() -> str:
    return "boxy"


class TestEveryDriver(DriverSuite):
    """The shared suite."""

    @pytest.fixture(params=LAYOUTS)
    def driver(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Driver:
        kernel = kernel_of(request.param, tmp_path)
        kernel.install(monkeypatch)
        return kernel.driver()


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    kernel = kernel_of("v2", tmp_path)
    kernel.install(monkeypatch)
    return kernel


@pytest.fixture
def v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    kernel = kernel_of("v1", tmp_path)
    kernel.install(monkeypatch)
    return kernel


@pytest.fixture
def hybrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    kernel = kernel_of("hybrid", tmp_path)
    kernel.install(monkeypatch)
    return kernel


# ------------------------------------------------------------------ detection


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kind_is_told_by_the_mounted_file_systems(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of(layout, tmp_path)
    kernel.install(monkeypatch)
    driver = kernel.driver()
    assert driver.kind == layout.split(maxsplit=1)[0]
    assert {"cpu", "memory", "pids", "io", "cpuset"} <= driver.controllers
    assert driver.notices == []


def test_a_hybrid_host_can_be_used_as_v1_alone(hybrid: FakeKernel) -> None:
    driver = hybrid.driver(unified=False)
    assert driver.kind == "v1"
    assert driver.create("boxy/one", Limits()).plan().into == ""


def test_links_to_a_hierarchy_are_not_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of("v1 mounted together", tmp_path)
    kernel.install(monkeypatch)
    assert "cpu" not in [mount.target for mount in kernel.driver().mounts]
    assert "cpu,cpuacct" in [mount.options for mount in kernel.driver().mounts]


def test_a_missing_controller_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(tmp_path, unified="", controllers=("cpu", "io", "pids", "cpuset"))
    kernel.install(monkeypatch)
    driver = kernel.driver()
    assert [notice for notice in driver.notices if "memory limits" in notice]
    with pytest.raises(Unsupported, match="memory limit") as refusal:
        driver.check(Limits(memory=64 * MIB))
    assert refusal.value.hint
    with pytest.raises(Unsupported):
        driver.create("boxy/one", Limits(memory=64 * MIB))
    assert not (tmp_path / "boxy/one").exists()
    driver.create("boxy/one", Limits()).remove()


def test_a_kernel_without_swap_accounting_is_told(v2: FakeKernel) -> None:
    v2.missing.add("memory.swap.max")
    driver = v2.driver()
    assert any("swap" in notice for notice in driver.notices)
    driver.create("boxy/one", Limits(memory=64 * MIB)).remove()
    with pytest.raises(Unsupported, match="swap"):
        driver.check(Limits(memory=64 * MIB, memory_swap=128 * MIB))


# ------------------------------------------------------------------ no cgroups at all


def no_cgroups(root: Path) -> Driver:
    return detect(str(root), magic=lambda _: TMPFS_MAGIC, own="")


def test_a_host_without_cgroups_gets_a_loud_notice(tmp_path: Path) -> None:
    driver = no_cgroups(tmp_path)
    assert driver.kind == "null"
    assert "WITHOUT ANY LIMIT" in driver.notices[0]
    assert str(tmp_path) in driver.notices[0]


def test_a_root_that_is_not_there_is_no_crash(tmp_path: Path) -> None:
    assert detect(str(tmp_path / "nowhere"), own="").kind == "null"


def test_without_cgroups_a_box_runs_but_no_limit_is_promised(tmp_path: Path) -> None:
    driver = no_cgroups(tmp_path)
    group = driver.create("boxy/one", Limits())
    assert group.notices == driver.notices
    assert group.plan() == ([], [], "", "")
    with pytest.raises(Unsupported, match="memory limit"):
        driver.create("boxy/two", Limits(memory=64 * MIB))
    with pytest.raises(Unsupported, match="pause"):
        group.freeze()
    group.kill()
    group.remove()


def test_the_drivers_have_the_shape_that_the_daemon_expects(v2: FakeKernel) -> None:
    for driver in (NullDriver("of a test"), v2.driver()):
        assert isinstance(driver, Driver)
        assert isinstance(driver.create("boxy/one", Limits()), Cgroup)


# ------------------------------------------------------------------ v2


def test_v2_controllers_are_handed_down_to_the_boxes(v2: FakeKernel) -> None:
    v2.driver()
    for folder in (v2.root, v2.root / "boxy"):
        handed = (folder / "cgroup.subtree_control").read_text().split()
        assert sorted(handed) == ["cpu", "cpuset", "io", "memory", "pids"]


def test_v2_processes_move_out_of_the_root_of_a_cgroup_namespace(v2: FakeKernel) -> None:
    (v2.root / "cgroup.events").write_text("populated 1\nfrozen 0\n")  # a real root has none
    v2.put(v2.root, 4242)
    driver = v2.driver()
    assert driver.notices == []
    assert not v2.threaded
    assert (v2.root / "boxyd/cgroup.procs").read_text() == "4242\n"
    assert (v2.root / "boxy/memory.max").exists()


def test_v2_other_peoples_processes_are_not_moved(v2: FakeKernel) -> None:
    v2.make(str(v2.root / "boxy"))
    v2.put(v2.root / "boxy", 4242)
    driver = v2.driver()
    assert (v2.root / "boxy/cgroup.procs").read_text() == "4242\n"
    assert not v2.threaded
    assert any("memory" in notice and "processes of others" in notice for notice in driver.notices)


def test_v2_uses_the_cgroup_that_was_delegated_to_it(
    v2: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2.write(str(v2.root / "cgroup.subtree_control"), "+memory", "+pids")
    service = v2.root / "boxyd.service"
    v2.make(str(service))
    v2.put(service, 4242)
    make = v2.make

    def only_below_the_service(path: str) -> None:
        if not path.startswith(str(service)):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        make(path)

    monkeypatch.setattr("boxyd.cgroup.files.make", only_below_the_service)
    for own in ("0::/boxyd.service\n", "0::/boxyd.service/boxyd\n"):
        driver = v2.driver(own=own)
        group = driver.create("boxy/one", Limits(memory=64 * MIB))
        assert group.plan().into == str(service / "boxy/one")
        assert (service / "boxyd/cgroup.procs").read_text() == "4242\n"
        group.remove()


def test_v2_writes_limits_in_its_own_words(v2: FakeKernel) -> None:
    box = v2.root / "boxy/one"
    asked = Limits(
        memory=64 * MIB, memory_swap=96 * MIB, memory_reservation=MIB, cpus=1.5, cpu_shares=1024,
        cpuset="0-1", io_weight=1000,
    )  # fmt: skip
    v2.driver().create("boxy/one", asked)
    assert (box / "memory.max").read_text() == f"{64 * MIB}\n"
    assert (box / "memory.swap.max").read_text() == f"{32 * MIB}\n"
    assert (box / "memory.low").read_text() == f"{MIB}\n"
    assert (box / "cpu.max").read_text() == "150000 100000\n"
    assert (box / "cpu.weight").read_text() == "100\n"
    assert (box / "cpuset.cpus").read_text() == "0-1\n"
    assert (box / "io.weight").read_text() == "10000\n"


def test_v2_a_memory_limit_alone_allows_no_swap(v2: FakeKernel) -> None:
    group = v2.driver().create("boxy/one", Limits(memory=64 * MIB))
    assert (v2.root / "boxy/one/memory.swap.max").read_text() == "0\n"
    group.set(Limits(memory=64 * MIB, memory_swap=-1))
    assert (v2.root / "boxy/one/memory.swap.max").read_text() == "max\n"


def test_v2_bandwidth_is_set_and_taken_back(
    v2: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boxyd.cgroup.limits.disk_number", lambda path: "8:0")
    group = v2.driver().create("boxy/one", Limits(io_read_bps={"/dev/sda": 1000}))
    wrote = [text for path, text in v2.writes if path.endswith("io.max")]
    assert wrote == ["8:0 rbps=1000"]
    v2.writes.clear()
    group.set(Limits(io_write_iops={"/dev/sda": 5}))
    wrote = [text for path, text in v2.writes if path.endswith("io.max")]
    assert sorted(wrote) == ["8:0 rbps=max", "8:0 wiops=5"]


def test_v2_devices_are_restricted_by_a_program(v2: FakeKernel, no_bpf: list[str]) -> None:
    driver = v2.driver()
    driver.create("boxy/one", Limits())
    driver.create("boxy/two", Limits(), devices=None)
    assert no_bpf == [str(v2.root / "boxy/one")]


def test_a_kernel_that_takes_no_device_program_is_told_of_loudly(
    v2: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(DevicePrograms, "attach", refuse)
    group = v2.driver().create("boxy/one", Limits())
    assert group.notices[0].startswith("DEVICES ARE NOT RESTRICTED")


# ------------------------------------------------------------------ v1


def test_v1_cpus_and_nodes_are_inherited(v1: FakeKernel) -> None:
    v1.driver().create("boxy/one", Limits())
    box = v1.root / "cpuset/boxy/one"
    assert (box / "cpuset.cpus").read_text().strip() == "0-3"
    assert (box / "cpuset.mems").read_text().strip() == "0"


def test_v1_writes_limits_in_its_own_words(v1: FakeKernel) -> None:
    v1.driver().create(
        "boxy/one",
        Limits(memory=64 * MIB, memory_swap=96 * MIB, cpus=1.5, cpu_shares=512, cpuset="1"),
    )

    def value(path: str) -> str:
        controller, file = path.split("/")
        return (v1.root / controller / "boxy/one" / file).read_text().strip()

    assert value("memory/memory.limit_in_bytes") == str(64 * MIB)
    assert value("memory/memory.memsw.limit_in_bytes") == str(96 * MIB)
    assert value("cpu/cpu.cfs_quota_us") == "150000"
    assert value("cpu/cpu.shares") == "512"
    assert value("cpuset/cpuset.cpus") == "1"


def test_v1_a_choice_of_cpus_is_taken_back(v1: FakeKernel) -> None:
    group = v1.driver().create("boxy/one", Limits(cpuset="1"))
    group.set(Limits())
    assert (v1.root / "cpuset/boxy/one/cpuset.cpus").read_text().strip() == "0-3"


def test_v1_devices_are_refused_first_and_then_allowed(v1: FakeKernel, no_bpf: list[str]) -> None:
    v1.driver().create("boxy/one", Limits())
    wrote = [text for path, text in v1.writes if "/boxy/one/devices." in path]
    assert wrote[0] == "a"
    assert "c 1:3 rwm" in wrote
    assert no_bpf == []


def test_v1_without_the_devices_controller_asks_the_unified_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_bpf: list[str]
) -> None:
    names = [name for name in V1_FILES if name != "devices"]
    kernel = FakeKernel(tmp_path, names, unified="unified", controllers=())
    kernel.install(monkeypatch)
    kernel.driver().create("boxy/one", Limits())
    assert no_bpf == [str(tmp_path / "unified/boxy/one")]


def test_a_controller_moved_to_the_v2_side_of_a_hybrid_host_is_used_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [name for name in V1_FILES if name != "memory"]
    kernel = FakeKernel(tmp_path, names, unified="unified", controllers=("memory",))
    kernel.install(monkeypatch)
    driver = kernel.driver()
    assert driver.notices == []
    group = driver.create("boxy/one", Limits(memory=64 * MIB))
    assert (tmp_path / "unified/boxy/one/memory.max").read_text() == f"{64 * MIB}\n"
    assert group.plan().oom == str(tmp_path / "unified/boxy/one/memory.events")
    assert group.oom_kills() == 2


# ------------------------------------------------------------------ what the kernel refuses


def test_a_refused_limit_that_was_asked_for_leaves_nothing_behind(v2: FakeKernel) -> None:
    driver = v2.driver()
    v2.refused["cpuset.cpus"] = errno.EINVAL
    with pytest.raises(InvalidRequest, match="7-9"):
        driver.create("boxy/one", Limits(cpuset="7-9"))
    assert not (v2.root / "boxy/one").exists()


def test_a_refused_limit_that_nobody_asked_for_is_a_notice(v2: FakeKernel) -> None:
    driver = v2.driver()
    v2.refused["pids.max"] = errno.EINVAL
    group = driver.create("boxy/one", Limits())
    assert len(group.notices) == 1
    assert "limit of processes" in group.notices[0]


def test_a_failed_change_leaves_the_old_limits_in_force(v2: FakeKernel) -> None:
    group = v2.driver().create("boxy/one", Limits(memory=64 * MIB))
    v2.refused["cpuset.cpus"] = errno.EINVAL
    with pytest.raises(InvalidRequest):
        group.set(Limits(memory=128 * MIB, cpuset="9"))
    assert (v2.root / "boxy/one/memory.max").read_text() == f"{64 * MIB}\n"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_below_what_is_in_use_is_refused(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = kernel_of(layout, tmp_path)
    kernel.install(monkeypatch)
    group = kernel.driver().create("boxy/one", Limits())
    for usage in tmp_path.rglob("boxy/one/memory.*"):
        if usage.name in ("memory.current", "memory.usage_in_bytes"):
            usage.write_text(str(50 * MIB))
    with pytest.raises(Conflict, match="uses 52424704 bytes"):
        group.set(Limits(memory=32 * MIB))
    group.set(Limits(memory=64 * MIB))
