"""What the kernel's files say, as numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boxyd.cgroup import files, reader
from boxyd.cgroup.v2 import own_cgroup, weight_of_shares

NET_DEV = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 9999999     100    0    0    0     0          0         0  9999999     100    0    0 0 0 0 0
  eth0: 1000       10    0    0    0     0          0         0  200       5    0    0 0 0 0 0
  eth1:12345       10    0    0    0     0          0         0  300       5    0    0 0 0 0 0
"""


def parsed(parse: reader.Parser, data: bytes) -> reader.Row:
    row = list(reader.EMPTY)
    parse(data, row)
    return row


def test_loopback_is_not_counted_as_network() -> None:
    row = parsed(reader.net_dev, NET_DEV)
    assert (row[reader.NET_RX], row[reader.NET_TX]) == (13345, 500)


def test_only_the_whole_name_of_a_field_counts() -> None:
    wanted = reader.fields((b"inactive_file", reader.MEMORY_RECLAIMABLE, 1))
    assert parsed(wanted, b"total_inactive_file 7\ninactive_file 5\n")[3] == 5
    assert parsed(wanted, b"inactive_file 6\nx 1\n")[3] == 6
    assert parsed(wanted, b"other 6\n")[3] == 0


def test_io_is_summed_over_the_devices() -> None:
    v2 = b"8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=5 dios=1\n8:16 rbytes=1 wbytes=2 rios=1\n"
    assert parsed(reader.io_stat, v2)[reader.IO_READ : reader.IO_WRITE + 1] == [11, 22]
    v1 = b"8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 1\n8:16 Write 2\nTotal 33\n"
    assert parsed(reader.blkio_bytes, v1)[reader.IO_READ : reader.IO_WRITE + 1] == [11, 22]


@pytest.mark.parametrize(
    ("text", "limit"),
    [(b"max\n", 0), (b"1048576\n", 1 << 20), (b"9223372036854771712\n", 0)],
)
def test_no_limit_is_zero_however_the_kernel_writes_it(text: bytes, limit: int) -> None:
    assert parsed(reader.limit(reader.MEMORY_LIMIT), text)[reader.MEMORY_LIMIT] == limit


def test_pressure_is_that_of_the_last_ten_seconds() -> None:
    row = parsed(reader.pressure(reader.CPU_PRESSURE), b"some avg10=12.34 avg60=1.00 total=5\n")
    assert row[reader.CPU_PRESSURE] == 1234


def test_a_missing_file_leaves_its_counter_and_a_vanished_one_its_last_value(
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids.current"
    pids.write_text("3")
    wanted = reader.Files(
        always=[(str(tmp_path / "none"), reader.number(reader.CPU_USEC))],
        busy=[(str(pids), reader.number(reader.PIDS))],
    )
    kept = reader.Reader(wanted)
    assert kept.read()[reader.PIDS] == 3
    pids.write_text("")
    assert kept.read()[reader.PIDS] == 3
    kept.close()
    assert kept.read()[reader.PIDS] == 3


def test_an_idle_box_is_read_in_full_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.Reader, "made", 0)
    cpu, pids = tmp_path / "cpu", tmp_path / "pids"
    cpu.write_text("5")
    pids.write_text("1")
    wanted = reader.Files(
        always=[(str(cpu), reader.number(reader.CPU_USEC))],
        busy=[(str(pids), reader.number(reader.PIDS))],
    )
    kept = reader.Reader(wanted)
    kept.read()
    pids.write_text("2")
    assert kept.read()[reader.PIDS] == 1
    cpu.write_text("6")
    assert kept.read()[reader.PIDS] == 2
    pids.write_text("3")
    assert [kept.read()[reader.PIDS] for _ in range(reader.EVERY)][-1] == 3
    kept.close()


def test_reclaimable_memory_is_read_again_once_the_use_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.Reader, "made", 0)
    used, stat = tmp_path / "used", tmp_path / "stat"
    used.write_text("100000")
    stat.write_text("10")
    wanted = reader.Files(
        always=[(str(used), reader.number(reader.MEMORY_USAGE))],
        memory=[(str(stat), reader.number(reader.MEMORY_RECLAIMABLE))],
    )
    kept = reader.Reader(wanted)
    kept.read()
    used.write_text("100100")
    stat.write_text("20")
    assert kept.read()[reader.MEMORY_RECLAIMABLE] == 10
    used.write_text("150000")
    assert kept.read()[reader.MEMORY_RECLAIMABLE] == 20
    kept.close()


def test_no_more_than_half_of_the_descriptors_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    monkeypatch.setattr(files.KeptFile, "kept", 0)
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    before = len(os.listdir("/proc/self/fd"))
    made = [files.KeptFile(str(file)) for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before + 4
    file.write_text("2")
    assert [kept.read() for kept in made] == [b"2"] * 10
    for kept in made:
        kept.close()
        kept.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 100), (262144, 10000)])
def test_shares_become_weights_on_a_curve_through_the_usual_ones(shares: int, weight: int) -> None:
    assert weight_of_shares(shares) == weight


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0::/\n", ""),
        ("9:name=systemd:/x\n0::/system.slice/boxyd.service\n", "/system.slice/boxyd.service"),
        ("0::/user.slice/a.service/boxyd\n", "/user.slice/a.service"),
        ("8:pids:/\n", ""),
    ],
)
def test_our_own_place_is_found(text: str, place: str) -> None:
    assert own_cgroup(text) == place


def test_a_file_of_many_pages_is_read_whole(tmp_path: Path) -> None:
    text = "".join(f"line {number} of a machine with many links\n" for number in range(300))
    (tmp_path / "dev").write_text(text)
    kept = files.KeptFile(str(tmp_path / "dev"))
    assert [kept.read().decode() for _ in range(2)] == [text, text]
    maps = files.KeptFile("/proc/self/maps")  # the kernel's pages end with whole lines
    assert len(maps.read()) > 4096
    for file in (kept, maps):
        file.close()
