"""The bundle: what it has is what the source says, or it is not used."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from boxy_cli import bundle

Say = Callable[[], str]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """A program of a package and a module, loaded from a bundle: what it prints."""
    package = tmp_path / "hello"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "word.py").write_text("WORD = 'one'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hello", raising=False)  # another test's
    file = tmp_path / "bundle"
    bundle.write(str(file), ["hello", "hello.word"])

    def run() -> str:
        program = """
import sys
from marshal import loads
data = open(sys.argv[1], "rb").read()
size = int.from_bytes(data[4:8], "little")
code, table = loads(data[8:])
names = {"__name__": "bundle"}
exec(code, names)
names["use"](names["posix"].open(sys.argv[1], 0), size, table)
sys.path.append(sys.argv[2])
import hello.word as word
print(word.WORD, type(word.__spec__.loader).__name__, word.__file__)
"""
        words = [sys.executable, "-IS", "-c", program, str(file), str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    return run


def test_a_module_comes_from_the_bundle_and_knows_its_source(say: Say, tmp_path: Path) -> None:
    assert say() == f"one Finder {tmp_path}/hello/word.py"


def test_a_changed_source_is_loaded_in_the_ordinary_way(say: Say, tmp_path: Path) -> None:
    source = tmp_path / "hello/word.py"
    source.write_text("WORD = 'other'\n")
    assert say() == f"other SourceFileLoader {source}"
    source.write_text("WORD = 'two'\n")  # as long as it was
    os.utime(source, (1, 1))
    assert say() == f"two SourceFileLoader {source}"


def test_a_bundle_that_was_cut_off_is_not_used(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "bundle"
    os.truncate(file, file.stat().st_size - 1)
    assert say() == f"one SourceFileLoader {tmp_path}/hello/word.py"


def test_a_source_that_is_gone_is_gone(say: Say, tmp_path: Path) -> None:
    (tmp_path / "hello/word.py").unlink()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        say()
    assert "No module named 'hello.word'" in failed.value.stderr


def test_everything_of_the_command_line_is_bundled(tmp_path: Path) -> None:
    names = bundle.modules()
    assert {"__future__", "boxy_cli.main", "boxy_cli.commands.run", "boxy_core.lean"} <= set(names)
    file = tmp_path / "bundle"
    bundle.write(str(file), names)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    with pytest.raises(ImportError, match="no_such has no source"):
        bundle.write(str(file), ["no_such"])
