"""Fixtures and rules for every tier. The folder is the tier; see DESIGN in docs/explanation.

- A test's folder gives it its marker.
- A tier that this machine cannot run is skipped with the reason, once, in the summary.
- `--no-silent-skips` (which `make test` gives) fails the run when a test of real boxes was
  skipped although the machine could have run it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.support import images, leaks, probe

if TYPE_CHECKING:
    from tests.support.daemon import Daemon

TESTS = Path(__file__).parent
TIERS = ("unit", "integration", "privileged", "tui", "e2e")

# A loaded machine is slow, not wrong: hypothesis must not time an example.
settings.register_profile("boxy", deadline=None, print_blob=True)
settings.load_profile("boxy")

collect_ignore = ["support", "data"]
_skipped_in_vain: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-silent-skips",
        action="store_true",
        help="fail when a test of real boxes was skipped although this machine could run it",
    )


def _tier(path: Path) -> str:
    """The tier of a test file: the first folder below tests/."""
    try:
        return path.relative_to(TESTS).parts[0]
    except (ValueError, IndexError):  # outside; or tests/ itself, whose collecting failed
        return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = _tier(item.path)
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.path} is in no tier; put it below one of {TIERS}.")
        item.add_marker(tier)
        lacking = probe.NEEDS[tier]() if tier in probe.NEEDS else ()
        if lacking:
            item.add_marker(pytest.mark.skip(reason=f"the {tier} tier cannot run: {lacking[0]}"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A short name for a long parameter: names go from process to process, some of megabytes."""
    long = isinstance(val, str | bytes) and len(val) > 200
    return f"{argname} of {len(val)}" if long else None  # type: ignore[arg-type]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not hasattr(report, "wasxfail"):
        _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember a skipped test (or module) of a tier that this machine can run."""
    tier = _tier(TESTS.parent / report.nodeid.partition("::")[0])
    if report.skipped and tier in probe.NEEDS and not probe.NEEDS[tier]():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _skipped_in_vain.append(f"{report.nodeid}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for tier, lacking in probe.NEEDS.items():
        for sentence in lacking():
            terminalreporter.write_line(f"The {tier} tier was skipped. {sentence}", yellow=True)
    if terminalreporter.config.getoption("--no-silent-skips"):
        for skipped in _skipped_in_vain:
            terminalreporter.write_line(f"Skipped though it could have run: {skipped}", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not hasattr(session.config, "workerinput"):  # xdist's workers leave it to the first
        leaks.remove_empty_boxy_cgroups()
    strict = session.config.getoption("--no-silent-skips")
    if strict and _skipped_in_vain and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# ------------------------------------------------------------------ a place for each test


@dataclass(frozen=True)
class Workspace:
    """A test's own corner of the machine: a short folder (sun_path holds 108 bytes), a tag."""

    folder: Path
    tag: str

    @property
    def cgroup_root(self) -> str:
        """The cgroup, below each hierarchy, that this test's boxes live in."""
        return f"boxy/{self.tag}"


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A corner of the machine that must be clean again when the test ends."""
    tag = f"test-{secrets.token_hex(4)}"
    folder = Path(tempfile.mkdtemp(prefix="bx-"))
    monkeypatch.setenv(leaks.TAG_VARIABLE, tag)
    checker = leaks.LeakChecker(tag, folder)
    yield Workspace(folder, tag)
    left = checker.wait_until_clean()
    checker.clear(left)
    leaks.remove_cgroup_root(tag)
    if not any(str(folder) in line for line in _mount_table()):
        shutil.rmtree(folder, ignore_errors=True)
    if left:
        pytest.fail("The test left behind:\n  " + "\n  ".join(map(str, left)), pytrace=False)


def _mount_table() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


@pytest.fixture(scope="session")
def alpine_registry() -> Iterator[images.AlpineRegistry]:
    """A registry folder with the image `alpine`; made once, shared, not to be changed."""
    folder = Path(tempfile.mkdtemp(prefix="bx-registry-"))
    try:
        yield images.make_registry(folder)
    except LookupError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_daemon(workspace: Workspace) -> Iterator[Callable[..., Daemon]]:
    """Make daemons (not yet started) on given registry folders; all are taken away at the end."""
    from tests.support.daemon import Daemon

    made: list[Daemon] = []

    def make(*registries: Path) -> Daemon:
        folder = workspace.folder / f"d{len(made)}"
        folder.mkdir()
        cgroup = workspace.cgroup_root + (f"/d{len(made)}" if made else "")
        made.append(Daemon(folder, cgroup, registries))
        return made[-1]

    yield make
    for number, daemon in enumerate(made):
        daemon.close()
        if number:  # the first one's is the workspace's own
            leaks.remove_cgroup_root(f"{workspace.tag}/d{number}")


@pytest.fixture(scope="session")
def unpacked_alpine(alpine_registry: images.AlpineRegistry) -> Iterator[Path]:
    """A daemon's root in which `alpine` is unpacked; made once, to be copied."""
    from tests.support.unpacked import unpack

    if made := os.environ.get("BOXY_TEST_UNPACKED"):  # in a machine that is slow at it
        yield Path(made)
        return
    folder = Path(tempfile.mkdtemp(prefix="bx-unpacked-"))
    yield unpack(folder, alpine_registry.folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def house(
    alpine_registry: images.AlpineRegistry, unpacked_alpine: Path
) -> Iterator[tuple[Daemon, leaks.LeakChecker]]:
    """A daemon that has `alpine` unpacked, for all tests of a module; use `shared_daemon`."""
    from tests.support.daemon import Daemon
    from tests.support.unpacked import give_images

    tag, folder = f"test-{secrets.token_hex(4)}", Path(tempfile.mkdtemp(prefix="bx-"))
    checker = leaks.LeakChecker(tag, folder)
    daemon = Daemon(folder, f"boxy/{tag}", [alpine_registry.folder])
    daemon.env[leaks.TAG_VARIABLE] = tag
    give_images(daemon, unpacked_alpine)
    try:
        daemon.start()
        yield daemon, checker
    finally:
        daemon.close()
        left = checker.wait_until_clean()
        checker.clear(left)
        leaks.remove_cgroup_root(tag)
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, "the module left behind:\n  " + "\n  ".join(map(str, left))


@pytest.fixture
def shared_daemon(
    house: tuple[Daemon, leaks.LeakChecker], workspace: Workspace
) -> Iterator[Daemon]:
    """The module's daemon, running and empty; what a test makes in it is gone afterwards.

    The next test gets it only if nothing of the boxes is left on the machine.
    """
    assert workspace.folder.exists()  # it goes after the boxes, which may use it
    daemon, checker = house
    said = len(daemon.log_text())
    yield daemon
    if not daemon.running:
        daemon.start()
    daemon.remove_all()
    daemon.wait_empty()
    left = checker.wait_until_clean(kinds=leaks.OF_BOXES)
    assert not left, "the test left behind:\n  " + "\n  ".join(map(str, left))
    assert "Traceback" not in daemon.log_text()[said:]


@pytest.fixture
def daemon(
    new_daemon: Callable[..., Daemon],
    alpine_registry: images.AlpineRegistry,
    unpacked_alpine: Path,
) -> Daemon:
    """A running daemon that has the image `alpine` unpacked; it and its boxes go afterwards.

    One that has yet to unpack it is `new_daemon(alpine_registry.folder)`.
    """
    from tests.support.unpacked import give_images

    daemon = new_daemon(alpine_registry.folder)
    give_images(daemon, unpacked_alpine)
    daemon.start()
    return daemon


@pytest.fixture(autouse=True)
def _no_daemon_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from reaching a daemon that somebody uses on this machine."""
    for name in [name for name in os.environ if name.startswith("BOXY_")]:
        if not name.startswith("BOXY_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BOXY_SOCKET", "/nonexistent/boxyd.sock")
