"""What stands in for `os` says what `os` says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boxy_core import lean


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a",
        "/a/b/",
        "//a",
        "/a//b",
        "/a/./b",
        "/a/../b",
        "/a/..",
        "/a/.",
        "/a/.b/..c",
        "a",
        "",
    ],
)
def test_paths_are_made_absolute_as_os_path_does(path: str) -> None:
    assert lean.absolute(path) == os.path.abspath(path)


@pytest.mark.parametrize("path", ["/a", "/a/b", "/a/b/c"])
def test_a_parent_is_that_of_os_path(path: str) -> None:
    assert lean.parent(path) == os.path.dirname(path)


def test_kinds_of_files_are_those_of_os_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    for path in (*map(str, tmp_path.iterdir()), str(tmp_path), str(tmp_path / "none"), "a\0b"):
        assert lean.exists(path) == os.path.exists(path)
        assert lean.is_folder(path) == os.path.isdir(path)
        assert lean.is_file(path) == os.path.isfile(path)


def test_the_environment_is_that_of_os_without_its_import() -> None:
    program = """
import sys
from boxy_core.lean import environ
found = dict(environ())
assert "os" not in sys.modules
import os
assert found == dict(os.environ), (found, os.environ)
os.environ["LATER"] = "1"
assert environ()["LATER"] == "1"
"""
    env = {**os.environb, b"ODD": b"\xff\xfe", b"UMLAUT": "ä".encode(), b"EMPTY": b""}
    here = str(Path(lean.__file__).parent.parent)
    words = [sys.executable, "-IS", "-c", f"import sys; sys.path.append({here!r})\n{program}"]
    subprocess.run(words, env=env, check=True)
