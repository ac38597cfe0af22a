"""The reader of tar headers: what it understands, what it refuses, that nothing breaks it."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxy_core.image import tar
from boxy_core.image.streams import BadArchive, Limits, Stream
from tests.support import archives as raw

LIMITS = Limits()
ROOMY = settings(deadline=None, suppress_health_check=list(HealthCheck))


def read(data: bytes, limits: Limits = LIMITS) -> list[tuple[tar.Entry, bytes]]:
    """All entries of an archive with their stored data."""
    reader = tar.Reader(Stream(io.BytesIO(data).read, limits))
    return [(entry, b"".join(map(bytes, reader.data(entry.stored)))) for entry in reader]


def only(data: bytes) -> tar.Entry:
    [(entry, _)] = read(data + raw.END)
    return entry


def refused(data: bytes, *, why: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(BadArchive, match=why):
        read(data, limits)


# ---------------------------------------------------------------------- what it understands

KINDS = {
    tarfile.REGTYPE: tar.FILE,
    tarfile.DIRTYPE: tar.DIRECTORY,
    tarfile.SYMTYPE: tar.SYMLINK,
    tarfile.LNKTYPE: tar.LINK,
    tarfile.FIFOTYPE: tar.FIFO,
    tarfile.CHRTYPE: tar.CHARACTER,
    tarfile.BLKTYPE: tar.BLOCK_DEVICE,
}
NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=150
).filter(lambda name: name.strip("/") == name)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(st.sampled_from(list(KINDS)))
    info.mode = draw(st.integers(0, 0o7777))
    info.uid = draw(st.integers(0, 0xFFFF_FFFE))
    info.gid = draw(st.integers(0, 0o7777777))
    info.mtime = draw(st.integers(0, 2**33))
    data = b""
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(NAMES)
    elif info.type == tarfile.REGTYPE:
        data = draw(st.binary(max_size=1500))
        info.size = len(data)
    return info, data


@ROOMY
@given(st.lists(members(), max_size=5), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_what_pythons_own_writer_writes_is_read_the_same(
    wanted: list[tuple[tarfile.TarInfo, bytes]], form: int
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8") as writer:
        for info, data in wanted:
            writer.addfile(info, io.BytesIO(data))
    found = read(buffer.getvalue())
    assert len(found) == len(wanted)
    for (entry, data), (info, told) in zip(found, wanted, strict=True):
        assert entry.name.rstrip(b"/") == info.name.encode()
        assert entry.kind == KINDS[info.type]
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        assert entry.mtime_ns == info.mtime * 10**9
        assert entry.target == info.linkname.encode()
        assert (entry.size, data) == (len(told), told)


def test_pax_gives_fractions_of_seconds_big_ids_and_attributes() -> None:
    entry = only(
        raw.pax(
            raw.record(b"mtime", b"1700000000.123456789"),
            raw.record(b"uid", b"3000000000"),
            raw.record(b"SCHILY.xattr.user.note", b"a=b\nc\0d"),
        )
        + raw.file(b"a")
    )
    assert entry.mtime_ns == 1_700_000_000_123_456_789
    assert entry.uid == 3_000_000_000
    assert entry.xattrs == {b"user.note": b"a=b\nc\0d"}


def test_a_global_header_holds_until_taken_back_by_an_empty_value() -> None:
    data = (
        raw.pax(raw.record(b"uid", b"7"), kind=b"g")
        + raw.file(b"a")
        + raw.pax(raw.record(b"uid", b""))
        + raw.file(b"b", uid=9)
        + raw.file(b"c")
    )
    assert [entry.uid for entry, _ in read(data + raw.END)] == [7, 9, 7]


def test_a_prefix_is_only_ustars() -> None:
    prefix = bytes(16) + b"some/where"
    ustar = raw.header(b"a", extra=prefix)
    gnu = raw.header(b"a", extra=prefix, magic=b"ustar  \0")
    assert only(ustar).name == b"some/where/a"
    assert only(gnu).name == b"a"


def test_a_slash_at_the_end_made_a_folder_before_ustar() -> None:
    assert only(raw.header(b"a/", b"\0", magic=b"")).kind == tar.DIRECTORY


def test_names_that_are_no_text_stay_as_they_are() -> None:
    assert only(raw.file(b"caf\xe9\xff")).name == b"caf\xe9\xff"


def test_a_checksum_of_signed_characters_is_right_too() -> None:
    block = raw.header(b"caf\xe9")
    signed = sum(b - 256 if b > 127 else b for b in block[:148] + block[156:]) + 256
    assert only(block[:148] + b"%06o\0 " % signed + block[156:]).name == b"caf\xe9"


def test_times_beyond_the_file_systems_years_are_held_to_them() -> None:
    late = only(raw.pax(raw.record(b"mtime", b"9999999999999")) + raw.file(b"a"))
    early = only(raw.header(b"a", mtime=b"\xff" * 4 + b"\x00" * 8))
    assert late.mtime_ns == 15_000_000_000 * 10**9
    assert early.mtime_ns == -(2**31) * 10**9


def test_unread_data_is_passed_over_and_the_digest_covers_all_bytes() -> None:
    import hashlib

    data = raw.file(b"a", b"x" * 5000) + raw.file(b"b", b"y") + raw.END + bytes(8192)
    stream = Stream(io.BytesIO(data).read, Limits())
    assert [entry.name for entry in tar.Reader(stream)] == [b"a", b"b"]
    assert stream.digest.hexdigest() == hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------------- what it refuses


def hostile() -> Iterator[tuple[str, bytes, str]]:
    negative = b"\xff" * 12
    yield "negative size", raw.header(b"a", size=negative), "size is impossible"
    yield "size over all bounds", raw.header(b"a", size=b"\x80" + b"\x7f" * 11), "impossible"
    yield "letters for a number", raw.header(b"a", size=b"12x"), "no number"
    yield "python's own digits", raw.header(b"a", size=b"1_000"), "no number"
    yield "a sign", raw.header(b"a", uid=b"-1"), "no number"
    yield "negative uid", raw.header(b"a", uid=b"\xff" * 8), "uid is impossible"
    yield "unknown type", raw.header(b"a", b"Q"), "unknown type"
    yield "empty name", raw.header(b""), "name is empty"
    yield "empty target", raw.symlink(b"a", b""), "target is empty"
    for value in (b"-5", b"+5", b"1e3", b"9" * 30, b"\xb2"):
        yield f"pax size {value!r}", raw.pax(raw.record(b"size", value)) + raw.file(b"a"), "size is"
    yield "pax uid for chown", raw.pax(raw.record(b"uid", b"4294967295")) + raw.file(b"a"), "uid"
    for value in (b"nan", b"inf", b"1e9", b"--1", b"1.2.3"):
        broken = raw.pax(raw.record(b"mtime", value)) + raw.file(b"a")
        yield f"pax time {value!r}", broken, "mtime is no number"
    yield "NUL in a name", raw.pax(raw.record(b"path", b"a\0b")) + raw.file(b"a"), "NUL"
    for line in (b"-9 a=b\n", b"0 a=b\n", b"3 \n", b"99 a=b\n", b"6 a=b\n\n", b"a=b\n", b"5 ab\n"):
        yield f"pax line {line!r}", raw.pax(line) + raw.file(b"a"), "pax record"
    yield "a key that is none", raw.pax(b"5 =b\n") + raw.file(b"a"), "no key"
    yield "an orphan", raw.pax(raw.record(b"path", b"a")), "belongs to no entry"


@pytest.mark.parametrize(("data", "why"), [pytest.param(d, w, id=i) for i, d, w in hostile()])
def test_a_wrong_header_is_refused(data: bytes, why: str) -> None:
    refused(data + raw.END, why=why)


def test_a_damaged_checksum_is_noticed() -> None:
    data = bytearray(raw.file(b"a", b"data") + raw.END)
    data[5] ^= 1
    refused(bytes(data), why="checksum")


@pytest.mark.parametrize("cut", [1, 100, 511, 512, 700, 1023, 1024])
def test_a_cut_archive_is_noticed_wherever_it_is_cut(cut: int) -> None:
    data = raw.file(b"a", b"x" * 500) + raw.END
    assert read(data)
    refused(data[:cut], why=r"truncated|neither")


def test_extended_headers_are_bounded_one_by_one_and_together() -> None:
    big = raw.pax(raw.record(b"comment", b"x" * 2000)) + raw.file(b"a")
    refused(big + raw.END, why="past the limit", limits=Limits(metadata=1000))
    refused(big * 3 + raw.END, why="past the limit", limits=Limits(all_metadata=5000))
    claims = raw.header(b"x", b"x", size=4 << 30)
    refused(claims + raw.END, why="past the limit")


def test_global_headers_cannot_pile_up() -> None:
    data = b"".join(
        raw.pax(raw.record(b"k%d" % n, b"v" * 400), kind=b"g") for n in range(4)
    ) + raw.file(b"a")
    refused(data + raw.END, why="global headers", limits=Limits(metadata=1000))


def test_entries_are_counted() -> None:
    refused(raw.file(b"a") * 11 + raw.END, why="more than 10 entries", limits=Limits(entries=10))


def test_the_raw_size_is_capped() -> None:
    data = raw.file(b"a", bytes(100_000)) + raw.END
    refused(data, why="limit of 50000 bytes", limits=Limits(size=50_000))


# ---------------------------------------------------------------------- sparse files


def sparse_gnu(*pairs: tuple[int, int], size: int, data: bytes) -> bytes:
    fields = b"".join(b"%011o\0%011o\0" % pair for pair in pairs).ljust(96, b"\0")
    extra = bytes(57) + fields + b"\0" + b"%011o\0" % size
    return raw.header(b"s", b"S", size=len(data), extra=extra, magic=b"ustar  \0") + raw.padded(
        data
    )


def sparse_pax(text: bytes, data: bytes, realsize: bytes) -> bytes:
    body = raw.padded(text) + data
    lines = [
        raw.record(b"GNU.sparse.major", b"1"),
        raw.record(b"GNU.sparse.minor", b"0"),
        raw.record(b"GNU.sparse.name", b"real"),
        raw.record(b"GNU.sparse.realsize", realsize),
    ]
    return raw.pax(*lines) + raw.file(b"GNUSparseFile.0/real", body)


def test_sparse_files_of_all_forms_are_understood() -> None:
    gnu = only(sparse_gnu((0, 3), (1000, 2), size=5000, data=b"abcde"))
    one = only(sparse_pax(b"2\n0\n3\n1000\n2\n", b"abcde", b"5000"))
    old = only(
        raw.pax(
            raw.record(b"GNU.sparse.size", b"5000"),
            raw.record(b"GNU.sparse.name", b"real"),
            raw.record(b"GNU.sparse.map", b"0,3,1000,2"),
        )
        + raw.file(b"x", b"abcde")
    )
    oldest = only(
        raw.pax(
            raw.record(b"GNU.sparse.size", b"5000"),
            raw.record(b"GNU.sparse.offset", b"0"),
            raw.record(b"GNU.sparse.numbytes", b"3"),
            raw.record(b"GNU.sparse.offset", b"1000"),
            raw.record(b"GNU.sparse.numbytes", b"2"),
        )
        + raw.file(b"real", b"abcde")
    )
    for entry in (gnu, one, old, oldest):
        assert entry.extents == [(0, 3), (1000, 2)]
        assert (entry.size, entry.stored) == (5000, 5)
    assert [gnu.name, one.name, old.name, oldest.name] == [b"s", b"real", b"real", b"real"]


@pytest.mark.parametrize(
    "data",
    [
        sparse_gnu((0, 3), (1, 2), size=5000, data=b"abcde"),
        sparse_gnu((0, 9), size=5, data=b"abcdefghi"),
        sparse_gnu((0, 3), size=5000, data=b"abcde"),
        sparse_gnu((0, 5), size=1 << 32, data=b"abc"),
        sparse_pax(b"1\n0\n", b"", b"10"),
        sparse_pax(b"-1\n", b"", b"10"),
        sparse_pax(b"99999999999\n", b"", b"10"),
        sparse_pax(b"1\n0\n5\n", b"abcde", b"9" * 18),
        sparse_pax(b"no\n", b"", b"10"),
    ],
)
def test_a_sparse_map_that_lies_is_refused(data: bytes) -> None:
    refused(data + raw.END, why="sparse")


# ---------------------------------------------------------------------- nothing breaks it

SEED = (
    raw.pax(raw.record(b"path", b"p" * 120), raw.record(b"mtime", b"1.5"))
    + raw.file(b"a", b"data" * 200)
    + raw.long_name(b"n" * 200)
    + raw.file(b"b")
    + raw.symlink(b"c", b"a")
    + sparse_gnu((0, 3), (1000, 2), size=5000, data=b"abcde")
    + sparse_pax(b"2\n0\n3\n1000\n2\n", b"abcde", b"5000")
    + raw.END
)


def survives(data: bytes) -> None:
    """Reading ends with entries or BadArchive, whatever the bytes."""
    with contextlib.suppress(BadArchive):
        read(data, Limits(size=1 << 20, metadata=1 << 16, entries=1000))


@ROOMY
@given(st.binary(max_size=3000))
def test_random_bytes_never_break_the_reader(data: bytes) -> None:
    survives(data)
    survives(bytes(257) + b"ustar" + data)


@ROOMY
@given(
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, len(SEED)),
)
def test_a_damaged_archive_never_breaks_the_reader(
    changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(SEED)
    for at, value in changes:
        data[at] = value
    for block in range(0, len(data), raw.BLOCK):  # so that the damage is not just a checksum
        header = bytes(data[block : block + raw.BLOCK])
        if header[257:262] == b"ustar":
            total = sum(header[:148]) + sum(header[156:]) + 256
            data[block + 148 : block + 156] = b"%06o\0 " % total
    survives(bytes(data))
    survives(bytes(data[:length]))


@ROOMY
@given(st.lists(st.binary(max_size=60), max_size=5), st.sampled_from([b"x", b"g", b"L", b"K"]))
def test_random_extended_headers_never_break_the_reader(lines: list[bytes], kind: bytes) -> None:
    survives(raw.pax(*lines, kind=kind) + raw.file(b"a", b"data") + raw.END)


@ROOMY
@given(
    st.dictionaries(
        st.sampled_from(
            b"path linkpath size uid gid mtime GNU.sparse.major GNU.sparse.map GNU.sparse.size "
            b"GNU.sparse.realsize GNU.sparse.name GNU.sparse.offset GNU.sparse.numbytes "
            b"SCHILY.xattr.user.a".split()
        ),
        st.one_of(st.binary(max_size=30), st.integers(-10, 2**70).map(lambda n: str(n).encode())),
    )
)
def test_random_pax_values_never_break_the_reader(values: dict[bytes, bytes]) -> None:
    lines = [raw.record(key, value) for key, value in values.items()]
    survives(raw.pax(*lines) + raw.file(b"a", b"1\n0\n4\n" + b"data" * 200) + raw.END)
