"""What an installed Boxy needs is in the package: nothing new can be forgotten."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PACKAGES = ("boxy_core", "boxyd", "boxy_cli", "boxy_tui", "boxy_registry")
SHIPPED = PROJECT["tool"]["setuptools"]["data-files"]


def _kept(folder: str) -> list[Path]:
    """The files below `folder` that are neither caches nor archives."""
    files = (path for path in (REPOSITORY / folder).rglob("*") if path.is_file())
    return [path for path in files if "__pycache__" not in path.parts]


def test_every_registry_folder_is_shipped_under_its_own_name() -> None:
    images = {path.parent.name for path in (REPOSITORY / "registry").glob("*/image.json")}
    assert images == {Path(target).name for target in SHIPPED}


@pytest.mark.parametrize(("target", "patterns"), SHIPPED.items())
def test_every_shipped_pattern_finds_files(target: str, patterns: list[str]) -> None:
    assert target.startswith("share/boxy/registry/")
    for pattern in patterns:
        assert list(REPOSITORY.glob(pattern)), f"{pattern} finds nothing"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_data_file_of_a_package_is_installed_with_it(package: str) -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    left_out = [
        path
        for path in _kept(package)
        if path.suffix not in (".py", ".pyc") and not any(map(path.match, patterns))
    ]
    assert left_out == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_code_is_a_package(package: str) -> None:
    folders = {path.parent for path in _kept(package) if path.suffix == ".py"}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("entry", PROJECT["project"]["scripts"].values())
def test_every_entry_point_can_be_called(entry: str) -> None:
    module, _, function = entry.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_start_of_boxy_loads_no_regular_expressions() -> None:
    script = REPOSITORY / PROJECT["tool"]["setuptools"]["script-files"][0]
    start = subprocess.run(
        [sys.executable, "-S", "-X", "importtime", script, "ps"],
        env={"PYTHONPATH": str(REPOSITORY), "BOXY_SOCKET": "/nonexistent/s"},
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = {line.rpartition("|")[2].strip() for line in start.stderr.splitlines()}
    assert "boxy_cli.main" in loaded
    assert loaded.isdisjoint({"re", "argparse", "dataclasses", "socket", "json", "site"})


def test_every_dependency_has_an_upper_bound() -> None:
    everything = PROJECT["project"]["dependencies"] + [
        item for group in PROJECT["project"]["optional-dependencies"].values() for item in group
    ]
    assert [item for item in everything if not re.search(r",<\d", item)] == []


@pytest.mark.parametrize("script", ["packaging/install.sh", "packaging/uninstall.sh", ".ci/run"])
def test_shell_scripts_parse_and_may_be_run(script: str) -> None:
    path = REPOSITORY / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", path], check=True)


def test_an_installed_boxy_starts_without_looking_for_what_may_be_imported(tmp_path: Path) -> None:
    script = tmp_path / "boxy"
    body = (REPOSITORY / "packaging/bin/boxy").read_text().partition("\n")[2]
    script.write_text(f"#!{sys.executable}\n{body}")
    script.chmod(0o755)
    for _ in range(2):  # the second time there is nothing left to do
        subprocess.run([sys.executable, "packaging/quicken", script], cwd=REPOSITORY, check=True)
    assert script.read_text().splitlines()[0] == f"#!{sys.executable} -IS"
    assert script.read_text().count("sys.path +=") == 1
    # a command that needs a library finds it
    paths = script.read_text().splitlines()[1]
    words = [sys.executable, "-IS", "-c", f"{paths}\nimport zstandard, boxy_core"]
    subprocess.run(words, check=True)
    done = subprocess.run([script, "version", "--client"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    # its modules come from the bundle
    body = script.read_text().partition("from boxy_cli.main")[0]
    asks = "import boxy_core.errors as found; print(type(found.__spec__.loader).__name__)"
    words = [sys.executable, "-IS", "-c", body + asks]
    assert subprocess.run(words, capture_output=True, check=True).stdout == b"Finder\n"


def test_a_script_that_pip_wrote_in_another_way_stays_as_it_is(tmp_path: Path) -> None:
    script = tmp_path / "boxy"
    script.write_text("#!/bin/sh\nexec /a/long path/python\n")
    before = script.read_text()
    subprocess.run([sys.executable, "packaging/quicken", script], cwd=REPOSITORY, check=True)
    assert script.read_text() == before
