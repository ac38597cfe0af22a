"""Tar streams that we write: other programs read them, we read ours, hostile ones stay outside."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxy_core.errors import InvalidRequest
from boxy_core.files import extract, pack, write
from boxy_core.image.streams import DEFAULT_LIMITS, Stream
from boxy_core.image.tar import Reader


def packed(folder: Path, name: str = "", how: pack.How | None = None) -> bytes:
    out = io.BytesIO()
    packer = pack.Packer(out.write, how or pack.How())
    fd = os.open(folder, os.O_RDONLY)
    try:
        packer.add_folder(fd, name, itself=bool(name))
    finally:
        os.close(fd)
    packer.end()
    return out.getvalue()


def extracted(data: bytes, folder: Path, how: extract.How | None = None) -> extract.Extractor:
    folder.mkdir(exist_ok=True)
    source = io.BytesIO(data)
    fd = os.open(folder, os.O_RDONLY)
    try:
        made = extract.Extractor(fd, how or extract.How())
        made.run(Reader(Stream(source.read, DEFAULT_LIMITS)))
    finally:
        os.close(fd)
    return made


def tree(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / ("long" * 50)).write_text("long name\n")
    (folder / "plain").write_bytes(b"x" * 10_000)
    (folder / "plain").chmod(0o4755)
    os.link(folder / "plain", folder / "sub" / "again")
    os.symlink("plain", folder / "link")
    os.symlink("x" * 150, folder / "longlink")
    os.mkfifo(folder / "fifo")
    with (folder / "sparse").open("wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
    os.utime(folder / "plain", ns=(1, 1_234_567_890_123_456_789))
    (folder / "sub" / "\udcff").write_text("no text")


def test_gnu_tar_and_pythons_read_what_we_write(tmp_path: Path) -> None:
    tree(tmp_path / "a")
    data = packed(tmp_path / "a", "top")
    (tmp_path / "b").mkdir()
    subprocess.run(["tar", "-x", "-C", tmp_path / "b"], input=data, check=True)
    compare: list[str | Path] = ["diff", "-r", "--no-dereference", "--exclude=fifo", tmp_path / "a",
               tmp_path / "b" / "top"]  # fmt: skip
    assert subprocess.run(compare, check=False).returncode == 0
    assert (tmp_path / "b" / "top" / "sparse").stat().st_blocks * 512 < 1 << 20
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
    assert names[0] == "top"
    assert f"top/sub/{'long' * 50}" in names


def test_what_we_pack_we_extract(tmp_path: Path) -> None:
    tree(tmp_path / "a")
    rename = (b"top", b"new")
    data = packed(tmp_path / "a", "top")
    extracted(data, tmp_path / "b", extract.How(owners=os.geteuid() == 0, rename=rename))
    top = tmp_path / "b" / "new"
    assert (top / "plain").read_bytes() == b"x" * 10_000
    assert (top / "plain").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert (top / "plain").stat().st_ino == (top / "sub" / "again").stat().st_ino
    assert os.readlink(top / "longlink") == "x" * 150
    assert (top / "sparse").stat().st_size == (8 << 20) + 3
    assert (top / "sparse").stat().st_blocks * 512 < 1 << 20
    assert (top / "sub" / "\udcff").read_text() == "no text"
    assert stat.S_ISFIFO((top / "fifo").stat().st_mode)


def test_set_uid_bits_do_not_come_along_where_the_owner_changes(tmp_path: Path) -> None:
    tree(tmp_path / "a")
    extracted(packed(tmp_path / "a"), tmp_path / "b")
    assert stat.S_IMODE((tmp_path / "b" / "plain").stat().st_mode) == 0o755


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name),
    st.integers(0, 1 << 40), st.integers(0, (1 << 32) - 2),
    st.integers(-(1 << 61), 1 << 62),
)  # fmt: skip
def test_every_header_reads_back(name: bytes, size: int, uid: int, mtime: int) -> None:
    told = write.Told(0o644, uid, uid, 0, mtime, name, {b"user.x": name})
    data = write.header(name, write.SYMLINK, told) + write.END
    [entry] = Reader(Stream(io.BytesIO(data).read, DEFAULT_LIMITS))
    assert (entry.name, entry.target, entry.uid, entry.xattrs) == (
        name, name, uid, {b"user.x": name},
    )  # fmt: skip
    low, high = -(1 << 31) * 10**9, 15_000_000_000 * 10**9
    assert entry.mtime_ns == max(low, min(mtime, high))


def entry(name: bytes, kind: bytes = write.FILE, target: bytes = b"", data: bytes = b"") -> bytes:
    head = write.header(name, kind, write.Told(0o755, size=len(data), target=target))
    return head + data + write.padding(len(data))


@pytest.mark.parametrize(
    "entries",
    [
        [entry(b"../evil", data=b"x")],
        [entry(b"a/../../evil", data=b"x")],
        [entry(b"way", write.SYMLINK, b".."), entry(b"way/evil", data=b"x")],
        [entry(b"way", write.SYMLINK, b"/tmp"), entry(b"way/", write.FOLDER)],
        [entry(b"way", write.SYMLINK, b".."), entry(b"h", write.LINK, b"way/secret")],
        [entry(b"h", write.LINK, b"../secret")],
    ],
)  # fmt: skip
def test_nothing_lands_outside(tmp_path: Path, entries: list[bytes]) -> None:
    (tmp_path / "secret").write_text("mine")
    with pytest.raises((InvalidRequest, OSError)):
        extracted(b"".join(entries) + write.END, tmp_path / "in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "secret"]
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_a_symlink_in_a_files_place_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").symlink_to(tmp_path / "secret")
    extracted(entry(b"file", data=b"new") + write.END, tmp_path / "in")
    assert (tmp_path / "secret").read_text() == "mine"
    assert (tmp_path / "in" / "file").read_text() == "new"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (lambda p: (p / "x").mkdir(), entry(b"x", data=b"f")),
        (lambda p: (p / "x").write_text("f"), entry(b"x/", write.FOLDER)),
        (lambda p: (p / "x").write_text("f"), entry(b"x/y", data=b"f")),
    ],
)
def test_a_folder_and_a_file_never_replace_each_other(
    tmp_path: Path, first: Callable[[Path], object], then: bytes
) -> None:
    first(tmp_path)
    with pytest.raises(OSError, match=r"way|folder|directory"):
        extracted(then + write.END, tmp_path)


def test_a_layer_says_what_is_gone_and_what_is_hidden(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("whiteouts are device nodes")
    (tmp_path / "a" / "new").mkdir(parents=True)
    os.mknod(tmp_path / "a" / "gone", stat.S_IFCHR, 0)
    os.setxattr(tmp_path / "a" / "new", "trusted.overlay.opaque", b"y")
    names = [e.name for e in Reader(Stream(io.BytesIO(
        packed(tmp_path / "a", how=pack.How(whiteouts=True))).read, DEFAULT_LIMITS))]  # fmt: skip
    assert names == [b".wh.gone", b"new/", b"new/.wh..wh..opq"]
