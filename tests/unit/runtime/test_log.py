"""The log: CRI form, exact bytes, rotation, a disk without room."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyd.runtime import frames, log

LINE = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) (.*)", re.DOTALL
)
NAMES = {frames.STDOUT: b"stdout", frames.STDERR: b"stderr"}


def rebuilt(data: bytes, stream: bytes) -> bytes:
    """What a reader of the log gets back for one stream."""
    out = b""
    for line in data.split(b"\n")[:-1]:
        match = LINE.fullmatch(line)
        assert match, line
        if match[2] == stream:
            out += match[4] + (b"\n" if match[3] == b"F" else b"")
    return out


@given(
    st.lists(
        st.tuples(
            st.sampled_from([frames.STDOUT, frames.STDERR]),
            st.one_of(st.binary(max_size=60), st.sampled_from([b"\n", b"a\n", b"\r\n", b"\n\nx"])),
        ),
        max_size=20,
    )
)
def test_the_bytes_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    made = log.Log(str(path), 1 << 20, 3)
    for kind, chunk in written:
        made.write(kind, chunk)
    made.close()
    for kind, name in NAMES.items():
        expected = b"".join(chunk for k, chunk in written if k == kind)
        assert rebuilt(path.read_bytes(), name) == expected


def test_a_line_without_newline_is_partial_and_goes_on(tmp_path: Path) -> None:
    made = log.Log(str(tmp_path / "log"), 1 << 20, 3)
    made.write(frames.STDOUT, b"wai")
    made.write(frames.STDOUT, b"ting\n")
    made.close()
    first, second = (tmp_path / "log").read_bytes().splitlines()
    assert first.endswith(b" stdout P wai")
    assert second.endswith(b" stdout F ting")


def test_files_are_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    made = log.Log(str(tmp_path / "log"), 1000, 2)
    for number in range(100):
        made.write(frames.STDOUT, b"line %d\n" % number)
    made.close()
    names = sorted(os.listdir(tmp_path))
    assert names == ["log", "log.1", "log.2"]
    assert all((tmp_path / name).stat().st_size <= 1000 for name in names)
    together = b"".join((tmp_path / name).read_bytes() for name in ("log.2", "log.1", "log"))
    lines = rebuilt(together, b"stdout").split(b"\n")[:-1]
    assert lines[-1] == b"line 99"
    assert lines == [b"line %d" % n for n in range(100 - len(lines), 100)]


def test_an_existing_log_is_continued(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        made = log.Log(str(tmp_path / "log"), 1000, 2)
        made.write(frames.STDOUT, text)
        made.close()
    assert rebuilt((tmp_path / "log").read_bytes(), b"stdout") == b"one\ntwo\n"


def test_what_a_full_disk_refuses_is_counted_and_no_half_line_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = log.Log(str(tmp_path / "log"), 1 << 20, 2)
    made.write(frames.STDOUT, b"kept\n")
    real = os.write
    room = [20]

    def write(fd: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        count = real(fd, data[: room[0]])
        room[0] -= count
        return count

    monkeypatch.setattr(os, "write", write)
    made.write(frames.STDOUT, b"lost\n")
    made.write(frames.STDERR, b"gone too\n")
    assert made.lost == 14
    room[0] = 1 << 20
    made.write(frames.STDOUT, b"again\n")
    made.close()
    assert rebuilt((tmp_path / "log").read_bytes(), b"stdout") == b"kept\nagain\n"


def test_a_folder_that_is_gone_does_not_stop_the_box(tmp_path: Path) -> None:
    made = log.Log(str(tmp_path / "nowhere" / "log"), 1000, 2)
    made.write(frames.STDOUT, b"12345")
    assert made.lost == 5


def test_a_link_in_the_logs_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    made = log.Log(str(tmp_path / "log"), 1000, 2)
    made.write(frames.STDOUT, b"x\n")
    assert made.lost == 2
    assert not (tmp_path / "victim").exists()
