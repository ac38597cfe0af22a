"""The diary of a box: bounded, readable, never the reason that something fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxy_core.paths import Paths
from boxyd.diary import FILE, LIMIT, Diary, Line

ID = "cd" * 32


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(str(tmp_path), str(tmp_path / "run"), "s", (), "boxy/x")
    Path(paths.box(ID)).mkdir(parents=True)
    return paths


def test_lines_come_back_in_their_order(paths: Paths) -> None:
    diary = Diary(paths)
    diary.note(ID, Line(1.5, "create", 3.25, 7, 1000))
    diary.note(ID, Line(2.5, "start", 9.0, error="no such program"))
    assert diary.read(ID) == [
        Line(1.5, "create", 3.25, 7, 1000), Line(2.5, "start", 9.0, error="no such program"),
    ]  # fmt: skip


def test_a_removed_box_is_noted_nowhere(paths: Paths) -> None:
    other = "ef" * 32
    Diary(paths).note(other, Line(1.0, "stop", 1.0))
    assert Diary(paths).read(other) == []
    assert not Path(paths.box(other)).exists()


def test_the_file_is_bounded_and_keeps_the_newest(paths: Paths) -> None:
    diary, count = Diary(paths), 0
    while count < 3 * LIMIT // 60:
        count += 1
        diary.note(ID, Line(float(count), "exec", 1.0, error="x" * 40))
    lines = diary.read(ID)
    assert lines[-1].at == count
    assert [line.at for line in lines] == [
        float(n) for n in range(count - len(lines) + 1, count + 1)
    ]
    assert (Path(paths.box(ID)) / FILE).stat().st_size <= LIMIT


def test_a_line_that_a_crash_cut_off_is_left_out(paths: Paths) -> None:
    diary = Diary(paths)
    diary.note(ID, Line(1.0, "create", 1.0))
    with (Path(paths.box(ID)) / FILE).open("ab") as file:
        file.write(b'{"at":2.0,"wh\n')
    diary.note(ID, Line(3.0, "start", 1.0))
    assert [line.what for line in diary.read(ID)] == ["create", "start"]


def test_the_waterfall_is_none_before_the_first_start(paths: Paths) -> None:
    diary = Diary(paths)
    assert diary.start(ID) is None
    (Path(paths.box(ID)) / "trace.json").write_text('{"total_ms": 3.0, "steps": []}')
    assert diary.start(ID) == {"total_ms": 3.0, "steps": []}
