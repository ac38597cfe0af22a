"""The examples, run as a reader would; each does what it says and leaves nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.privileged.network.ground import Ground
from tests.support import probe
from tests.support.daemon import Daemon

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with `boxy` and `boxy-tui`, run by this very interpreter."""
    for name, module in (("boxy", "boxy_cli"), ("boxy-tui", "boxy_tui.app")):
        run = f"import sys; from {module}{'.main' if name == 'boxy' else ''} import main"
        script = tmp_path / name
        script.write_text(
            f"#!/bin/sh\nexec '{sys.executable}' -P -c '{run}; sys.exit(main())' \"$@\"\n"
        )
        script.chmod(0o755)
    return tmp_path


def _run(
    daemon: Daemon, commands: Path, name: str, *words: str, **env: str
) -> subprocess.CompletedProcess[str]:
    path = f"{commands}:{daemon.env['PATH']}"
    done = subprocess.run(
        [EXAMPLES / name / "run", *words],
        env={**daemon.env, "PATH": path, "LC_ALL": "C.UTF-8", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert daemon.request("GET", "/boxes", query={"all": "1"}) == [], "it left boxes"
    return done


def test_every_example_is_in_the_list_and_tested() -> None:
    names = {path.parent.name for path in EXAMPLES.glob("*/run")}
    assert len(names) == 5
    text, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    for name in names:
        assert f"({name}/run)" in text
        assert f'"{name}"' in tests


def test_the_sandbox_holds_what_tries_everything(daemon: Daemon, commands: Path) -> None:
    done = _run(daemon, commands, "sandbox", str(EXAMPLES / "sandbox" / "hostile.py"))
    assert done.returncode == 137, done.stdout + done.stderr
    tried = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert tried["read the passwords"] in ("Permission denied", "No such file or directory")
    assert tried["change a program"] in ("Permission denied", "Read-only file system")
    assert tried["become root"] == "Operation not permitted"
    assert tried["phone home"] == "Network is unreachable"
    assert tried["fill the machine with processes"] == "Resource temporarily unavailable"
    assert "It was killed" in done.stdout


def test_the_sandbox_lets_an_honest_program_work(
    daemon: Daemon, commands: Path, tmp_path: Path
) -> None:
    honest = tmp_path / "honest.py"
    honest.write_text("print(sum(range(10)))\n")
    done = _run(daemon, commands, "sandbox", str(honest))
    assert done.stdout.splitlines() == ["45", "It ended well."], done.stderr


def test_a_broken_debian_is_as_new_the_next_time(daemon: Daemon, commands: Path) -> None:
    done = _run(daemon, commands, "throwaway-debian", IMAGE="host")
    assert done.returncode == 0, done.stderr
    assert re.search(r"users left: (none|0)", done.stdout), done.stdout
    assert done.stdout.endswith("as new\n")


def test_the_databases_data_outlive_its_boxes(
    daemon: Daemon, commands: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.sql"
    done = _run(daemon, commands, "database", BACKUP=str(backup))
    assert done.returncode == 0, done.stderr
    assert re.search(r"apples\s+15\npears\s+7\ntwo at once", done.stdout), done.stdout
    assert re.search(r"plums\s+2\nbacked up", done.stdout), done.stdout
    assert "INSERT INTO" in backup.read_text()


def test_the_classroom_shows_all_its_boxes_in_the_console(
    daemon: Daemon, commands: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "classroom.svg"
    done = _run(daemon, commands, "classroom", PICTURE=str(picture))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "10 boxes are running"
    assert done.stdout.endswith("Count the programs in /usr/bin.\n")
    for number in range(1, 11):
        assert f"student-{number:02}" in picture.read_text()


@pytest.fixture
def on_a_network(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A daemon on a host of its own, so that nothing of the networks touches this machine."""
    if lacking := probe.networks():
        pytest.skip(lacking)
    ground = Ground(request.getfixturevalue("new_daemon")())
    try:
        ground.daemon.start()
        yield ground
        ground.daemon.remove_boxes()
        ground.until(ground.is_clean)
    finally:
        ground.end()


def test_one_box_reads_the_web_server_of_another_by_name(
    on_a_network: Ground, commands: Path
) -> None:
    done = _run(on_a_network.daemon, commands, "web-by-name")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Fresh apples today"
    assert lines[-1] == "shop-web is unknown"
